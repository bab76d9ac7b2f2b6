/** BSON values: their types, order and equality, as MongoDB compares them. */
import { Decimal128, type Document, Double, Int32, Long, ObjectId } from "bson";

/** Deserialisation options: numbers keep their BSON type, binaries and regular expressions are not converted. */
export const BSON_OPTIONS = {
  promoteValues: false,
  promoteLongs: false,
  promoteBuffers: false,
  bsonRegExp: true,
} as const;

function bsonType(value: unknown): string | undefined {
  if (typeof value !== "object" || value === null || !("_bsontype" in value)) return undefined;
  return typeof value._bsontype === "string" ? value._bsontype : undefined;
}

/** Whether the value is an embedded document: not an array, date or BSON scalar. */
export function isDocument(value: unknown): value is Document {
  return (
    typeof value === "object" &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Date) &&
    !(value instanceof Uint8Array) &&
    bsonType(value) === undefined
  );
}

/** The value as a JavaScript number, or undefined when it is not a number. Longs above 2^53 lose precision. */
export function toNumber(value: unknown): number | undefined {
  if (typeof value === "number") return value;
  if (value instanceof Int32 || value instanceof Double) return value.value;
  if (value instanceof Decimal128) return Number(value.toString());
  return bsonType(value) === "Long" ? (value as Long).toNumber() : undefined;
}

/** The value as an exact integer, or undefined when it is not a 32- or 64-bit integer. */
export function toInteger(value: unknown): bigint | undefined {
  if (value instanceof Int32) return BigInt(value.value);
  return bsonType(value) === "Long" ? (value as Long).toBigInt() : undefined;
}

/** The type's name, as in MongoDB's messages and `$type`. */
export function typeName(value: unknown): string {
  if (value === undefined) return "missing";
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  if (value instanceof Date) return "date";
  if (typeof value === "string") return "string";
  if (typeof value === "boolean") return "bool";
  const names: Record<string, string> = {
    Int32: "int",
    Long: "long",
    Double: "double",
    Decimal128: "decimal",
    Binary: "binData",
    ObjectId: "objectId",
    Timestamp: "timestamp",
    BSONRegExp: "regex",
    BSONSymbol: "symbol",
    Code: "javascript",
    MinKey: "minKey",
    MaxKey: "maxKey",
    DBRef: "dbPointer",
  };
  const type = bsonType(value);
  if (type !== undefined) return names[type] ?? type;
  return typeof value === "number" ? "double" : "object";
}

/** Rank of each type in the order of types. Source: MongoDB manual, "Comparison/Sort Order". */
const ORDER: Readonly<Record<string, number>> = {
  minKey: 0,
  missing: 1,
  null: 1,
  int: 2,
  long: 2,
  double: 2,
  decimal: 2,
  string: 3,
  symbol: 3,
  object: 4,
  array: 5,
  binData: 6,
  objectId: 7,
  bool: 8,
  date: 9,
  timestamp: 10,
  regex: 11,
  dbPointer: 12,
  javascript: 13,
  maxKey: 14,
};

/** Values of one bracket are comparable by `$gt` and so on; others never match them. */
export function typeBracket(value: unknown): number {
  return ORDER[typeName(value)] ?? 13;
}

function compareNumbers(a: unknown, b: unknown): number {
  const [x, y] = [toInteger(a), toInteger(b)];
  if (x !== undefined && y !== undefined) return x < y ? -1 : x > y ? 1 : 0;
  const [p, q] = [toNumber(a) ?? Number.NaN, toNumber(b) ?? Number.NaN];
  if (Number.isNaN(p) || Number.isNaN(q)) return Number(Number.isNaN(q)) - Number(Number.isNaN(p));
  return p < q ? -1 : p > q ? 1 : 0;
}

function binaryParts(value: unknown): { type: number; bytes: Uint8Array } {
  if (value instanceof Uint8Array) return { type: 0, bytes: value };
  const binary = value as { sub_type: number; buffer: Uint8Array; position: number };
  return { type: binary.sub_type, bytes: binary.buffer.subarray(0, binary.position) };
}

function compareDocuments(a: Document, b: Document): number {
  const [left, right] = [Object.entries(a), Object.entries(b)];
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    const [leftName, leftValue] = left[i]!;
    const [rightName, rightValue] = right[i]!;
    const order =
      typeBracket(leftValue) - typeBracket(rightValue) ||
      Buffer.compare(Buffer.from(leftName), Buffer.from(rightName)) ||
      compareValues(leftValue, rightValue);
    if (order !== 0) return order;
  }
  return left.length - right.length;
}

