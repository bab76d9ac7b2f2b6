/**
 * Aggregation expressions, as `$expr` and updates by a pipeline use them: field paths, `$$NOW`, literals, comparisons, `$and`,
 * `$or`, `$not`, `$cond`, `$add`. Source: MongoDB manual, "Aggregation Operators"; messages and codes as of mongod's source,
 * src/mongo/db/pipeline/expression.cpp.
 */
import { type Document, Double } from "bson";
import { CommandError, notImplemented } from "./errors.ts";
import { setField, valueAt } from "./paths.ts";
import { compareValues, fromInteger, isDocument, toInteger, toNumber, typeName } from "./values.ts";

/** The value for a document; undefined where it is missing. */
export type Expression = (document: Document) => unknown;

const REAL_BUT_MISSING = new Set(
  `$abs $arrayElemAt $ceil $cmp $concat $concatArrays $convert $dateAdd $dateDiff $dateSubtract $dateToString $divide $exp
  $filter $first $floor $function $getField $ifNull $in $indexOfArray $isArray $isNumber $last $let $map $max $mergeObjects
  $min $mod $multiply $objectToArray $pow $range $reduce $reverseArray $round $setField $size $slice $split $sqrt $strLenBytes
  $substrBytes $subtract $sum $switch $toDate $toInt $toLong $toLower $toString $toUpper $trim $trunc $type $zip`.split(
    /\s+/,
  ),
);

const COMPARISONS: Readonly<Record<string, (order: number) => boolean>> = {
  $eq: (order) => order === 0,
  $ne: (order) => order !== 0,
  $gt: (order) => order > 0,
  $gte: (order) => order >= 0,
  $lt: (order) => order < 0,
  $lte: (order) => order <= 0,
};

/** Whether a value counts as true in an expression: all but false, 0, null and a missing one. */
export function isTrue(value: unknown): boolean {
  if (value === undefined || value === null || value === false) return false;
  return toNumber(value) !== 0;
}

/**
 * @param now `$$NOW`, which is the same throughout a command
 * @throws CommandError as MongoDB would for what it does not know, 238 for real expressions that are missing here
 */
export function compileExpression(expression: unknown, now: Date): Expression {
  if (typeof expression === "string" && expression.startsWith("$")) return path(expression, now);
  if (Array.isArray(expression)) {
    const elements = expression.map((one: unknown) => compileExpression(one, now));
    return (document) => elements.map((one) => one(document) ?? null);
  }
  if (!isDocument(expression)) return () => expression;
  const [name, ...more] = Object.keys(expression);
  if (name?.startsWith("$")) {
    if (more.length > 0) {
      throw new CommandError(
        15983,
        `An object representing an expression must have exactly one field: ${JSON.stringify(expression)}`,
      );
    }
    return operator(name, expression[name], now);
  }
  const fields = Object.entries(expression).map(([field, inner]) => [field, compileExpression(inner, now)] as const);
  return (document) => {
    const result: Document = {};
    for (const [field, inner] of fields) {
      const value = inner(document);
      if (value !== undefined) setField(result, field, value);
    }
    return result;
  };
}

function path(text: string, now: Date): Expression {
  if (text === "$$NOW") return () => now;
  if (text === "$$REMOVE") return () => undefined;
  if (text.startsWith("$$")) throw notImplemented(`The variable ${text}`);
  return (document) => valueAt(document, text.slice(1));
}

function operator(name: string, operand: unknown, now: Date): Expression {
  if (name === "$literal") return () => operand;
  if (name === "$cond") return condition(operand, now);
  const accepts = Object.hasOwn(COMPARISONS, name) ? COMPARISONS[name] : undefined;
  if (accepts !== undefined) {
    const [left, right] = operands(name, operand, now, 2);
    return (document) => accepts(compareValues(left!(document), right!(document)));
  }
  switch (name) {
    case "$and": {
      const all = operands(name, operand, now);
      return (document) => all.every((one) => isTrue(one(document)));
    }
    case "$or": {
      const any = operands(name, operand, now);
      return (document) => any.some((one) => isTrue(one(document)));
    }
    case "$not": {
      const [one] = operands(name, operand, now, 1);
      return (document) => !isTrue(one!(document));
    }
    case "$add": {
      const terms = operands(name, operand, now);
      return (document) => add(terms.map((one) => one(document)));
    }
    default:
      if (REAL_BUT_MISSING.has(name)) throw notImplemented(`The expression ${name}`);
      throw new CommandError(168, `Unrecognized expression '${name}'`);
  }
}

/** The operands of an operator, of which one may stand without an array around it. */
function operands(name: string, operand: unknown, now: Date, count?: number): Expression[] {
  const list = Array.isArray(operand) ? operand : [operand];
  if (count !== undefined && list.length !== count) {
    throw new CommandError(
      16020,
      `Expression ${name} takes exactly ${count} arguments. ${list.length} were passed in.`,
    );
  }
  return list.map((one: unknown) => compileExpression(one, now));
}

function condition(operand: unknown, now: Date): Expression {
  if (isDocument(operand)) {
    for (const name of Object.keys(operand)) {
      if (!["if", "then", "else"].includes(name)) {
        throw new CommandError(17083, `Unrecognized parameter to $cond: ${name}`);
      }
    }
    const missing = [
      ["if", 17080],
      ["then", 17081],
      ["else", 17082],
    ].find(([name]) => operand[String(name)] === undefined);
    if (missing !== undefined) {
      throw new CommandError(Number(missing[1]), `Missing '${missing[0]}' parameter to $cond`);
    }
  }
  const parts = isDocument(operand) ? [operand.if, operand.then, operand.else] : operand;
  const [test, yes, no] = operands("$cond", parts, now, 3);
  return (document) => (isTrue(test!(document)) ? yes!(document) : no!(document));
}

function add(terms: readonly unknown[]): unknown {
  let date = false;
  const numbers: unknown[] = [];
  for (const term of terms) {
    if (term === undefined || term === null) return null;
    if (term instanceof Date) {
      if (date) throw new CommandError(16612, "only one date allowed in an $add expression");
      date = true;
      numbers.push(fromInteger(BigInt(term.getTime())));
    } else if (toNumber(term) === undefined) {
      throw new CommandError(14, `$add only supports numeric or date types, not ${typeName(term)}`);
    } else numbers.push(term);
  }
  const integers = numbers.map(toInteger);
  const whole = integers.every((integer) => integer !== undefined)
    ? integers.reduce<bigint>((total, integer) => total + (integer ?? 0n), 0n)
    : undefined;
  const total = numbers.reduce<number>((sum, number) => sum + (toNumber(number) ?? 0), 0);
  if (date) return new Date(whole === undefined ? Math.round(total) : Number(whole));
  return whole === undefined ? new Double(total) : fromInteger(whole);
}
