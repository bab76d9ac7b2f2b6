/** Filters (`{company: "…", lastAccessedAt: {$gt: …}}`) as predicates. Source: MongoDB manual, "Query Predicates". */
import type { Document } from "bson";
import { CommandError, notImplemented } from "./errors.ts";
import { compileExpression, isTrue } from "./expression.ts";
import { valuesAt } from "./paths.ts";
import { compareValues, isDocument, keyOf, toNumber, typeBracket, typeName } from "./values.ts";

/** Whether a document matches. */
export type Predicate = (document: Document) => boolean;
type Test = (leaves: readonly unknown[]) => boolean;

const REAL_BUT_MISSING = new Set(
  `$regex $options $type $mod $where $text $jsonSchema $geoWithin $geoIntersects $near $nearSphere $bitsAllSet
  $bitsAnySet $bitsAllClear $bitsAnyClear $sampleRate $alwaysTrue $alwaysFalse $rand`.split(/\s+/),
);

const orElements = (leaves: readonly unknown[], test: (value: unknown) => boolean): boolean =>
  leaves.some((leaf) => test(leaf) || (Array.isArray(leaf) && leaf.some(test)));

function equals(operand: unknown): Test {
  if (typeName(operand) === "regex") throw notImplemented("A regular expression in a filter");
  const key = keyOf(operand);
  return (leaves) => orElements(leaves, (value) => keyOf(value) === key);
}

function ordered(operand: unknown, accepts: (order: number) => boolean): Test {
  const bracket = typeBracket(operand);
  return (leaves) =>
    orElements(leaves, (value) => typeBracket(value) === bracket && accepts(compareValues(value, operand)));
}

function listOperand(name: string, operand: unknown): unknown[] {
  if (!Array.isArray(operand)) throw new CommandError(2, `${name} needs an array`);
  return operand;
}

function oneOf(operand: unknown, name: string): Test {
  const tests = listOperand(name, operand).map(equals);
  return (leaves) => tests.some((test) => test(leaves));
}

const negate =
  (test: Test): Test =>
  (leaves) =>
    !test(leaves);

function truthy(value: unknown): boolean {
  const number = toNumber(value);
  return number === undefined ? value !== false && value !== null && value !== undefined : number !== 0;
}

function elementMatch(operand: unknown): Test {
  if (!isDocument(operand)) throw new CommandError(2, "$elemMatch needs an Object");
  const matches: (element: unknown) => boolean = isOperators(operand)
    ? (
        (test) => (element: unknown) =>
          test([element])
      )(compileOperators(operand))
    : (
        (predicate) => (element: unknown) =>
          isDocument(element) && predicate(element)
      )(compileFilter(operand));
  return (leaves) => leaves.some((leaf) => Array.isArray(leaf) && leaf.some(matches));
}

function compileOperator(name: string, operand: unknown): Test {
  switch (name) {
    case "$eq":
      return equals(operand);
    case "$ne":
      return negate(equals(operand));
    case "$gt":
      return ordered(operand, (order) => order > 0);
    case "$gte":
      return ordered(operand, (order) => order >= 0);
    case "$lt":
      return ordered(operand, (order) => order < 0);
    case "$lte":
      return ordered(operand, (order) => order <= 0);
    case "$in":
      return oneOf(operand, name);
    case "$nin":
      return negate(oneOf(operand, name));
    case "$exists": {
      const wanted = truthy(operand);
      return (leaves) => leaves.some((leaf) => leaf !== undefined) === wanted;
    }
    case "$not":
      if (!isDocument(operand)) throw new CommandError(2, "$not needs a regex or a document");
      if (!isOperators(operand)) throw new CommandError(2, "$not needs a document of operators");
      return negate(compileOperators(operand));
    case "$all": {
      const tests = listOperand(name, operand).map(equals);
      return (leaves) => tests.length > 0 && tests.every((test) => test(leaves));
    }
    case "$size": {
      const size = toNumber(operand);
      if (size === undefined)
        throw new CommandError(2, `Failed to parse $size. Expected a number in: $size: ${String(operand)}`);
      return (leaves) => leaves.some((leaf) => Array.isArray(leaf) && leaf.length === size);
    }
    case "$elemMatch":
      return elementMatch(operand);
    default:
      if (REAL_BUT_MISSING.has(name)) throw notImplemented(`The query operator ${name}`);
      throw new CommandError(2, `unknown operator: ${name}`);
  }
}

const isOperators = (value: Document): boolean => Object.keys(value)[0]?.startsWith("$") ?? false;

function compileOperators(operators: Document): Test {
  const tests = Object.entries(operators).map(([name, operand]) => compileOperator(name, operand));
  return (leaves) => tests.every((test) => test(leaves));
}

function branches(name: string, operand: unknown, now: Date): Predicate[] {
  if (!Array.isArray(operand)) throw new CommandError(2, `${name} must be an array`);
  if (operand.length === 0) throw new CommandError(2, "$and/$or/$nor must be a nonempty array");
  return operand.map((branch: unknown) => {
    if (!isDocument(branch)) throw new CommandError(2, "$or/$and/$nor entries need to be full objects");
    return compileFilter(branch, now);
  });
}

function compileEntry(name: string, operand: unknown, now: Date): Predicate {
  if (name.startsWith("$")) {
    switch (name) {
      case "$and":
        return (
          (all) => (document: Document) =>
            all.every((one) => one(document))
        )(branches(name, operand, now));
      case "$or":
        return (
          (all) => (document: Document) =>
            all.some((one) => one(document))
        )(branches(name, operand, now));
      case "$nor":
        return (
          (all) => (document: Document) =>
            !all.some((one) => one(document))
        )(branches(name, operand, now));
      case "$expr":
        return (
          (value) => (document: Document) =>
            isTrue(value(document))
        )(compileExpression(operand, now));
      case "$comment":
        return () => true;
      default:
        if (REAL_BUT_MISSING.has(name)) throw notImplemented(`The query operator ${name}`);
        throw new CommandError(2, `unknown top level operator: ${name}`);
    }
  }
  const test = isDocument(operand) && isOperators(operand) ? compileOperators(operand) : equals(operand);
  const path = name.split(".");
  return (document) => test(valuesAt(document, path));
}

/**
 * Compiles a filter once, for many documents. `now` is `$$NOW` in `$expr`.
 * @throws CommandError 2 (BadValue) for what MongoDB would refuse, 238 for real operators which are missing here.
 */
export function compileFilter(filter: Document, now = new Date()): Predicate {
  const entries = Object.entries(filter).map(([name, operand]) => compileEntry(name, operand, now));
  return (document) => entries.every((matches) => matches(document));
}

/** Whether a filter has `$expr`, at whatever depth: an upsert may not. */
export function usesExpr(filter: Document): boolean {
  return Object.entries(filter).some(
    ([name, operand]) =>
      name === "$expr" || (Array.isArray(operand) && operand.some((one: unknown) => isDocument(one) && usesExpr(one))),
  );
}

/** Fields which the filter sets to one value: what an upsert's new document starts from. */
export function equalities(filter: Document): [path: string, value: unknown][] {
  return Object.entries(filter).flatMap(([name, operand]): [string, unknown][] => {
    if (name === "$and" && Array.isArray(operand)) {
      return operand.flatMap((branch: unknown) => (isDocument(branch) ? equalities(branch) : []));
    }
    if (name.startsWith("$")) return [];
    if (!isDocument(operand) || !isOperators(operand)) return [[name, operand]];
    return Object.hasOwn(operand, "$eq") ? [[name, operand.$eq]] : [];
  });
}
