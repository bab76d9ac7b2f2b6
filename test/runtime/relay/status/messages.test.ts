import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { MESSAGES, type MessageKey, message } from "../../../../runtime/relay/status/messages.ts";

const { en, ko } = MESSAGES;
const keys = Object.keys(en) as MessageKey[];
const placeholders = (text: string): string[] => [...new Set(text.match(/\{\w+\}/g))].sort();

describe("the page's texts", () => {
  it("are there in both languages, with the same values in them", () => {
    expect(Object.keys(ko)).toEqual(keys);
    for (const key of keys) {
      expect([key, placeholders(ko[key])]).toEqual([key, placeholders(en[key])]);
      expect(en[key].trim(), key).not.toBe("");
      expect(ko[key].trim(), key).not.toBe("");
    }
  });

  it("are Korean in Korean: only names and commands are the same in both", () => {
    const same = keys.filter((key) => en[key] === ko[key]);
    expect(same).toEqual(["documents.store.atlas"]);
    for (const key of keys) expect(en[key], key).not.toMatch(/\p{Script=Hangul}/u);
  });

  it("are all used: by their key, or by the part of it before a value", () => {
    const folder = join(import.meta.dirname, "../../../../runtime/relay/status");
    const sources = globSync("**/*.ts", { cwd: folder })
      .filter((name) => !name.startsWith("messages-"))
      .map((name) => readFileSync(join(folder, name), "utf8"))
      .join("\n");
    const isUsed = (key: string) =>
      sources.includes(`"${key}"`) ||
      key.split(".").some((_, at, parts) => sources.includes(`\`${parts.slice(0, at).join(".")}.$`) && at > 0);
    expect(keys.filter((key) => !isUsed(key))).toEqual([]);
  });
});

it("a value is inserted as it is: braces and dollars in it mean nothing", () => {
  expect(message("en", "warning.reason", { reason: "{reason} $& {x}" })).toBe("Reason: {reason} $& {x}");
  expect(message("ko", "hero.since", { when: "13:00", duration: "2시간" })).toBe("13:00부터 2시간째");
  expect(message("en", "hero.since", { when: "13:00" })).toBe("since 13:00, for {duration}");
  expect(message("en", "warning.reason", Object.create({ reason: "inherited" }) as Record<string, string>)).toBe(
    "Reason: {reason}",
  );
});
