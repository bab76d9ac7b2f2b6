/** Index specifications: validation and conflicts. Source: MongoDB manual, "createIndexes", "TTL Indexes". */
import type { Document } from "bson";
import { CommandError, notImplemented } from "./errors.ts";
import { valuesAt } from "./paths.ts";
import { isDocument, keyOf, shellText, toNumber } from "./values.ts";

/** One index of a collection. */
export interface IndexSpec {
  name: string;
  /** Field to 1 or -1, in order. */
  key: Document;
  unique: boolean;
  sparse: boolean;
  /** Seconds after the indexed date; absent means no TTL index. */
  expireAfterSeconds?: number;
  hidden: boolean;
}

const MISSING_OPTIONS = new Set(
  `partialFilterExpression collation weights default_language language_override textIndexVersion 2dsphereIndexVersion
  bits min max wildcardProjection storageEngine prepareUnique clustered`.split(/\s+/),
);

/** Largest TTL in seconds: a 32-bit integer. */
export const MAX_EXPIRE_SECONDS = 2 ** 31 - 1;

/** The index on `_id` of every collection. */
export const idIndex = (): IndexSpec => ({ name: "_id_", key: { _id: 1 }, unique: true, sparse: false, hidden: false });

/** The specification as returned by `listIndexes`. */
export function describeIndex(index: IndexSpec): Document {
  return {
    v: 2,
    key: index.key,
    name: index.name,
    ...(index.unique && index.name !== "_id_" ? { unique: true } : {}),
    ...(index.sparse ? { sparse: true } : {}),
    ...(index.expireAfterSeconds === undefined ? {} : { expireAfterSeconds: index.expireAfterSeconds }),
    ...(index.hidden ? { hidden: true } : {}),
  };
}

/** Validates the seconds of a TTL index and truncates them. @throws CommandError with `code` when out of range. */
export function checkExpireSeconds(value: unknown, code: number, spec: Document): number {
  const seconds = toNumber(value);
  if (seconds === undefined) {
    throw new CommandError(
      code,
      `TTL index 'expireAfterSeconds' option must be numeric, but received a type of '${typeof value}'. Index spec: ${shellText(spec)}`,
    );
  }
  if (!(seconds >= 0 && seconds <= MAX_EXPIRE_SECONDS)) {
    throw new CommandError(
      code,
      `TTL index 'expireAfterSeconds' option must be within an acceptable range, try a different value. Index spec: ${shellText(spec)}`,
    );
  }
  return Math.trunc(seconds);
}

function parseKey(key: unknown): Document {
  if (!isDocument(key)) throw new CommandError(9, "The 'key' field is a required property of an index specification");
  const fields = Object.entries(key);
  if (fields.length === 0) throw new CommandError(67, "Index keys cannot be an empty object");
  const parsed: Document = {};
  for (const [field, direction] of fields) {
    if (typeof direction === "string") throw notImplemented(`A '${direction}' index`);
    const number = toNumber(direction);
    if (number === undefined || number === 0 || Number.isNaN(number)) {
      throw new CommandError(
        67,
        `Values in the index key pattern cannot be ${number === undefined ? `of type ${typeof direction}` : number}. Index key: ${shellText(key)}`,
      );
    }
    if (field.includes("$**")) throw notImplemented("A wildcard index");
    parsed[field] = number;
  }
  return parsed;
}

function flag(spec: Document, name: string): boolean {
  const value: unknown = spec[name];
  if (value === undefined) return false;
  const number = toNumber(value);
  if (typeof value !== "boolean" && number === undefined) {
    throw new CommandError(
      14,
      `The field '${name}' has value ${shellText(value)}, which is not convertible to bool. Specification: ${shellText(spec)}`,
    );
  }
  return value === true || (number !== undefined && number !== 0);
}

/**
 * Reads one entry of `createIndexes`. @throws CommandError 67, 197, 9 or 14, as MongoDB does, 238 for options that are not
 * implemented.
 */
