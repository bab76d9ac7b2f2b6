/** The table of what was measured. Pure. */
import type { FaultVerdict } from "./faults/run.ts";
import { median } from "./faults/slope.ts";
import type { SoakReport } from "./faults/soak.ts";
import type { Verdict } from "./measure/bound.ts";

const ms = (value: number): string => (value >= 10_000 ? `${(value / 1000).toFixed(1)} s` : `${Math.round(value)} ms`);
const mib = (value: number): string => String(Math.round(value));
const COLUMNS = [
  "case",
  "times tried",
  "what callers saw",
  "lost or wrong",
  "quiet caller: requests",
  "worst wait",
  "p99 (bound, machine)",
  "peak MiB (bound)",
  "jobs, documents",
  "healthy after",
  "verdict",
] as const;

const seenOf = (seen: Readonly<Record<string, number>>): string =>
  Object.entries(seen)
    .sort(([, a], [, b]) => b - a)
    .map(([what, count]) => `${what === "0" ? "cut" : what}: ${count}`)
    .join(", ");
const verdictOf = (failures: readonly string[]): string =>
  failures.length === 0 ? "holds" : `FAILS: ${failures.join("; ")}`;

function attackCells(verdict: Verdict): string[] {
  return [
    verdict.name,
    String(verdict.tried),
    seenOf(verdict.statuses),
    String(verdict.wrong.length),
    String(verdict.asked),
    ms(verdict.worstMs),
    `${ms(verdict.p99Ms)} (${ms(verdict.boundMs)}, ${ms(verdict.machineMs)})`,
    `${mib(verdict.memoryMiB)} (${mib(verdict.memoryBoundMiB)})`,
    `${mib(verdict.jobsMiB)}, ${mib(verdict.documentsMiB)} MiB`,
    "–",
    verdictOf(verdict.failures),
  ];
}

function faultCells(verdict: FaultVerdict): string[] {
  if (verdict.skipped !== undefined) {
    return [verdict.name, "0", ...Array.from({ length: 8 }, () => "–"), `not run here: it ${verdict.skipped}`];
  }
  return [
    verdict.name,
    String(verdict.tried),
    seenOf(verdict.seen),
    String(verdict.lost.length),
    String(verdict.answered),
    ms(verdict.worstMs),
    "–",
    `${mib(verdict.memoryMiB)} (${mib(verdict.memoryBoundMiB)})`,
    `${verdict.jobs}, ${verdict.documents}`,
    verdict.healthyMs === undefined ? "never" : ms(verdict.healthyMs),
    verdictOf(verdict.failures),
  ];
}

/**
 * A Markdown table, one case a line. Attacks are tried by requests of the attacker; faults by the number of faults, with the
 * calls of all callers as what was seen, and the jobs and titles that were acknowledged.
 */
export function table(verdicts: readonly Verdict[], faults: readonly FaultVerdict[] = []): string {
  const row = (all: readonly string[]) =>
    `| ${all.map((cell) => cell.replaceAll("|", "\\|").replaceAll("\n", " ")).join(" | ")} |`;
  const lines = [...verdicts.map(attackCells), ...faults.map(faultCells)];
  return [row(COLUMNS), row(COLUMNS.map(() => "---")), ...lines.map(row)].join("\n");
}

/** The relay's descriptors by kind, as a Markdown table. */
function kindLines(taken: SoakReport["descriptors"]): string[] {
  const kinds = [...new Set(taken.flatMap((one) => Object.keys(one)))].sort();
  const row = (cells: readonly (string | number)[]) => `| ${cells.join(" | ")} |`;
  const head = ["descriptors", "before", "middle", "end of the load", "all answered"];
  return [head, head.map(() => "---"), ...kinds.map((kind) => [kind, ...taken.map((one) => one[kind] ?? 0)])].map(row);
}

/** A soak run: what the relay held, minute by minute, and what clients saw. */
export function curve({ samples, descriptors, faults, calls, seen, jobs, worstMs, failures }: SoakReport): string {
  const row = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const columns = Object.entries(samples);
  const head = ["minute", ...columns.map(([what]) => what)];
  const minutes = Math.ceil(Math.max(0, ...columns.map(([, all]) => all.at(-1)?.minute ?? 0)));
  const lines = Array.from({ length: minutes }, (_, minute) => {
    const within = (all: (typeof columns)[number][1]) =>
      all.filter((one) => Math.floor(one.minute) === minute).map(({ value }) => value);
    const digits = (what: string) => (what === "busy" || what === "heldMiB" ? 1 : 0);
    return [String(minute + 1), ...columns.map(([what, all]) => median(within(all)).toFixed(digits(what)))];
  });
  return [
    ...[head, head.map(() => "---"), ...lines].map(row),
    "",
    ...kindLines(descriptors),
    "",
    `faults: ${seenOf(faults)}`,
    `${calls} calls (${seenOf(seen)}), ${jobs} jobs; worst wait of the quiet caller ${ms(worstMs)}`,
    verdictOf(failures),
  ].join("\n");
}
