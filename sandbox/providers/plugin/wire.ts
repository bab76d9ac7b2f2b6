/** Converts between a program's properties (camelCase, plurals) and an API's JSON by the field tables. */
import { sorted } from "./diff.ts";
import type { Field, Fields } from "./fields.ts";
import { equal, isProps, type Props, type Value } from "./values.ts";

/** Plain JSON. */
export type Json = null | boolean | number | string | Json[] | JsonObject;
export interface JsonObject {
  [key: string]: Json | undefined;
}

/** True for a JSON object, not for a list or null. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const snake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const wireName = (name: string, field: Field, camel: boolean) => field.wire ?? (camel ? name : snake(name));

function valueToWire(field: Field, value: Value, camel: boolean): Json {
  const inner = camel || field.camel === true;
  if (Array.isArray(value)) {
    const item = field.item;
    return value.map((element) => (item ? valueToWire(item, element, inner) : plain(element)));
  }
  if (isProps(value) && field.kind === "object") return toWire(field.fields ?? {}, value, inner);
  if (isProps(value) && field.item) {
    const { item } = field;
    const entries = Object.entries(value).filter(([, element]) => element !== undefined);
    return Object.fromEntries(entries.map(([key, element]) => [key, valueToWire(item, element ?? null, inner)]));
  }
  return field.kind === "any" ? snakeKeys(plain(value)) : plain(value);
}

/** Values without a table are sent with keys in snake_case. */
function snakeKeys(value: Json): Json {
  if (Array.isArray(value)) return value.map(snakeKeys);
  if (!isJsonObject(value)) return value;
  const entries = Object.entries(value).map(([key, item]) => [snake(key), item === undefined ? item : snakeKeys(item)]);
  return Object.fromEntries(entries);
}

function plain(value: Value): Json {
  if (Array.isArray(value)) return value.map(plain);
  if (isProps(value)) {
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, item === undefined ? item : plain(item)]),
    );
  }
  if (typeof value === "object" && value !== null)
    throw new Error("an asset or an unknown value cannot go into a request");
  return value;
}

/** The request body of these properties; fields outside the table and absent ones are omitted. */
export function toWire(fields: Fields, props: Props, camel = false): JsonObject {
  const body: JsonObject = {};
  for (const [name, field] of Object.entries(fields)) {
    const value = props[name];
    if (value === undefined || value === null) continue;
    const ordered = field.set && Array.isArray(value) ? sorted(value) : value;
    body[wireName(name, field, camel)] = valueToWire(field, ordered, camel);
  }
  return body;
}

function valueFromWire(field: Field, value: Json, camel: boolean): Value {
  const inner = camel || field.camel === true;
  if (Array.isArray(value)) {
    const item = field.item;
    return value.map((element) => (item ? valueFromWire(item, element, inner) : camelKeys(element)));
  }
  if (isJsonObject(value) && field.kind === "object") return fromWire(field.fields ?? {}, value, inner);
  if (isJsonObject(value) && field.item) {
    const { item } = field;
    const entries = Object.entries(value).filter(([, element]) => element !== undefined);
    return Object.fromEntries(entries.map(([key, element]) => [key, valueFromWire(item, element ?? null, inner)]));
  }
  return field.kind === "any" ? camelKeys(value) : plainValue(value);
}

/** JSON without a table: keys in camelCase, without nulls. */
export function camelKeys(value: Json): Value {
  if (Array.isArray(value)) return value.map(camelKeys);
  if (!isJsonObject(value)) return value;
  const props: Props = {};
  for (const [key, item] of Object.entries(value)) {
    if (item === null || item === undefined) continue;
    props[key.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())] = camelKeys(item);
  }
  return props;
}

function plainValue(value: Json): Value {
  if (Array.isArray(value)) return value.map(plainValue);
  if (!isJsonObject(value)) return value;
  const entries = Object.entries(value).map(([key, item]) => [key, item === undefined ? item : plainValue(item)]);
  return Object.fromEntries(entries);
}

/** The properties of an API's object that are in the table; absent ones and nulls are omitted. */
export function fromWire(fields: Fields, body: JsonObject, camel = false): Props {
  const props: Props = {};
  for (const [name, field] of Object.entries(fields)) {
    const value = body[wireName(name, field, camel)];
    if (value !== undefined && value !== null) props[name] = valueFromWire(field, value, camel);
  }
  return props;
}

const weightless = (value: Value | undefined) =>
  value === undefined ||
  value === null ||
  value === "" ||
  value === false ||
  (typeof value === "object" && Object.keys(value).length === 0);

/**
 * The API's value reduced to what the program set: of an object only the program's keys, so that the API's additions are
 * not drift. A list is compared as a whole; an unordered one keeps the program's order.
 */
export function project(field: Field | undefined, asked: Value, actual: Value | undefined): Value | undefined {
  if (actual === undefined) return weightless(asked) ? asked : undefined;
  if (Array.isArray(asked) && Array.isArray(actual)) {
    if (field?.set) return projectSet(field, asked, actual);
    return actual.map((item, i) => {
      const counterpart = asked[i];
      return counterpart === undefined ? item : (project(field?.item, counterpart, item) ?? null);
    });
  }
  if (isProps(asked) && isProps(actual)) {
    const seen: Props = {};
    for (const [key, value] of Object.entries(asked)) {
      const child = field?.fields?.[key] ?? field?.item;
      if (value !== undefined && value !== null) seen[key] = project(child, value, actual[key]);
    }
    for (const [key, child] of Object.entries(field?.fields ?? {})) {
      if (child.filledIn && asked[key] === undefined && actual[key] !== undefined) seen[key] = actual[key];
    }
    return seen;
  }
  return actual;
}

/** Elements equal to the program's are returned in the program's form; if there are no others, in its order. */
function projectSet(field: Field, asked: Value[], actual: Value[]): Value[] {
  const left = [...asked];
  const seen = actual.map((item) => {
    const at = left.findIndex((wanted) => equal(project(field.item, wanted, item), wanted));
    return at < 0 ? item : (left.splice(at, 1)[0] ?? item);
  });
  return left.length === 0 && seen.length === asked.length ? asked : seen;
}

/**
 * The inputs that correspond to the API's object: drift shows as a difference from `asked`. An input that the API never
 * returns stays; one the program did not set counts only when it is `watched` and not empty.
 */
export function refreshedInputs(fields: Fields, asked: Props, actual: Props): Props {
  const inputs: Props = {};
  for (const [name, field] of Object.entries(fields)) {
    const [before, now] = [asked[name], actual[name]];
    if (before === undefined || before === null) {
      if (field.watched && !weightless(now)) inputs[name] = now;
    } else if (field.writeOnly) inputs[name] = before;
    else inputs[name] = project(field, before, now);
  }
  return inputs;
}

/** The inputs of an imported resource: all that the API returns except computed ones. */
export function importedInputs(fields: Fields, actual: Props): Props {
  const given = Object.entries(fields).filter(([name, field]) => !field.computed && !weightless(actual[name]));
  return Object.fromEntries(given.map(([name]) => [name, actual[name]]));
}
