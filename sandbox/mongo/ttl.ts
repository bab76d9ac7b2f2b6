/** The TTL monitor. Source: MongoDB manual, "TTL Indexes". */
import type { Document } from "bson";
import { valuesAt } from "./paths.ts";
import type { Store } from "./store.ts";

/** The date that a document's expiry counts from: the earliest under the field, in ms since 1970; undefined without one. */
function earliestDate(document: Document, field: string): number | undefined {
  const dates = valuesAt(document, field)
    .flatMap((value): unknown[] => (Array.isArray(value) ? value : [value]))
    .filter((value) => value instanceof Date)
    .map((date) => date.getTime());
  return dates.length === 0 ? undefined : Math.min(...dates);
}

/** Removes every document whose indexed date plus `expireAfterSeconds` is before `now`. @returns their number */
export function removeExpired(store: Store, now: Date): number {
  let removed = 0;
  for (const collection of store.databaseNames().flatMap((name) => store.collections(name))) {
    for (const { key, expireAfterSeconds } of collection.indexes) {
      const [field] = Object.keys(key);
      if (expireAfterSeconds === undefined || field === undefined) continue;
      for (const document of collection.documents()) {
        const date = earliestDate(document, field);
        if (date === undefined || date + expireAfterSeconds * 1000 >= now.getTime()) continue;
        collection.remove(document);
        removed += 1;
      }
    }
  }
  return removed;
}
