/** The table of what was measured. Pure. */
import type { Verdict } from "./measure/bound.ts";

const ms = (value: number): string => (value >= 10_000 ? `${(value / 1000).toFixed(1)} s` : `${Math.round(value)} ms`);
const mib = (value: number): string => String(Math.round(value));
const COLUMNS = [
  "case",
  "attack's requests",
  "quiet's requests",
  "lost or wrong",
  "worst wait",
  "p99 wait",
  "bound",
  "machine",
  "peak MiB (bound)",
  "jobs, documents MiB",
  "verdict",
] as const;

function cells(verdict: Verdict): string[] {
  const statuses = Object.entries(verdict.statuses).map(
    ([status, count]) => `${status === "0" ? "cut" : status}: ${count}`,
  );
  return [
    verdict.name,
    `${verdict.tried}${statuses.length > 0 ? ` (${statuses.join(", ")})` : ""}`,
    String(verdict.asked),
    String(verdict.wrong.length),
    ms(verdict.worstMs),
    ms(verdict.p99Ms),
    ms(verdict.boundMs),
    ms(verdict.machineMs),
    `${mib(verdict.memoryMiB)} (${mib(verdict.memoryBoundMiB)})`,
    `${mib(verdict.jobsMiB)}, ${mib(verdict.documentsMiB)}`,
    verdict.failures.length === 0 ? "holds" : `FAILS: ${verdict.failures.join("; ")}`,
  ];
}

/** A Markdown table, one case a line. */
export function table(verdicts: readonly Verdict[]): string {
  const row = (all: readonly string[]) =>
    `| ${all.map((cell) => cell.replaceAll("|", "\\|").replaceAll("\n", " ")).join(" | ")} |`;
  return [row(COLUMNS), row(COLUMNS.map(() => "---")), ...verdicts.map((verdict) => row(cells(verdict)))].join("\n");
}