function compareArrays(a: readonly unknown[], b: readonly unknown[]): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const order = compareValues(a[i], b[i]);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

/** Negative, zero or positive, in MongoDB's order of types and values; a missing value counts as null. */
export function compareValues(a: unknown, b: unknown): number {
  const bracket = typeBracket(a);
  if (bracket !== typeBracket(b)) return bracket - typeBracket(b);
  switch (typeName(a)) {
    case "int":
    case "long":
    case "double":
    case "decimal":
      return compareNumbers(a, b);
    case "string":
    case "symbol":
      return Buffer.compare(Buffer.from(String(a)), Buffer.from(String(b)));
    case "object":
      return compareDocuments(a as Document, b as Document);
    case "array":
      return compareArrays(a as unknown[], b as unknown[]);
    case "binData": {
      const [x, y] = [binaryParts(a), binaryParts(b)];
      return x.bytes.length - y.bytes.length || x.type - y.type || Buffer.compare(x.bytes, y.bytes);
    }
    case "objectId":
      return Buffer.compare((a as ObjectId).id, (b as ObjectId).id);
    case "bool":
      return Number(a) - Number(b);
    case "date":
      return (a as Date).getTime() - (b as Date).getTime();
    case "timestamp":
      return (a as Long).compare(b as Long);
    case "regex":
    case "javascript":
    case "dbPointer":
      return JSON.stringify(a) < JSON.stringify(b) ? -1 : JSON.stringify(a) > JSON.stringify(b) ? 1 : 0;
    default:
      return 0;
  }
}

/**
 * A string that is equal exactly for values that MongoDB considers equal (5 as int, long or double): the key of an index.
 */
export function keyOf(value: unknown): string {
  const name = typeName(value);
  const bracket = typeBracket(value);
  if (bracket === ORDER.int) {
    const integer = toInteger(value);
    const number = toNumber(value) ?? Number.NaN;
    if (integer !== undefined) return `n${integer}`;
    return Number.isInteger(number) ? `n${BigInt(number)}` : `n${number}`;
  }
  if (bracket === ORDER.null) return "null";
  if (name === "object") {
    const fields = Object.entries(value as Document).map(
      ([field, inner]) => `${JSON.stringify(field)}:${keyOf(inner)}`,
    );
    return `{${fields.join()}}`;
  }
  if (name === "array") return `[${(value as unknown[]).map(keyOf).join()}]`;
  if (name === "binData") {
    const { type, bytes } = binaryParts(value);
    return `b${type}:${Buffer.from(bytes).toString("base64")}`;
  }
  if (value instanceof Date) return `d${value.getTime()}`;
  if (value instanceof ObjectId) return `o${value.toHexString()}`;
  return `${name}${JSON.stringify(value)}`;
}

/** A number in the smallest BSON type that holds it: int, then long, then double. */
export function fromInteger(value: bigint): Int32 | Long {
  return value >= -0x80000000n && value <= 0x7fffffffn ? new Int32(Number(value)) : Long.fromBigInt(value);
}

/** Copies documents and arrays; scalars are shared because they are never changed in place. */
export function cloneValue<T>(value: T): T;
export function cloneValue(value: unknown): unknown {
  if (Array.isArray(value)) return value.map((inner) => cloneValue<unknown>(inner));
  if (!isDocument(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([field, inner]) => [field, cloneValue<unknown>(inner)]));
}

/** The value as the shell prints it, shortened; used in error messages. */
export function shellText(value: unknown, depth = 0): string {
  if (typeof value === "string") return JSON.stringify(value.length > 120 ? `${value.slice(0, 120)}…` : value);
  const number = toNumber(value);
  if (number !== undefined) return String(toInteger(value) ?? number);
  if (value === null || value === undefined) return "null";
  if (value instanceof Date) return `new Date(${value.getTime()})`;
  if (value instanceof ObjectId) return `ObjectId('${value.toHexString()}')`;
  if (typeName(value) === "binData") return `BinData(${binaryParts(value).type}, …)`;
  if (depth > 4) return "…";
  if (Array.isArray(value)) {
    const shown = value.slice(0, 10).map((inner) => shellText(inner, depth + 1));
    return `[ ${shown.join(", ")}${value.length > 10 ? ", …" : ""} ]`;
  }
  if (isDocument(value)) {
    const fields = Object.entries(value).map(([field, inner]) => `${field}: ${shellText(inner, depth + 1)}`);
    return fields.length === 0 ? "{}" : `{ ${fields.join(", ")} }`;
  }
  return typeof value === "boolean" ? String(value) : typeName(value);
}
