/** What `npm run preflight` prints: problems last, where a terminal shows them. */
import { type Finding, inLanguage, type Language } from "../../accounts/finding.ts";
import { MESSAGES } from "./messages.ts";

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
export function render(findings: readonly Finding[], quiet = false, language: Language = "en"): string {
  const shown = sorted(findings)
    .filter(({ level }) => !quiet || level !== "ok")
    .map((finding) => inLanguage(finding, language));
  const { ok, warn, fail } = counts(findings);
  const lines = shown.flatMap(({ level, says, todo }) => [
    `${mark[level]}${says}`,
    ...(todo ? [`       → ${todo}`] : []),
  ]);
  const sum = MESSAGES[language].sum(fail, warn, ok);
  return [...lines, lines.length > 0 ? `\n${sum}` : sum].join("\n");
}
