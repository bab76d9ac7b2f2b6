/** Dotted paths into documents, for filters, updates, projections and indexes. */
import type { Document } from "bson";
import { CommandError } from "./errors.ts";
import { isDocument, shellText } from "./values.ts";

const isIndex = (part: string): boolean => /^(0|[1-9]\d*)$/.test(part);

/**
 * The values at a path; arrays on the way are entered by index and by element, as in filters. A missing field yields
 * `undefined`; an array at the end is returned as a whole.
 */
export function valuesAt(value: unknown, path: string | readonly string[]): unknown[] {
  const [head, ...rest] = typeof path === "string" ? path.split(".") : path;
  if (head === undefined) return [value];
  if (Array.isArray(value)) {
    const byIndex = isIndex(head) && Number(head) < value.length ? valuesAt(value[Number(head)], rest) : [];
    const byElement = value.filter(isDocument).flatMap((element) => valuesAt(element, [head, ...rest]));
    return [...byIndex, ...byElement];
  }
  if (!isDocument(value)) return [undefined];
  return Object.hasOwn(value, head) ? valuesAt(value[head], rest) : [undefined];
}

/** The one value at a path that does not branch over arrays, or undefined. */
export function valueAt(value: unknown, path: string): unknown {
  let current = value;
  for (const part of path.split(".")) {
    if (Array.isArray(current) && isIndex(part)) current = current[Number(part)];
    else if (isDocument(current) && Object.hasOwn(current, part)) current = current[part];
    else return undefined;
  }
  return current;
}

/** Sets own field `name`, `__proto__` too. */
export function setField(target: Document, name: string, value: unknown): void {
  Object.defineProperty(target, name, { value, enumerable: true, configurable: true, writable: true });
}

/**
 * Sets the value at a path in place, creating documents on the way.
 * @throws CommandError 28 (PathNotViable) when a scalar or a non-numeric array index is in the way.
 */
export function setAt(root: Document, path: string, value: unknown): void {
  const parts = path.split(".");
  let current: unknown = root;
  for (const [i, part] of parts.entries()) {
    const last = i === parts.length - 1;
    if (Array.isArray(current) && isIndex(part)) {
      const index = Number(part);
      if (index > current.length + 1_500_000) throw new CommandError(2, `can't backfill more than 1500000 elements`);
      while (current.length < index) current.push(null);
      if (last) current[index] = value;
      else current = current[index] ??= {};
    } else if (isDocument(current)) {
      if (last) setField(current, part, value);
      else {
        if (!Object.hasOwn(current, part)) setField(current, part, {});
        current = current[part];
      }
    } else {
      const parent = parts[i - 1] ?? "";
      throw new CommandError(28, `Cannot create field '${part}' in element {${parent}: ${shellText(current)}}`);
    }
  }
}

/** Removes the field at a path in place; an array element becomes null. A missing one is not an error. */
export function unsetAt(root: Document, path: string): void {
  const parts = path.split(".");
  const last = parts.pop() ?? "";
  const parent = parts.length === 0 ? root : valueAt(root, parts.join("."));
  if (Array.isArray(parent) && isIndex(last)) {
    if (Number(last) < parent.length) parent[Number(last)] = null;
  } else if (isDocument(parent)) delete parent[last];
}