export function parseIndex(spec: unknown): IndexSpec {
  if (!isDocument(spec)) throw new CommandError(14, "The elements of the 'indexes' array must be objects");
  for (const option of Object.keys(spec)) {
    if (MISSING_OPTIONS.has(option)) throw notImplemented(`The index option '${option}'`);
    if (
      !["v", "key", "name", "ns", "unique", "sparse", "background", "expireAfterSeconds", "hidden"].includes(option)
    ) {
      throw new CommandError(
        197,
        `The field '${option}' is not valid for an index specification. Specification: ${shellText(spec)}`,
      );
    }
  }
  const key = parseKey(spec.key);
  if (typeof spec.name !== "string" || spec.name === "") {
    throw new CommandError(9, "The 'name' field is a required property of an index specification");
  }
  const index: IndexSpec = {
    name: spec.name,
    key,
    unique: flag(spec, "unique"),
    sparse: flag(spec, "sparse"),
    hidden: flag(spec, "hidden"),
  };
  if (spec.expireAfterSeconds !== undefined) {
    if (Object.keys(key).length > 1) {
      throw new CommandError(
        67,
        `TTL indexes are single-field indexes, compound indexes do not support TTL. Index spec: ${shellText(spec)}`,
      );
    }
    if (Object.hasOwn(key, "_id")) {
      throw new CommandError(
        197,
        `The field 'expireAfterSeconds' is not valid for an _id index specification. Specification: ${shellText(spec)}`,
      );
    }
    index.expireAfterSeconds = checkExpireSeconds(spec.expireAfterSeconds, 67, spec);
  }
  return index;
}

const keyPattern = (index: IndexSpec): string => JSON.stringify(Object.entries(index.key));
// Since MongoDB 5.0, indexes with the same keys may differ in these.
const identity = (index: IndexSpec): string => `${keyPattern(index)} ${index.unique} ${index.sparse}`;
const sameOptions = (a: IndexSpec, b: IndexSpec): boolean =>
  a.expireAfterSeconds === b.expireAfterSeconds && a.hidden === b.hidden;

/**
 * Whether the requested index exists (true) or can be created (false).
 * @throws CommandError 86 when the name belongs to other keys, 85 when name or keys exist with other options.
 * Source: IndexCatalogImpl::_doesSpecConflictWithExisting of MongoDB.
 */
export function existsAlready(existing: readonly IndexSpec[], wanted: IndexSpec): boolean {
  if (keyPattern(wanted) === keyPattern(idIndex())) return true; // every collection has it; the name is ignored
  const both = (other: IndexSpec): string =>
    `Requested index: ${shellText(describeIndex(wanted))}, existing index: ${shellText(describeIndex(other))}`;
  const named = existing.find((index) => index.name === wanted.name);
  if (named !== undefined) {
    if (identity(named) !== identity(wanted)) {
      throw new CommandError(
        86,
        `An existing index has the same name as the requested index. When index names are not specified, they are auto generated and can cause conflicts. Please refer to our documentation. ${both(named)}`,
      );
    }
    if (!sameOptions(named, wanted)) {
      throw new CommandError(
        85,
        `An equivalent index already exists with the same name but different options. ${both(named)}`,
      );
    }
    return true;
  }
  const alike = existing.find((index) => identity(index) === identity(wanted));
  if (alike === undefined) return false;
  if (sameOptions(alike, wanted))
    throw new CommandError(85, `Index already exists with a different name: ${alike.name}`);
  throw new CommandError(85, `An equivalent index already exists with a different name and options. ${both(alike)}`);
}

/** The index keys of a document; none when the index is sparse and the document lacks the field. */
export function indexKeys(index: IndexSpec, document: Document): { key: string; value: Document }[] {
  const fields = Object.keys(index.key);
  const columns = fields.map((field) =>
    valuesAt(document, field).flatMap((value): unknown[] =>
      Array.isArray(value) ? (value.length === 0 ? [undefined] : value) : [value],
    ),
  );
  if (index.sparse && columns.every((column) => column.every((value) => value === undefined))) return [];
  let rows: unknown[][] = [[]];
  for (const column of columns) {
    const values = column.length === 0 ? [undefined] : column;
    rows = rows.flatMap((row) => values.map((value) => [...row, value]));
  }
  const byKey = new Map(rows.map((row) => [row.map(keyOf).join("\u0000"), row]));
  return [...byKey].map(([key, row]) => ({
    key,
    value: Object.fromEntries(fields.map((field, i) => [field, row[i] ?? null])),
  }));
}
