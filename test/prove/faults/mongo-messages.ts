/** What the suite and its MongoDB tell each other. */

/** The relay's database. */
export const DATABASE = "slm";
/** Of both users. */
export const MONGO_PASSWORD = "p@ss:/w?rd";

/** Which rights the relay's user has from now on; answered by `"done"`. */
export type ToMongo = "read-only" | "read-write";
export type FromMongo = { readonly port: number } | "done";
