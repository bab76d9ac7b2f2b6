/** Tables of what was measured, and the goals. Pure. */
import type { Values } from "./measures.ts";
import { LESS_AT_REST } from "./neighbours.ts";

/** Of all rounds. */
export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

/** By target, by measure. */
export type Summary = Readonly<Record<string, Readonly<Record<string, Spread>>>>;

export interface Goal {
  readonly goal: string;
  readonly measured: number;
  readonly reached: boolean;
}

/** The relay against the bare proxy and the bounds on memory. */
export function goalsOf(summary: Summary, memory: Values): Goal[] {
  const of = (target: string, measure: string) => summary[target]?.[measure]?.median ?? Number.NaN;
  const ratio = (measure: string) => of("relay", measure) / of("bare node proxy", measure);
  const added = of("relay", "first token p50, ms") - of("bare node proxy", "first token p50, ms");
  const idle = memory["idle, MB"] ?? Number.NaN;
  const waiting = memory["500 waiting, MB"] ?? Number.NaN;
  const streaming = of("relay", "memory with 64 streams, MB");
  const worst = Math.max(
    ...Object.entries(memory).flatMap(([name, value]) => (name.endsWith(LESS_AT_REST) ? value : [])),
  );
  const requests = ratio("requests/CPU s");
  const events = ratio("CPU s/million events");
  return [
    {
      goal: "requests per CPU second, of the bare proxy's: at least 0.6",
      measured: requests,
      reached: requests >= 0.6,
    },
    { goal: "CPU per event, of the bare proxy's: at most 1.3", measured: events, reached: events <= 1.3 },
    { goal: "memory with 64 streams: at most 120 MB", measured: streaming, reached: streaming <= 120 },
    { goal: "first token p50 over the bare proxy: at most 0.5 ms", measured: added, reached: added <= 0.5 },
    {
      goal: "another caller's p99.9 while one sends 64 MiB bodies, less at rest: at most 50 ms",
      measured: worst,
      reached: worst <= 50,
    },
    { goal: "idle memory: under 90 MB", measured: idle, reached: idle < 90 },
    { goal: "500 waiting requests of 8 KiB: under 150 MB", measured: waiting, reached: waiting < 150 },
  ];
}

export function table(summary: Summary, memory: Values, goals: readonly Goal[]): string {
  const names = Object.keys(summary);
  const measures = [...new Set(names.flatMap((name) => Object.keys(summary[name] ?? {})))];
  // The stand-in's own CPU and memory say nothing of a proxy.
  const ofProxies = /CPU|memory/;
  const rows = measures.map((measure) => [
    measure,
    ...names.map((name) => {
      const spread = summary[name]?.[measure];
      if (spread === undefined || (name === "direct" && ofProxies.test(measure))) return "–";
      return `${short(spread.median)} (${short(spread.least)} to ${short(spread.most)})`;
    }),
  ]);
  const lines = columns([["median (least to most)", ...names], ...rows]);
  const rest = Object.entries(memory).map(([name, value]) => `relay, ${name}: ${short(value)}`);
  const reached = goals.map(
    ({ goal, measured, reached: yes }) => `${yes ? "reached" : "missed "}  ${goal}: ${short(measured)}`,
  );
  return [...lines, "", ...rest, "", ...reached].join("\n");
}

function short(value: number): string {
  if (!Number.isFinite(value)) return "–";
  if (Math.abs(value) >= 1000) return `${(value / 1000).toFixed(1)}k`;
  return Math.abs(value) >= 10 ? value.toFixed(0) : value.toFixed(2);
}

function columns(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0)));
  return rows.map((row) => row.map((cell, at) => cell.padEnd(widths[at]!)).join("  "));
}
