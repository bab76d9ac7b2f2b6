/** The doctor's report in Korean says what the English one says. */
import { describe, expect, it } from "vitest";
import { fileVault } from "../../../commands/doctor/checks/file-vault.ts";
import { relay } from "../../../commands/doctor/checks/relay.ts";
import { checks } from "../../../commands/doctor/checks.ts";
import { MESSAGES } from "../../../commands/doctor/messages.ts";
import { render } from "../../../commands/doctor/report.ts";
import { languageOf, readLanguage } from "../../../commands/language.ts";
import { textWidth } from "../../../commands/text-width.ts";
import { evaluate, refusedBy, said } from "./evaluate.ts";

/** Arguments that are easy to find again; a function takes as many as it wants. */
const ARGUMENTS = ["A1x", "B2x", "C3x", "D4x", "E5x"];
const NUMBERS = [71, 72, 73, 74, 75];

/** Every text of the messages, by its path. Functions get texts, and where those make no sense, numbers. */
function textsOf(value: unknown, args: readonly unknown[], path = ""): Map<string, string> {
  if (typeof value === "string") return new Map([[path, value]]);
  if (typeof value === "function") return textsOf((value as (...all: unknown[]) => unknown)(...args), args, path);
  if (typeof value !== "object" || value === null) return new Map();
  return new Map(Object.entries(value).flatMap(([key, one]) => [...textsOf(one, args, `${path}.${key}`)]));
}

/** What must be the same in every language: commands, settings, arguments. */
const fixed = (text: string): string[] =>
  [...text.matchAll(/`[^`]*`|[A-E]\dx|(?<!\d)7[1-5](?!\d)|\b[A-Za-z]\w+(?:\.\w+)+\b|\b[45]\d\d\b/g)]
    .map(([one]) => one)
    .toSorted();

describe.each([
  ["texts", ARGUMENTS],
  ["numbers", NUMBERS],
])("messages given %s", (_what, args) => {
  const en = textsOf(MESSAGES.en, args);
  const ko = textsOf(MESSAGES.ko, args);

  it("are the same in number and kind", () => {
    expect([...ko.keys()]).toEqual([...en.keys()]);
    expect(en.size).toBeGreaterThan(120);
  });

  it.each([...en].filter(([path]) => !path.startsWith(".titles")))(
    "%s has the same arguments and settings",
    (path, text) => {
      const korean = ko.get(path)!;
      // A number that is given as a text is none in either.
      const broken = (one: string) => /undefined|NaN|\[object/.test(one);
      expect(broken(korean)).toBe(broken(text));
      // A command may have an argument that is a word.
      const codes = (one: string) => fixed(one).map((code) => code.replace(/<[^>]+>/g, "<>"));
      expect(codes(korean)).toEqual(codes(text));
      // What is not only an argument is in the language.
      if (
        /[a-z]{4}/.test(text.replace(/`[^`]*`|[A-E]\dx/g, "").replace(/[\w.]+\.\w+/g, "")) &&
        !/^\.(chip|sudo|atlas\.closed\.0)/.test(path)
      ) {
        expect(/[가-힣]/.test(korean), korean).toBe(true);
      }
    },
  );
});

it("every check has a title in both", () => {
  for (const { name } of checks)
    for (const { titles } of Object.values(MESSAGES)) expect(Object.keys(titles)).toContain(name);
});

it("a report in Korean is in Korean, in columns, and its checks have the names that scripts know", () => {
  const findings = [
    { check: "FileVault", ...evaluate(fileVault, { active: said("true") }, { language: "ko" }) },
    {
      check: "relay",
      ...evaluate(
        relay,
        { ready: said("ready\n\n200"), details: said('{"uptimeSeconds":7300,"draining":false}') },
        { language: "ko" },
      ),
    },
    { check: "direct line of backend", level: "ok", found: "연결됨" } as const,
    { check: "clock", ...evaluate(fileVault, { active: refusedBy("no such command") }, { language: "ko" }) },
  ];
  const text = render("studio", findings, "ko");
  expect(text).toContain("FAIL  FileVault");
  expect(text).toContain("릴레이");
  expect(text).toContain("준비됨, 2시간째 실행 중");
  expect(text).toContain("직통 회선: backend");
  expect(text).toContain("알 수 없음(no such command)");
  expect(text).toContain("studio: 정상 2, 확인 필요 1, 고칠 것 1. 아무것도 바꾸지 않았습니다.");
  const columns = text
    .split("\n")
    .slice(0, 4)
    .map((line) => textWidth(/^(\S+\s+.*?\s{2,})\S/.exec(line)?.[1] ?? ""));
  expect(new Set(columns).size, text).toBe(1);
  expect(render("studio", [{ check: "relay", level: "ok", found: "ready" }])).toContain("1 ok, 0 to look at, 0 to fix");
});

describe("the language", () => {
  it("is the locale's, as POSIX orders its variables", () => {
    expect(languageOf({ LANG: "ko_KR.UTF-8" })).toBe("ko");
    expect(languageOf({ LC_ALL: "en_US.UTF-8", LANG: "ko_KR.UTF-8" })).toBe("en");
    expect(languageOf({ LC_MESSAGES: "ko_KR", LANG: "C" })).toBe("ko");
    expect(languageOf({ LC_ALL: "", LC_MESSAGES: "", LANG: "ko" })).toBe("ko");
    for (const LANG of ["C", "", "kok_IN", "de_DE"]) expect(languageOf({ LANG })).toBe("en");
    expect(languageOf({})).toBe("en");
  });

  it("can be asked for, and no other than those two", () => {
    expect(readLanguage("en", { LANG: "ko_KR" })).toBe("en");
    expect(readLanguage("ko", {})).toBe("ko");
    expect(() => readLanguage("de", {})).toThrow(/--lang is "de": it must be ko or en/);
  });
});
