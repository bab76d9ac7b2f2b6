/** Parses a command's fields. Wrong types and unknown fields are refused as by MongoDB. */
import type { Document } from "bson";
import { CommandError, notImplemented } from "./errors.ts";
import { isDocument, toNumber, typeName } from "./values.ts";

// Generic fields of any command. Source: idl/generic_argument.idl of MongoDB.
const GENERIC = new Set([
  "$db",
  "lsid",
  "$clusterTime",
  "$readPreference",
  "maxTimeMS",
  "comment",
  "readConcern",
  "writeConcern",
  "txnNumber",
  "autocommit",
  "startTransaction",
  "apiVersion",
  "apiStrict",
  "apiDeprecationErrors",
]);

/** The command's name: its first field. */
export const commandName = (command: Document): string => Object.keys(command)[0] ?? "";

function wrongType(where: string, value: unknown, expected: string): CommandError {
  return new CommandError(
    14,
    `BSON field '${where}' is the wrong type '${typeName(value)}', expected type '${expected}'`,
  );
}

function checkGeneric(command: Document): void {
  if (command.txnNumber !== undefined) {
    throw new CommandError(20, "Transaction numbers are only allowed on a replica set member or mongos");
  }
  const concern: unknown = command.writeConcern;
  if (isDocument(concern)) {
    const w = toNumber(concern.w) ?? (concern.w as unknown);
    if (typeof w === "number" && w > 1) throw new CommandError(2, "cannot use 'w' > 1 when a host is not replicated");
    if (typeof w === "string" && w !== "majority")
      throw new CommandError(2, "cannot use non-majority 'w' mode when a host is not replicated");
  }
  const level: unknown = isDocument(command.readConcern) ? command.readConcern.level : undefined;
  if (level !== undefined && !["local", "available", "majority"].includes(String(level))) {
    throw notImplemented(`The read concern '${String(level)}'`);
  }
  if (command.apiVersion !== undefined && command.apiVersion !== "1") {
    throw new CommandError(322, 'API version must be "1"');
  }
  if (command.apiStrict === true) throw notImplemented("apiStrict");
}

/**
 * Checks a command's fields.
 * @param known fields this server implements
 * @param missing real fields it does not implement: refused (238) unless false or null
 * @throws CommandError 40415 for any other field.
 */
export function checkFields(command: Document, known: readonly string[], missing: readonly string[] = []): void {
  const [name = "", ...fields] = Object.keys(command);
  checkGeneric(command);
  for (const field of fields) {
    if (GENERIC.has(field)) continue;
    checkField(name, command, field, known, missing);
  }
}

/** The same for one statement of a command (`update.updates`), without generic fields. */
export function checkStatement(
  where: string,
  statement: Document,
  known: readonly string[],
  missing: readonly string[] = [],
): void {
  for (const field of Object.keys(statement)) checkField(where, statement, field, known, missing);
}

function checkField(
  where: string,
  container: Document,
  field: string,
  known: readonly string[],
  missing: readonly string[],
): void {
  if (known.includes(field)) return;
  const value: unknown = container[field];
  if (!missing.includes(field)) throw new CommandError(40415, `BSON field '${where}.${field}' is an unknown field.`);
  if (value !== false && value !== null && value !== undefined)
    throw notImplemented(`The option '${field}' of ${where}`);
}

/** A field that must be a non-empty string, such as the collection's name. */
export function stringField(command: Document, field: string): string {
  const value: unknown = command[field];
  if (value === undefined)
    throw new CommandError(40414, `BSON field '${commandName(command)}.${field}' is missing but a required field`);
  if (typeof value !== "string") throw wrongType(`${commandName(command)}.${field}`, value, "string");
  if (value === "" && field === commandName(command))
    throw new CommandError(73, `Invalid namespace specified '${String(command.$db)}.'`);
  return value;
}

/** A field that is a document; `fallback` when it is absent, an error when there is none. */
export function documentField(command: Document, field: string, fallback?: Document): Document {
  const value: unknown = command[field] ?? fallback;
  if (value === undefined)
    throw new CommandError(40414, `BSON field '${commandName(command)}.${field}' is missing but a required field`);
  if (!isDocument(value)) throw wrongType(`${commandName(command)}.${field}`, value, "object");
  return value;
}

/** A field that is a list of documents. */
export function documentsField(command: Document, field: string): Document[] {
  const value: unknown = command[field];
  if (value === undefined)
    throw new CommandError(40414, `BSON field '${commandName(command)}.${field}' is missing but a required field`);
  if (!Array.isArray(value)) throw wrongType(`${commandName(command)}.${field}`, value, "array");
  return value.map((element: unknown, i) => {
    if (!isDocument(element)) throw wrongType(`${commandName(command)}.${field}.${i}`, element, "object");
    return element;
  });
}

/** A field that is a number; `fallback` when it is absent. */
export function numberField(command: Document, field: string, fallback: number): number {
  const value: unknown = command[field];
  if (value === undefined || value === null) return fallback;
  const number = toNumber(value);
  if (number === undefined) throw wrongType(`${commandName(command)}.${field}`, value, "long");
  return Math.trunc(number);
}

/** The same for one that must not be negative. @throws CommandError 51024. */
export function countField(command: Document, field: string, fallback: number): number {
  const number = numberField(command, field, fallback);
  if (number < 0) throw new CommandError(51024, `BSON field '${field}' value must be >= 0, actual value '${number}'`);
  return number;
}

/** A field that is true or false (or a number); `fallback` when it is absent. */
export function booleanField(command: Document, field: string, fallback: boolean): boolean {
  const value: unknown = command[field];
  if (value === undefined || value === null) return fallback;
  const number = toNumber(value);
  if (typeof value !== "boolean" && number === undefined)
    throw wrongType(`${commandName(command)}.${field}`, value, "bool");
  return value === true || (number !== undefined && number !== 0);
}
