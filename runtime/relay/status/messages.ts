/** The page's texts by language. Pure: also part of the page's own program. */
import { en } from "./messages-en.ts";
import { ko } from "./messages-ko.ts";
import type { Language } from "./page-data.ts";

export type MessageKey = keyof typeof en;

export const MESSAGES: Readonly<Record<Language, Readonly<Record<MessageKey, string>>>> = { en, ko };

/** A text with its values. A value is inserted as it is, also one with braces in it. */
export function message(
  language: Language,
  key: MessageKey,
  values: Readonly<Record<string, string | number>> = {},
): string {
  return MESSAGES[language][key].replaceAll(/\{(\w+)\}/g, (whole, name: string) =>
    Object.hasOwn(values, name) ? String(values[name]) : whole,
  );
}
