/** The findings as text for a person. */
import type { Finding, Level } from "./check.ts";

const marks: Record<Level, string> = { ok: "ok  ", warn: "WARN", fail: "FAIL" };

/** Lines of at most `width` characters, broken between words. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

/** @returns a table of all findings, then the consequence and the fix of each that is not ok */
export function render(mac: string, found: readonly Finding[], width = 100): string {
  const column = Math.max(...found.map(({ check }) => check.length)) + 2;
  const rows = found.flatMap(({ check, level, found: what }) => {
    const [first = "", ...rest] = wrap(what, Math.max(20, width - column - 6));
    const indent = " ".repeat(column + 6);
    return [`${marks[level]}  ${check.padEnd(column)}${first}`, ...rest.map((line) => indent + line)];
  });
  const problems = found.filter(({ level }) => level !== "ok");
  const details = problems.flatMap(({ check, level, means, todo }) => [
    "",
    `${marks[level].trim()} ${check}`,
    ...wrap(means ?? "", width - 2).map((line) => `  ${line}`),
    ...(todo ? wrap(`→ ${todo}`, width - 2).map((line) => `  ${line}`) : []),
  ]);
  const count = (level: Level) => found.filter((one) => one.level === level).length;
  const summary = `${mac}: ${count("ok")} ok, ${count("warn")} to look at, ${count("fail")} to fix. Nothing was changed.`;
  return [...rows, ...details, "", summary].join("\n");
}
