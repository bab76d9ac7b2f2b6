/** How long the quiet caller may wait, and what else must hold. Pure. */
import type { AttackOutcome, Case } from "../case.ts";
import { BOUNDS } from "../limits.ts";
import { quantile } from "./process.ts";
import type { Seen } from "./quiet.ts";

/** The machine without an attack, measured in the same run. */
export interface Rest {
  /** p99 of the quiet caller's wait, in ms. */
  readonly p99Ms: number;
  /** The relay's peak memory, in MiB. */
  readonly memoryMiB: number;
}

/** The least that is allowed for the machine: timers, the scheduler, a collection of garbage in each of five processes. */
export const LEAST_NOISE_MS = 250;
/**
 * What the relay's process may take above the budget and its memory at rest: the budget counts bytes that are held; freed
 * ones wait for the next collection of garbage, and V8's heap and the stores' caches are not in it.
 */
export const UNCOUNTED_MIB = 160;
/** Freed pages and the log of the documents' file. */
const DOCUMENTS_SLACK_MIB = 16;

/** What was measured of one case. */
export interface Measured {
  readonly seen: Seen;
  readonly outcome: AttackOutcome;
  readonly memoryMiB: number;
  readonly jobsMiB: number;
  readonly documentsMiB: number;
  /** What broke: the relay ended, the attack itself failed. */
  readonly broken: readonly string[];
}

/** One line of the table. */
export interface Verdict {
  readonly name: string;
  readonly attack: string;
  /** Requests of the attacker, and their answers by status (0: no answer). */
  readonly tried: number;
  readonly statuses: Readonly<Record<string, number>>;
  readonly asked: number;
  readonly wrong: readonly string[];
  readonly worstMs: number;
  readonly p99Ms: number;
  readonly boundMs: number;
  /** Worst wait of the control: what the machine did. */
  readonly machineMs: number;
  readonly memoryMiB: number;
  readonly memoryBoundMiB: number;
  readonly jobsMiB: number;
  readonly documentsMiB: number;
  /** Empty: it holds. */
  readonly failures: readonly string[];
}

/** The attacks that run side by side as one: their times, and what the quiet caller does. */
export function combined(cases: readonly Case[]): { serviceMs: number; roundMs: number; name: string; attack: string } {
  const rounds = cases.map(({ serviceMs, roundMs }) => roundMs ?? serviceMs);
  return {
    name: cases.map(({ name }) => name).join(" + "),
    attack: cases.map(({ attack }) => attack).join(" And: "),
    serviceMs: Math.max(...cases.map(({ serviceMs }) => serviceMs)),
    // To another caller, what one token does is one flow: of two attacks only one has the turn. To another company of the
    // same caller, each attack comes with companies of its own.
    roundMs: cases.some(({ quietIs }) => quietIs === "company") ? sum(rounds) : Math.max(...rounds),
  };
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** Judges a case: the wait, the answers, memory, disk. @param noiseMs allowed for the machine at the least */
export function judge(cases: readonly Case[], measured: Measured, rest: Rest, noiseMs: number): Verdict {
  const { serviceMs, roundMs, name, attack } = combined(cases);
  const { seen, outcome, memoryMiB, jobsMiB, documentsMiB } = measured;
  const machineMs = Math.max(0, ...seen.controlWaits);
  const boundMs = serviceMs + roundMs + Math.max(noiseMs, 3 * rest.p99Ms, 2 * machineMs);
  const p99Ms = quantile(seen.waits, 0.99);
  const memoryBoundMiB = BOUNDS.memoryMiB + rest.memoryMiB + UNCOUNTED_MIB;
  const failures = [...measured.broken];
  if (seen.wrong.length > 0) failures.push(`${seen.wrong.length} answers lost or wrong: ${counted(seen.wrong)}`);
  if (p99Ms > boundMs) failures.push(`p99 of the wait is ${Math.round(p99Ms)} ms, bound ${Math.round(boundMs)} ms`);
  if (memoryMiB > memoryBoundMiB) {
    failures.push(`peak memory ${Math.round(memoryMiB)} MiB, bound ${Math.round(memoryBoundMiB)} MiB`);
  }
  const jobsBound = BOUNDS.jobsMiB + BOUNDS.jobsLogMiB;
  if (jobsMiB > jobsBound) failures.push(`jobs take ${Math.round(jobsMiB)} MiB of disk, bound ${jobsBound} MiB`);
  const documentsBound = BOUNDS.documentsMiB + DOCUMENTS_SLACK_MIB;
  if (documentsMiB > documentsBound) {
    failures.push(`documents take ${Math.round(documentsMiB)} MiB of disk, bound ${documentsBound} MiB`);
  }
  const refused = Object.entries(outcome.statuses).some(([status]) => ["429", "503", "507", "413"].includes(status));
  if (cases.some(({ mustRefuse }) => mustRefuse) && !refused) failures.push("nothing of the attack was refused");
  return {
    name,
    attack,
    tried: outcome.requests,
    statuses: outcome.statuses,
    asked: seen.asked,
    wrong: seen.wrong,
    worstMs: Math.max(0, ...seen.waits),
    p99Ms,
    boundMs,
    machineMs,
    memoryMiB,
    memoryBoundMiB,
    jobsMiB,
    documentsMiB,
    failures,
  };
}

/** The most frequent first, each with how often. */
function counted(lines: readonly string[]): string {
  const times = new Map<string, number>();
  for (const line of lines) times.set(line, (times.get(line) ?? 0) + 1);
  const sorted = [...times].sort(([, a], [, b]) => b - a).slice(0, 3);
  return sorted.map(([line, count]) => `${line} (${count})`).join(", ");
}
