/** Updates of one document: operators, a replacement, or a pipeline. Source: MongoDB manual, "Update Operators". */
import { Decimal128, type Document, Double, Timestamp } from "bson";
import { CommandError, notImplemented } from "./errors.ts";
import { setAt, setField, unsetAt, valueAt } from "./paths.ts";
import { applyPipeline, checkPipeline } from "./update-pipeline.ts";
import {
  cloneValue,
  compareValues,
  fromInteger,
  isDocument,
  keyOf,
  shellText,
  toInteger,
  toNumber,
  typeName,
} from "./values.ts";

const REAL_BUT_MISSING = new Set(["$mul", "$rename", "$push", "$pull", "$pullAll", "$pop", "$addToSet", "$bit"]);

type Operator = (document: Document, path: string, operand: unknown, now: Date) => void;

function increment(document: Document, path: string, operand: unknown): void {
  const step = toNumber(operand);
  if (step === undefined) {
    throw new CommandError(14, `Cannot increment with non-numeric argument: {${path}: ${shellText(operand)}}`);
  }
  const current = valueAt(document, path);
  if (current === undefined) {
    setAt(document, path, operand);
    return;
  }
  const start = toNumber(current);
  if (start === undefined) {
    const field = path.split(".").at(-1) ?? path;
    throw new CommandError(
      14,
      `Cannot apply $inc to a value of non-numeric type. {_id: ${shellText(document._id)}} has the field '${field}' of non-numeric type ${typeName(current)}`,
    );
  }
  if (current instanceof Decimal128 || operand instanceof Decimal128) throw notImplemented("$inc of a decimal");
  const [a, b] = [toInteger(current), toInteger(operand)];
  if (a === undefined || b === undefined) {
    setAt(document, path, new Double(start + step));
    return;
  }
  const sum = a + b;
  if (BigInt.asIntN(64, sum) !== sum) {
    throw new CommandError(2, `Failed to apply $inc operations to current value (${a}) for document`);
  }
  setAt(document, path, fromInteger(sum));
}

function extreme(wins: (order: number) => boolean): Operator {
  return (document, path, operand) => {
    const current = valueAt(document, path);
    if (current === undefined || wins(compareValues(operand, current))) setAt(document, path, operand);
  };
}

const currentDate: Operator = (document, path, operand, now) => {
  const type = isDocument(operand) ? operand.$type : operand === true ? "date" : undefined;
  if (type === "date") setAt(document, path, now);
  else if (type === "timestamp") setAt(document, path, new Timestamp({ t: Math.floor(now.getTime() / 1000), i: 1 }));
  else {
    throw new CommandError(
      2,
      `${typeName(operand)} is not valid type for $currentDate. Please use a boolean ('true') or a $type expression ({$type: 'timestamp/date'}).`,
    );
  }
};

const OPERATORS: Readonly<Record<string, Operator>> = {
  $set: (document, path, operand) => setAt(document, path, cloneValue(operand)),
  $setOnInsert: (document, path, operand) => setAt(document, path, cloneValue(operand)),
  $unset: (document, path) => unsetAt(document, path),
  $inc: increment,
  $max: extreme((order) => order > 0),
  $min: extreme((order) => order < 0),
  $currentDate: currentDate,
};

/** What a statement does to a document. */
export type Update = Document | readonly Document[];

const isPipeline = (update: Update): update is readonly Document[] => Array.isArray(update);

/** Whether the update puts a whole new document in place (no operators). */
export function isReplacement(update: Update): boolean {
  return !isPipeline(update) && !(Object.keys(update)[0]?.startsWith("$") ?? false);
}

function checkReplacement(update: Document): void {
  const bad = Object.keys(update).find((name) => name.startsWith("$"));
  if (bad !== undefined) {
    throw new CommandError(
      52,
      `The dollar ($) prefixed field '${bad}' in '${bad}' is not allowed in the context of an update's replacement document. Consider using an aggregation pipeline with $replaceWith.`,
    );
  }
}

function checkConflicts(paths: readonly string[]): void {
  const seen: string[] = [];
  for (const path of paths) {
    const clash = seen.find((other) => other === path || other.startsWith(`${path}.`) || path.startsWith(`${other}.`));
    if (clash !== undefined) {
      const shorter = clash.length < path.length ? clash : path;
      throw new CommandError(40, `Updating the path '${path}' would create a conflict at '${shorter}'`);
    }
    seen.push(path);
  }
}

/** Checks an update before it is applied to anything. @throws CommandError 9, 40, 52 or 238, as MongoDB would. */
export function checkUpdate(update: unknown): asserts update is Update {
  if (Array.isArray(update)) {
    checkPipeline(update);
    return;
  }
  if (!isDocument(update)) throw new CommandError(9, "Update argument must be either an object or an array");
  if (isReplacement(update)) {
    checkReplacement(update);
    return;
  }
  const paths: string[] = [];
  for (const [name, fields] of Object.entries(update)) {
    if (REAL_BUT_MISSING.has(name)) throw notImplemented(`The update operator ${name}`);
    if (!Object.hasOwn(OPERATORS, name)) {
      throw new CommandError(
        9,
        `Unknown modifier: ${name}. Expected a valid update modifier or pipeline-style update specified as an array`,
      );
    }
    if (!isDocument(fields)) {
      throw new CommandError(
        9,
        `Modifiers operate on fields but we found type ${typeName(fields)} instead. For example: {$mod: {<field>: ...}} not {${name}: ${shellText(fields)}}`,
      );
    }
    for (const path of Object.keys(fields)) {
      if (path === "" || path.split(".").includes(""))
        throw new CommandError(56, `The update path '${path}' contains an empty field name, which is not allowed.`);
      if (path.split(".").some((part) => part.startsWith("$"))) throw notImplemented(`The positional path '${path}'`);
      paths.push(path);
    }
  }
  checkConflicts(paths);
}

/**
 * The document after a validated update; the given one is not changed. `inserting` is an upsert's new document.
 * @throws CommandError 66 when `_id` would change, 14, 28 or 2 as the operators do.
 */
export function applyUpdate(document: Document, update: Update, inserting: boolean, now: Date): Document {
  if (isPipeline(update)) return withSameId(document, applyPipeline(document, update, now));
  if (isReplacement(update)) {
    const id = Object.hasOwn(update, "_id") ? update._id : document._id;
    if (document._id !== undefined && keyOf(id) !== keyOf(document._id)) {
      throw new CommandError(
        66,
        `After applying the update, the (immutable) field '_id' was found to have been altered to _id: ${shellText(id)}`,
      );
    }
    const next: Document = id === undefined ? {} : { _id: id };
    for (const [name, value] of Object.entries(update))
      if (name !== "_id") setField(next, name, cloneValue<unknown>(value));
    return next;
  }
  const next = cloneValue(document);
  for (const [name, fields] of Object.entries(update)) {
    if (name === "$setOnInsert" && !inserting) continue;
    for (const [path, operand] of Object.entries(fields as Document)) OPERATORS[name]!(next, path, operand, now);
  }
  return withSameId(document, next);
}

function withSameId(document: Document, next: Document): Document {
  if (document._id !== undefined && keyOf(next._id) !== keyOf(document._id)) {
    throw new CommandError(66, "Performing an update on the path '_id' would modify the immutable field '_id'");
  }
  return next;
}
