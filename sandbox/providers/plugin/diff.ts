/** What changed between two sets of inputs, property by property. */
import type { Field, Fields } from "./fields.ts";
import { join } from "./fields.ts";
import { equal, isProps, type Props, reveal, Unknown, type Value } from "./values.ts";

/** One changed property. */
export interface Change {
  kind: "add" | "delete" | "update";
  /** The top-level input it belongs to. */
  property: string;
  replace: boolean;
  /** It cannot be changed at all. */
  forbidden: boolean;
}

const isPresent = (value: Value | undefined): value is Value => value !== undefined && value !== null;

/** A canonical order for comparing lists whose order has no meaning. */
export function sorted(value: Value[]): Value[] {
  const keyed = value.map((item) => ({ item, key: JSON.stringify(canonical(item)) }));
  return keyed.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0)).map(({ item }) => item);
}

function canonical(value: Value | undefined): unknown {
  if (Array.isArray(value)) return value.map(canonical);
  if (!isProps(value)) return value;
  const keys = Object.keys(value).sort();
  return keys.map((key) => [key, canonical(value[key])]);
}

type Found = (path: string, kind: Change["kind"], field: Field | undefined) => void;

function walk(field: Field | undefined, path: string, before: Value, after: Value, found: Found) {
  if (after instanceof Unknown) return found(path, "update", field);
  if (Array.isArray(before) && Array.isArray(after)) {
    const [a, b] = field?.set ? [sorted(before), sorted(after)] : [before, after];
    for (let i = 0; i < Math.max(a.length, b.length); i++) compare(field?.item, `${path}[${i}]`, a[i], b[i], found);
    return;
  }
  if (isProps(before) && isProps(after)) {
    for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
      compare(field?.fields?.[key] ?? field?.item, join(path, key), before[key], after[key], found);
    }
    return;
  }
  if (!equal(before, after)) found(path, "update", field);
}

function compare(
  field: Field | undefined,
  path: string,
  before: Value | undefined,
  after: Value | undefined,
  found: Found,
) {
  if (!isPresent(before)) {
    if (isPresent(after)) found(path, "add", field);
  } else if (!isPresent(after)) found(path, "delete", field);
  else walk(field, path, before, after, found);
}

/**
 * The changed properties by path (`config.ingresses[0].service`). Secret marks are not compared, only values; a value not
 * known yet counts as an update. A computed input removed from the program is not a change: the API's value stays.
 */
export function diff(fields: Fields, before: Props, after: Props): Map<string, Change> {
  const changes = new Map<string, Change>();
  const [olds, news] = [reveal(before), reveal(after)];
  for (const key of new Set([...Object.keys(olds), ...Object.keys(news)])) {
    const field = fields[key];
    if (key.startsWith("__") || (field?.computed && !isPresent(news[key]))) continue;
    compare(field, key, olds[key], news[key], (path, kind, leaf) => {
      const replace = field?.replace === true || (field?.replace === "whole" && path === key);
      changes.set(path, { kind, property: key, replace, forbidden: leaf?.createOnly === true });
    });
  }
  return changes;
}
