/** aggregate: $match, $group, $sort, $limit, $skip, $project, $count. Source: MongoDB manual, "Aggregation Stages". */
import { type Document, Double } from "bson";
import { checkFields, checkStatement, documentField, documentsField, numberField, stringField } from "../args.ts";
import type { Commands } from "../context.ts";
import { CommandError, notImplemented } from "../errors.ts";
import { compileFilter } from "../filter.ts";
import { setAt, setField, valueAt } from "../paths.ts";
import { compileProjection, compileSort } from "../projection.ts";
import { compareValues, fromInteger, isDocument, keyOf, toInteger, toNumber } from "../values.ts";

type Stage = (documents: Document[]) => Document[];
type Expression = (document: Document) => unknown;

const REAL_STAGES = new Set(
  `$addFields $set $unset $bucket $bucketAuto $changeStream $collStats $densify $documents $facet $fill $geoNear $graphLookup
  $indexStats $lookup $merge $out $redact $replaceRoot $replaceWith $sample $search $searchMeta $setWindowFields $sortByCount
  $unionWith $unwind $vectorSearch $planCacheStats $currentOp`.split(/\s+/),
);
const REAL_ACCUMULATORS = new Set(
  "$addToSet $push $stdDevPop $stdDevSamp $mergeObjects $top $topN $bottom $bottomN $firstN $lastN $maxN $minN $median $percentile $accumulator".split(
    " ",
  ),
);

/** A constant, `"$a.b"`, or a document of those. */
function compileExpression(expression: unknown): Expression {
  if (typeof expression === "string" && expression.startsWith("$")) {
    if (expression.startsWith("$$")) throw notImplemented(`The variable ${expression}`);
    return (document) => valueAt(document, expression.slice(1));
  }
  if (Array.isArray(expression)) throw notImplemented("An array as an expression");
  if (!isDocument(expression)) return () => expression;
  const operator = Object.keys(expression).find((name) => name.startsWith("$"));
  if (operator !== undefined) throw notImplemented(`The expression ${operator}`);
  const fields = Object.entries(expression).map(([name, inner]) => [name, compileExpression(inner)] as const);
  return (document) => {
    const result: Document = {};
    for (const [name, inner] of fields) {
      const value = inner(document);
      if (value !== undefined) setField(result, name, value);
    }
    return result;
  };
}

function sum(values: readonly unknown[]): unknown {
  const numbers = values.filter((value) => toNumber(value) !== undefined);
  const integers = numbers.map(toInteger);
  if (integers.every((integer) => integer !== undefined)) {
    return fromInteger(integers.reduce<bigint>((total, integer) => total + (integer ?? 0n), 0n));
  }
  return new Double(numbers.reduce<number>((total, value) => total + (toNumber(value) ?? 0), 0));
}

function average(values: readonly unknown[]): unknown {
  const numbers = values.map(toNumber).filter((value) => value !== undefined);
  return numbers.length === 0 ? null : new Double(numbers.reduce((total, value) => total + value, 0) / numbers.length);
}

function extreme(values: readonly unknown[], direction: number): unknown {
  const present = values.filter((value) => value !== undefined && value !== null);
  if (present.length === 0) return null;
  return present.reduce((best, value) => (compareValues(value, best) * direction > 0 ? value : best));
}

const ACCUMULATORS: Readonly<Record<string, (values: readonly unknown[]) => unknown>> = {
  $sum: sum,
  $avg: average,
  $min: (values) => extreme(values, -1),
  $max: (values) => extreme(values, 1),
  $first: (values) => values[0] ?? null,
  $last: (values) => values.at(-1) ?? null,
};

function compileAccumulator(field: string, accumulator: unknown): (documents: Document[]) => unknown {
  const entries = isDocument(accumulator) ? Object.entries(accumulator) : [];
  const [entry] = entries;
  if (entry === undefined || entries.length !== 1) {
    throw new CommandError(40234, `The field '${field}' must be an accumulator object`);
  }
  const [name, operand] = entry as [string, unknown];
  if (name === "$count") {
    if (!isDocument(operand) || Object.keys(operand).length > 0)
      throw new CommandError(14, "$count takes no arguments, i.e. $count:{}");
    return (documents) => fromInteger(BigInt(documents.length));
  }
  const combine = Object.hasOwn(ACCUMULATORS, name) ? ACCUMULATORS[name] : undefined;
  if (combine === undefined) {
    if (REAL_ACCUMULATORS.has(name)) throw notImplemented(`The accumulator ${name}`);
    throw new CommandError(15952, `unknown group operator '${name}'`);
  }
  const expression = compileExpression(operand);
  return (documents) => combine(documents.map(expression));
}

