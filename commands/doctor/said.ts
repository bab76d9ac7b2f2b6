/** What a conclusion that is not ok says: what was found, the consequence, the fix. */
export type Said = readonly [found: string, means: string, todo?: string];
