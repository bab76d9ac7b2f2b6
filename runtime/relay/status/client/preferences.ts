/** What the reader chose, remembered in cookies, so that the server sends the page that way. */
import { LANGUAGES, type Language, PATHS, PREFERENCE_COOKIES, THEMES, type Theme } from "../page-data.ts";

const YEAR_S = 31_536_000;

export const language = (): Language => LANGUAGES.find((one) => one === document.documentElement.lang) ?? "en";

export function chooseLanguage(chosen: Language): void {
  document.documentElement.lang = chosen;
  remember(PREFERENCE_COOKIES.language, chosen);
}

export const theme = (): Theme => THEMES.find((one) => one === document.documentElement.dataset.theme) ?? "auto";

export function chooseTheme(chosen: Theme): void {
  document.documentElement.dataset.theme = chosen;
  remember(PREFERENCE_COOKIES.theme, chosen);
}

/** Whether the page is dark now. */
export const isDark = (): boolean =>
  theme() === "dark" || (theme() === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);

function remember(name: string, value: string): void {
  const secure = location.protocol === "https:" ? "; Secure" : "";
  // biome-ignore lint/suspicious/noDocumentCookie: the Cookie Store API is missing in browsers of 2024
  document.cookie = `${name}=${value}; Path=${PATHS.page}; Max-Age=${YEAR_S}; SameSite=Lax${secure}`;
}
