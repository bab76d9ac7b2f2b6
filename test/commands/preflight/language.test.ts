/** The report of preflight in two languages. */
import { expect, it } from "vitest";
import { findingMakers, type Said } from "../../../accounts/finding.ts";
import * as accounts from "../../../accounts/messages.ts";
import * as preflight from "../../../commands/preflight/messages.ts";
import { render } from "../../../commands/preflight/report.ts";

/** Paths of all messages, and whether each is a text or a function of its values. */
const shapeOf = (value: unknown, path = ""): string[] =>
  typeof value === "object" && value !== null && !Array.isArray(value)
    ? Object.entries(value).flatMap(([key, part]) => shapeOf(part, `${path}.${key}`))
    : [`${path}: ${typeof value}`];

it.each([
  ["the accounts", accounts.MESSAGES],
  ["preflight", preflight.MESSAGES],
])("both languages have the same messages of %s", (_, { en, ko }) => {
  expect(shapeOf(en).length).toBeGreaterThan(20);
  expect(shapeOf(ko).sort()).toEqual(shapeOf(en).sort());
});

it("says a finding in the language that is asked for, and one without a translation in English", () => {
  const make = findingMakers<(name: string) => Said>({
    en: (name) => [`${name} is missing`, "Set it"],
    ko: (name) => [`${name}이(가) 없습니다`, "설정하십시오"],
  });
  const found = [make.fail("a.b", (say) => say("modelKey")), { id: "c", level: "ok", says: "only English" } as const];
  expect(render(found)).toMatch(/^ok {3}only English\nFAIL modelKey is missing\n {7}→ Set it\n/);
  expect(render(found, false, "ko")).toMatch(
    /^ok {3}only English\nFAIL modelKey이\(가\) 없습니다\n {7}→ 설정하십시오\n\n.*[가-힣]/,
  );
});
