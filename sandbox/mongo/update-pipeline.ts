/** Updates by an aggregation pipeline: `$set`, `$addFields` and `$unset`. Source: MongoDB manual, "Updates with Aggregation Pipeline". */
import type { Document } from "bson";
import { CommandError, notImplemented } from "./errors.ts";
import { compileExpression } from "./expression.ts";
import { setAt, unsetAt } from "./paths.ts";
import { cloneValue, isDocument } from "./values.ts";

/** Allowed in an update, but missing here. */
const REAL_BUT_MISSING = new Set(["$project", "$replaceRoot", "$replaceWith", "$fill"]);
/** Stages of other pipelines. */
const NOT_IN_UPDATES = new Set(
  `$bucket $bucketAuto $count $densify $facet $geoNear $graphLookup $group $limit $lookup $match $merge $out $redact $sample
  $setWindowFields $skip $sort $sortByCount $unionWith $unwind`.split(/\s+/),
);

/** Checks the stages, and compiles their expressions once. @throws CommandError as MongoDB would */
export function checkPipeline(pipeline: readonly unknown[]): void {
  for (const stage of pipeline) {
    if (!isDocument(stage)) throw new CommandError(14, "Each element of the 'pipeline' array must be an object");
    const [name, ...more] = Object.keys(stage);
    if (name === undefined || more.length > 0) {
      throw new CommandError(40323, "A pipeline stage specification object must contain exactly one field.");
    }
    if (REAL_BUT_MISSING.has(name)) throw notImplemented(`The stage ${name} in an update`);
    if (NOT_IN_UPDATES.has(name)) throw new CommandError(72, `${name} is not allowed to be used within an update`);
    if (name === "$unset") unsetPaths(stage.$unset);
    else if (name === "$set" || name === "$addFields") fieldsOf(name, stage[name], new Date());
    else throw new CommandError(40324, `Unrecognized pipeline stage name: '${name}'`);
  }
}

/** The document after a checked pipeline; the given one is left as it is. */
export function applyPipeline(document: Document, pipeline: readonly Document[], now: Date): Document {
  let next = cloneValue(document);
  for (const stage of pipeline) {
    const [name = ""] = Object.keys(stage);
    if (name === "$unset") {
      for (const path of unsetPaths(stage.$unset)) unsetAt(next, path);
      continue;
    }
    // Every expression of a stage sees the document as the stage before left it.
    const before = next;
    next = cloneValue(before);
    for (const [path, expression] of fieldsOf(name, stage[name], now)) {
      const value = expression(before);
      if (value === undefined) unsetAt(next, path);
      else setAt(next, path, cloneValue(value));
    }
  }
  return next;
}

function fieldsOf(name: string, operand: unknown, now: Date) {
  if (!isDocument(operand)) {
    throw new CommandError(40272, `${name} specification stage must be an object, got ${typeof operand}`);
  }
  return Object.entries(operand).map(([path, expression]) => [path, compileExpression(expression, now)] as const);
}

function unsetPaths(operand: unknown): string[] {
  const paths: unknown[] = Array.isArray(operand) ? operand : [operand];
  if (paths.length === 0 || !paths.every((path) => typeof path === "string" && path !== "")) {
    throw new CommandError(31002, "$unset specification must be a string or an array containing only string values");
  }
  return paths as string[];
}
