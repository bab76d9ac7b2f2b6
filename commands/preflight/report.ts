/** What `npm run preflight` prints: problems last, where a terminal shows them. */
import type { Finding } from "../../accounts/finding.ts";

const order = { ok: 0, warn: 1, fail: 2 } as const;
const mark = { ok: "ok   ", warn: "know ", fail: "FAIL " } as const;

/** @returns the findings by level, each level in the order they were found */
export const sorted = (findings: readonly Finding[]): Finding[] =>
  [...findings].sort((one, other) => order[one.level] - order[other.level]);

/** 1 when something blocks `pulumi up`. */
export const exitCode = (findings: readonly Finding[]): 0 | 1 =>
  findings.some(({ level }) => level === "fail") ? 1 : 0;

/** How many there are of each level. */
export function counts(findings: readonly Finding[]): Record<Finding["level"], number> {
  const of = (level: Finding["level"]) => findings.filter((finding) => finding.level === level).length;
  return { ok: of("ok"), warn: of("warn"), fail: of("fail") };
}

/** As text. @param quiet leaves out what is ok */
export function render(findings: readonly Finding[], quiet = false): string {
  const shown = sorted(findings).filter(({ level }) => !quiet || level !== "ok");
  const { ok, warn, fail } = counts(findings);
  const lines = shown.flatMap(({ level, says, todo }) => [
    `${mark[level]}${says}`,
    ...(todo ? [`       → ${todo}`] : []),
  ]);
  const sum = `${fail} in the way, ${warn} to know, ${ok} in order.`;
  return [...lines, lines.length > 0 ? `\n${sum}` : sum].join("\n");
}
