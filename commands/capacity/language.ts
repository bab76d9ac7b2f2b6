/** A language of the report. */
export type Language = "ko" | "en";
