/** Sorting and projecting documents. Source: MongoDB manual, "find" (sort, projection). */
import type { Document } from "bson";
import { CommandError, notImplemented } from "./errors.ts";
import { setAt, setField, valueAt, valuesAt } from "./paths.ts";
import { cloneValue, compareValues, isDocument, toNumber, typeName } from "./values.ts";

/** An order of documents by `{field: 1 | -1, …}`. @throws CommandError 15974, 15975 or 238. */
export function compileSort(sort: Document): (a: Document, b: Document) => number {
  const keys = Object.entries(sort).map(([path, value]) => {
    if (isDocument(value)) throw notImplemented("Sorting by an expression");
    const direction = toNumber(value);
    if (direction === undefined)
      throw new CommandError(15974, `Illegal key in $sort specification: ${path}: ${String(value)}`);
    if (direction !== 1 && direction !== -1)
      throw new CommandError(15975, "$sort key ordering must be 1 (for ascending) or -1 (for descending)");
    return { path: path.split("."), direction };
  });
  // An array sorts by its smallest element ascending, its largest descending.
  const pick = (document: Document, path: readonly string[], direction: number): unknown => {
    const leaves = valuesAt(document, path).flatMap((leaf): unknown[] => (Array.isArray(leaf) ? leaf : [leaf]));
    return leaves.reduce<unknown>((best, leaf) => (compareValues(leaf, best) * direction < 0 ? leaf : best), leaves[0]);
  };
  return (a, b) => {
    for (const { path, direction } of keys) {
      const order = compareValues(pick(a, path, direction), pick(b, path, direction)) * direction;
      if (order !== 0) return order;
    }
    return 0;
  };
}

interface Tree {
  [field: string]: Tree | true;
}

function include(value: unknown, tree: Tree): unknown {
  if (Array.isArray(value)) {
    return value
      .filter((element) => isDocument(element) || Array.isArray(element))
      .map((element: unknown) => include(element, tree));
  }
  if (!isDocument(value)) return undefined;
  const kept: Document = {};
  for (const [field, inner] of Object.entries(value)) {
    const branch = Object.hasOwn(tree, field) ? tree[field] : undefined;
    if (branch === undefined) continue;
    const result: unknown = branch === true ? inner : include(inner, branch);
    if (result !== undefined) setField(kept, field, result);
  }
  return kept;
}

function exclude(value: unknown, tree: Tree): unknown {
  if (Array.isArray(value)) return value.map((element: unknown) => exclude(element, tree));
  if (!isDocument(value)) return value;
  const kept: Document = {};
  for (const [field, inner] of Object.entries(value)) {
    const branch = Object.hasOwn(tree, field) ? tree[field] : undefined;
    if (branch !== true) setField(kept, field, branch === undefined ? inner : exclude(inner, branch));
  }
  return kept;
}

function treeOf(paths: readonly string[]): Tree {
  const tree: Tree = {};
  for (const path of paths) {
    const parts = path.split(".");
    let node = tree;
    for (const [i, part] of parts.entries()) {
      const next = node[part];
      if (i === parts.length - 1) {
        if (next !== undefined) throw new CommandError(31250, `Path collision at ${path}`);
        node[part] = true;
      } else {
        if (next === true)
          throw new CommandError(31249, `Path collision at ${path} remaining portion ${parts.slice(i + 1).join(".")}`);
        node = node[part] = next ?? {};
      }
    }
  }
  return tree;
}

/**
 * A projection: `{a: 1}` keeps, `{a: 0}` removes, `{a: "$b.c"}` copies another field (`_id` stays unless it is 0).
 * @throws CommandError 31254 or 31253 when keeping and removing are mixed, 238 for expressions.
 */
export function compileProjection(projection: Document): (document: Document) => Document {
  const kept: string[] = [];
  const removed: string[] = [];
  const copied: [path: string, source: string][] = [];
  let id: boolean | undefined;
  for (const [path, value] of Object.entries(projection)) {
    const number = typeof value === "boolean" ? Number(value) : toNumber(value);
    if (typeof value === "string" && value.startsWith("$") && !value.startsWith("$$"))
      copied.push([path, value.slice(1)]);
    else if (number === undefined || path.includes("$"))
      throw notImplemented(`The projection of '${path}' by a value of type ${typeName(value)}`);
    else if (path === "_id") id = number !== 0;
    else (number === 0 ? removed : kept).push(path);
  }
  if (removed.length > 0 && (kept.length > 0 || copied.length > 0)) {
    const first = Object.keys(projection).find((path) => path !== "_id");
    if (first === removed[0])
      throw new CommandError(
        31253,
        `Cannot do inclusion on field ${kept[0] ?? copied[0]?.[0]} in exclusion projection`,
      );
    throw new CommandError(31254, `Cannot do exclusion on field ${removed[0]} in inclusion projection`);
  }
  if (kept.length > 0 || copied.length > 0 || (id === true && removed.length === 0)) {
    const tree = treeOf(id === false ? kept : [...kept, "_id"]);
    return (document) => {
      const result = cloneValue(include(document, tree) as Document);
      for (const [path, source] of copied) {
        const value = valueAt(document, source);
        if (value !== undefined) setAt(result, path, cloneValue(value));
      }
      return result;
    };
  }
  const tree = treeOf(id === false ? [...removed, "_id"] : removed);
  return (document) => exclude(document, tree) as Document;
}
