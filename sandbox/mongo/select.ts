/** Selecting the documents of a command. */
import type { Document } from "bson";
import type { Collection } from "./collection.ts";
import { compileFilter } from "./filter.ts";
import { compileSort } from "./projection.ts";
import { typeBracket } from "./values.ts";

/** Scalar type brackets: an `_id` of one of these is looked up instead of searched. */
const SCALARS = new Set(["x", 1, new Date()].map(typeBracket).concat(6, 7, 8));

function candidates(collection: Collection, filter: Document): Document[] {
  if (filter._id === undefined || !SCALARS.has(typeBracket(filter._id))) return collection.documents();
  const found = collection.byId(filter._id);
  return found === undefined ? [] : [found];
}

/**
 * The matching documents, sorted by `sort` or in insertion order; at most `limit` (0: all). The filter is validated even
 * without a collection.
 */
export function select(
  collection: Collection | undefined,
  filter: Document,
  sort: Document = {},
  limit = 0,
): Document[] {
  const matches = compileFilter(filter);
  const order = Object.keys(sort).length > 0 ? compileSort(sort) : undefined;
  if (collection === undefined) return [];
  const found: Document[] = [];
  for (const document of candidates(collection, filter)) {
    if (!matches(document)) continue;
    found.push(document);
    if (order === undefined && found.length === limit) break;
  }
  if (order !== undefined) found.sort(order);
  return limit > 0 ? found.slice(0, limit) : found;
}
