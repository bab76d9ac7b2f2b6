/** A finding of a check: ok, warning or failure, with the fix. */

/** A language that findings can be given in. */
export type Language = "ko" | "en";

/** What a warning or failure says: what was found, a sentence with the value; and what to do. */
export type Said = readonly [says: string, todo: string];

/** One finding. */
export interface Finding {
  /** Stable, for machines: `cloudflare.permission.dns-write`. The same in every language. */
  readonly id: string;
  /**
   * - `ok`: as it should be
   * - `warn`: `up` goes on, but something will disappoint, or could not be looked at
   * - `fail`: `up` would fail, or what it makes would not work
   */
  readonly level: "ok" | "warn" | "fail";
  /** What was found, a sentence with the value, in English. */
  readonly says: string;
  /** What to do, in English; always there unless all is well. */
  readonly todo?: string | undefined;
  /** The same in a language; a finding without it is in English only. */
  readonly saidIn?: ((language: Language) => Said | string) | undefined;
}

/** Makes findings whose text is taken from a table of messages. */
export interface FindingMakers<Messages> {
  /** A check that passed. */
  ok(id: string, text: (say: Messages) => string): Finding;
  /** A warning. */
  warn(id: string, text: (say: Messages) => Said): Finding;
  /** A failure. */
  fail(id: string, text: (say: Messages) => Said): Finding;
}

/**
 * @param tables one for each language. A finding keeps how its text is chosen, so that the values in it are computed once and
 * the language is chosen where it is shown: the program shows English, `npm run preflight` the language of the shell
 */
export function findingMakers<Messages>(tables: Readonly<Record<Language, Messages>>): FindingMakers<Messages> {
  const make = (id: string, level: Finding["level"], text: (say: Messages) => Said | string): Finding => {
    const said = text(tables.en);
    const [says, todo] = typeof said === "string" ? [said] : said;
    const saidIn = (language: Language) => text(tables[language]);
    return { id, level, says, ...(todo !== undefined && { todo }), saidIn };
  };
  return {
    ok: (id, text) => make(id, "ok", text),
    warn: (id, text) => make(id, "warn", text),
    fail: (id, text) => make(id, "fail", text),
  };
}

/** @returns the finding as data, in the language where it has a translation, else in English */
export function inLanguage({ id, level, says, todo, saidIn }: Finding, language: Language): Finding {
  const said = saidIn?.(language) ?? (todo === undefined ? says : ([says, todo] as const));
  if (typeof said === "string") return { id, level, says: said };
  return { id, level, says: said[0], todo: said[1] };
}

/** A finding as one line of text, in English. */
export const problemText = ({ says, todo }: Finding): string => (todo ? `${says}. ${todo}` : says);
