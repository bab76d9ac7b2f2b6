/** The language of a command's report. Options, JSON keys and codes are the same in both. */
import type { Language } from "../accounts/finding.ts";
import { UsageError } from "./errors.ts";

export type { Language } from "../accounts/finding.ts";

/** The option that every command with a report in both languages has. */
export const langOption = {
  lang: { type: "string", value: "LANG", help: "language of the report: ko or en; default: as the shell's locale" },
} as const;

/** By the shell's locale, as POSIX orders its variables: LC_ALL, LC_MESSAGES, LANG; English unless it is Korean. */
export function languageOf(env: NodeJS.ProcessEnv = process.env): Language {
  return /^ko(?:[_.@-]|$)/i.test(env.LC_ALL || env.LC_MESSAGES || env.LANG || "") ? "ko" : "en";
}

/** @param given value of `--lang` @throws UsageError for any other language */
export function readLanguage(given: string | undefined, env: NodeJS.ProcessEnv = process.env): Language {
  if (given === undefined) return languageOf(env);
  if (given === "ko" || given === "en") return given;
  throw new UsageError(`--lang is ${JSON.stringify(given)}: it must be ko or en`);
}

/** The language of a report whose JSON has texts, too: for scripts these are English unless they ask for another one. */
export function reportLanguage({ json, lang }: { json: boolean; lang?: string | undefined }): Language {
  return json && lang === undefined ? "en" : readLanguage(lang);
}
