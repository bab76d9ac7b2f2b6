import { expect, it, test } from "vitest";
import { readPreferences } from "../../../../runtime/relay/status/preferences.ts";

const languageOf = (accepted: string | undefined, cookie?: string) =>
  readPreferences({ "accept-language": accepted, cookie }).language;

test.each([
  ["ko-KR,ko;q=0.9,en-US;q=0.8,en;q=0.7", "ko"],
  ["en-US,en;q=0.9,ko;q=0.8", "en"],
  ["ja,ko;q=0.5,en;q=0.4", "ko"],
  ["KO", "ko"],
  ["fr-FR,fr;q=0.9", "en"],
  ["ko;q=0,en;q=0.1", "en"],
  ["ko;q=x", "en"],
  ["kok,en;q=0.1", "en"],
  ["*", "en"],
  ["", "en"],
  [undefined, "en"],
])("Accept-Language %s is %s", (accepted, language) => {
  expect(languageOf(accepted)).toBe(language);
});

it("what the reader chose counts before the browser's language; anything else in the cookie does not", () => {
  expect(languageOf("en", "a=b; slm_status_language=ko; c=d")).toBe("ko");
  expect(languageOf("ko", "slm_status_language=en")).toBe("en");
  for (const value of ["fr", "constructor", "__proto__", '"><script>', ""]) {
    expect(languageOf("ko", `slm_status_language=${value}`)).toBe("ko");
  }
});

it("colours follow the system unless the reader chose", () => {
  const themeOf = (cookie?: string) => readPreferences({ cookie }).theme;
  expect([themeOf(), themeOf("slm_status_theme=dark"), themeOf("slm_status_theme=pink")]).toEqual([
    "auto",
    "dark",
    "auto",
  ]);
});
