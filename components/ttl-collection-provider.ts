/**
 * The dynamic provider behind `TtlCollection`. Runs in Pulumi's dynamic-provider process.
 */
import "./compile-cache.ts";
import { isOtherProvider } from "./dynamic-state.ts";
import type { TtlCollectionInputs, TtlCollectionState } from "./ttl-collection-database.ts";

export type { TtlCollectionInputs, TtlCollectionState } from "./ttl-collection-database.ts";

/** What changed between the state and what the program wants. Reaches no database, so that a preview needs none. */
export async function diff(olds: TtlCollectionState, news: TtlCollectionInputs) {
  const replaces = (["database", "collection"] as const).filter((key) => olds[key] !== news[key]);
  const changed =
    (["uri", "ttlSeconds", "dropData"] as const).some((key) => olds[key] !== news[key]) || olds.uniqueIndex !== true;
  return {
    changes: replaces.length > 0 || changed || isOtherProvider(olds, news),
    replaces: [...replaces],
    deleteBeforeReplace: false,
  };
}

const database = () => import("./ttl-collection-database.ts");
type Database = Awaited<ReturnType<typeof database>>;

/** Creates the collection and its indexes; existing ones are taken over, and a different TTL is changed. */
export const create: Database["create"] = async (...args) => (await database()).create(...args);
/** Corrects what differs. */
export const update: Database["update"] = async (...args) => (await database()).update(...args);
/** The indexes as they are; an empty id when the collection is gone. */
export const read: Database["read"] = async (...args) => (await database()).read(...args);
/** Drops the collection and the relay's collections beside it, only with `dropData`; otherwise only the state forgets it. */
export const remove: Database["remove"] = async (...args) => (await database()).remove(...args);
