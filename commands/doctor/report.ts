/** The findings as text for a person. */
import type { Language } from "../language.ts";
import { textWidth } from "../text-width.ts";
import type { Finding, Level } from "./check.ts";
import type { Messages } from "./messages/en.ts";
import { MESSAGES } from "./messages.ts";

const marks: Record<Level, string> = { ok: "ok  ", warn: "WARN", fail: "FAIL" };

/** @param check `model server`, `direct line of backend` */
function titleOf(check: string, { titles, titleOf: withSubject }: Messages): string {
  const known: Readonly<Record<string, string>> = titles;
  const own = known[check];
  if (own !== undefined) return own;
  const [, name = "", subject = ""] = /^(.+?) of (.+)$/.exec(check) ?? [];
  return known[name] === undefined ? check : withSubject(known[name], subject);
}

/** Lines of at most `width` characters, broken between words. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && textWidth(last) + 1 + textWidth(word) <= width)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

/** @returns a table of all findings, then the consequence and the fix of each that is not ok */
export function render(mac: string, found: readonly Finding[], language: Language = "en", width = 100): string {
  const say = MESSAGES[language];
  const titles = new Map(found.map(({ check }) => [check, titleOf(check, say)]));
  const column = Math.max(...[...titles.values()].map(textWidth)) + 2;
  const rows = found.flatMap(({ check, level, found: what }) => {
    const [first = "", ...rest] = wrap(what, Math.max(20, width - column - 6));
    const indent = " ".repeat(column + 6);
    const title = titles.get(check) ?? check;
    return [
      `${marks[level]}  ${title}${" ".repeat(column - textWidth(title))}${first}`,
      ...rest.map((line) => indent + line),
    ];
  });
  const problems = found.filter(({ level }) => level !== "ok");
  const details = problems.flatMap(({ check, level, means, todo }) => [
    "",
    `${marks[level].trim()} ${titles.get(check) ?? check}`,
    ...wrap(means ?? "", width - 2).map((line) => `  ${line}`),
    ...(todo ? wrap(`→ ${todo}`, width - 2).map((line) => `  ${line}`) : []),
  ]);
  const count = (level: Level) => found.filter((one) => one.level === level).length;
  const summary = say.summary(mac, count("ok"), count("warn"), count("fail"));
  return [...rows, ...details, "", summary].join("\n");
}
