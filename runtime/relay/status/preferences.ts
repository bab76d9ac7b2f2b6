/** Language and colours of the page, by what the reader chose, else by the browser. Pure. */
import type { IncomingHttpHeaders } from "node:http";
import { LANGUAGES, type Language, PREFERENCE_COOKIES, THEMES, type Theme } from "./page-data.ts";

/** Longest header that is read. */
const LONGEST = 8192;

export function readPreferences(headers: Pick<IncomingHttpHeaders, "cookie" | "accept-language">): {
  readonly language: Language;
  readonly theme: Theme;
} {
  const chosen = (name: string) => cookieOf(headers.cookie ?? "", name);
  const language = LANGUAGES.find((one) => one === chosen(PREFERENCE_COOKIES.language));
  const theme = THEMES.find((one) => one === chosen(PREFERENCE_COOKIES.theme));
  return { language: language ?? browserLanguage(headers["accept-language"] ?? ""), theme: theme ?? "auto" };
}

function cookieOf(cookies: string, name: string): string | undefined {
  for (const pair of cookies.slice(0, LONGEST).split(";")) {
    const at = pair.indexOf("=");
    if (at >= 0 && pair.slice(0, at).trim() === name) return pair.slice(at + 1).trim();
  }
  return undefined;
}

/** The language that the browser likes best of those that the page has; English if it names none of them. */
function browserLanguage(accepted: string): Language {
  let best: Language = "en";
  let bestQuality = 0;
  for (const range of accepted.slice(0, LONGEST).split(",")) {
    const [tag = "", ...parameters] = range.trim().toLowerCase().split(";");
    const named = parameters.map((one) => one.trim()).find((one) => one.startsWith("q="));
    const quality = named === undefined ? 1 : Number(named.slice(2));
    const [primary = ""] = tag.split("-");
    const language = LANGUAGES.find((one) => one === primary);
    if (language !== undefined && quality > bestQuality) [best, bestQuality] = [language, quality];
  }
  return best;
}