function group(specification: Document): Stage {
  if (!Object.hasOwn(specification, "_id")) throw new CommandError(15955, "a group specification must include an _id");
  const idOf = compileExpression(specification._id);
  const fields = Object.entries(specification)
    .filter(([name]) => name !== "_id")
    .map(([name, accumulator]) => [name, compileAccumulator(name, accumulator)] as const);
  return (documents) => {
    const groups = new Map<string, { id: unknown; members: Document[] }>();
    for (const document of documents) {
      const id = idOf(document) ?? null;
      const key = keyOf(id);
      const members = groups.get(key);
      if (members === undefined) groups.set(key, { id, members: [document] });
      else members.members.push(document);
    }
    return [...groups.values()].map(({ id, members }) => {
      const result: Document = { _id: id };
      for (const [name, accumulate] of fields) setAt(result, name, accumulate(members));
      return result;
    });
  };
}

function wantDocument(name: string, operand: unknown, code: number): Document {
  if (!isDocument(operand)) throw new CommandError(code, `the ${name} stage specification must be an object`);
  return operand;
}

function wantCount(name: string, operand: unknown, least: number, code: number): number {
  const number = toNumber(operand);
  if (number === undefined || !Number.isInteger(number) || number < least) {
    throw new CommandError(
      code,
      `invalid argument to ${name} stage: Expected a number >= ${least} in: ${name}: ${String(operand)}`,
    );
  }
  return number;
}

function compileStage(stage: Document): Stage {
  const [entry, ...others] = Object.entries(stage);
  if (entry === undefined || others.length > 0) {
    throw new CommandError(40323, "A pipeline stage specification object must contain exactly one field.");
  }
  const [name, operand] = entry as [string, unknown];
  switch (name) {
    case "$match": {
      const matches = compileFilter(wantDocument(name, operand, 15959));
      return (documents) => documents.filter(matches);
    }
    case "$group":
      return group(wantDocument(name, operand, 15947));
    case "$sort": {
      const sort = wantDocument(name, operand, 15973);
      if (Object.keys(sort).length === 0) throw new CommandError(15976, "$sort stage must have at least one sort key");
      const order = compileSort(sort);
      return (documents) => documents.toSorted(order);
    }
    case "$limit": {
      const limit = wantCount(name, operand, 1, 5107201);
      return (documents) => documents.slice(0, limit);
    }
    case "$skip": {
      const skip = wantCount(name, operand, 0, 5107200);
      return (documents) => documents.slice(skip);
    }
    case "$project": {
      const specification = wantDocument(name, operand, 15969);
      if (Object.keys(specification).length === 0)
        throw new CommandError(
          51272,
          "Invalid $project :: caused by :: projection specification must have at least one field",
        );
      const project = compileProjection(specification);
      return (documents) => documents.map(project);
    }
    case "$count":
      if (typeof operand !== "string" || operand === "" || operand.startsWith("$") || operand.includes(".")) {
        throw new CommandError(
          40156,
          "the count field must be a non-empty string, not start with '$' and not contain '.'",
        );
      }
      return (documents) => (documents.length === 0 ? [] : [{ [operand]: fromInteger(BigInt(documents.length)) }]);
    default:
      if (REAL_STAGES.has(name)) throw notImplemented(`The stage ${name}`);
      throw new CommandError(40324, `Unrecognized pipeline stage name: '${name}'`);
  }
}

/** aggregate. */
export const aggregateCommands: Commands = {
  aggregate: {
    needs: (_command, db) => [{ action: "find", db }],
    run({ store, cursors, user }, command, db) {
      checkFields(
        command,
        ["pipeline", "cursor", "allowDiskUse"],
        ["explain", "bypassDocumentValidation", "collation", "hint", "let", "exchange", "fromMongos"],
      );
      if (command.cursor === undefined) {
        throw new CommandError(9, "The 'cursor' option is required, except for aggregate with the explain argument");
      }
      const cursor = documentField(command, "cursor");
      checkStatement("aggregate.cursor", cursor, ["batchSize"]);
      if (typeof command.aggregate !== "string") throw notImplemented("An aggregate on a whole database");
      const name = stringField(command, "aggregate");
      const stages = documentsField(command, "pipeline").map(compileStage);
      const start = store.find(db, name)?.documents() ?? [];
      const results = stages.reduce((documents, stage) => stage(documents), start);
      const batchSize = cursor.batchSize === undefined ? undefined : numberField(cursor, "batchSize", 0);
      return cursors.first(`${db}.${name}`, user?.username ?? "", results, batchSize, false);
    },
  },
};
