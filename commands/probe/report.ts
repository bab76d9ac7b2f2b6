/** What is printed for a person: pure functions. */
import { entries, entryOf, type HostMeasured, median, type Split, splitOf } from "./findings.ts";

const ms = (value: number | undefined): string =>
  value === undefined ? "-" : value < 10 ? value.toFixed(1) : String(Math.round(value));

/** @returns lines with columns of one width, numbers to the right */
export function table(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length)));
  return rows.map((row) =>
    row
      .map((cell, column) => (column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join("  ")
      .trimEnd(),
  );
}

/** @returns one row a host and IP version, with the medians */
export function hostRows(hosts: readonly HostMeasured[]): string[][] {
  const head = ["host", "address", "runs", "failed", "entry", "DNS", "TCP", "TLS", "edge", "whole way", "relay"];
  const rows = hosts.flatMap((host) =>
    ([4, 6] as const).flatMap((family) => {
      const samples = host.samples.filter((sample) => sample.family === family);
      const failed = host.failures.filter((failure) => failure.family === family);
      const [one] = [...samples, ...failed];
      if (!one) return [];
      const of = (pick: (sample: (typeof samples)[number]) => number | undefined) =>
        ms(median(samples.map(pick).filter((value) => value !== undefined)));
      const entry = entries(samples).map(([colo, count]) => (count === samples.length ? colo : `${colo}×${count}`));
      return [
        [
          host.host,
          one.address,
          String(samples.length),
          String(failed.length),
          entry.join(" ") || "-",
          ms(median(host.dnsMs)),
          of(({ tcpMs }) => tcpMs),
          of(({ tlsMs }) => tlsMs),
          of(({ trace }) => trace.ms),
          of(({ request }) => (request?.status === 200 ? request.ms : undefined)),
          of(({ request }) => request?.relayMs),
        ],
      ];
    }),
  );
  return [head, ...rows];
}

/**
 * @param connectors where the connectors are, when that is known
 * @returns how many milliseconds are lost on the way, and where, in one line
 */
export function lostLine(split: Split, entry: string, connectors: readonly string[] | undefined): string {
  const opening = `a new connection costs ${ms(split.dns + split.tcp + split.tls)} ms more (DNS ${ms(split.dns)}, TCP ${ms(split.tcp)}, TLS ${ms(split.tls)})`;
  if (split.tunnel === undefined) {
    return `${ms(split.entry)} ms are lost between here and ${entry} on each request, what comes behind it is not known; ${opening}.`;
  }
  const way = split.entry + split.tunnel;
  const whole = way + (split.relay ?? 0);
  const at = connectors?.length ? ` (connector at ${connectors.join(", ")})` : "";
  const inside =
    split.relay === undefined
      ? "the relay does not say how much of that is its own"
      : `${ms(split.relay)} in relay and model server`;
  return `${ms(way)} of ${ms(whole)} ms of a request are lost on the way: ${ms(split.entry)} between here and ${entry}, ${ms(split.tunnel)} between ${entry} and the Mac${at}; ${inside}; ${opening}.`;
}

/** Everything a probe has to say. */
export interface Report {
  readonly hosts: readonly HostMeasured[];
  readonly expected: readonly string[];
  readonly connectors: readonly string[] | undefined;
  readonly notes: readonly string[];
  readonly advice: readonly string[];
  readonly exitCode: number;
}

/** @returns the text for a person */
export function render({ hosts, expected, connectors, notes, advice, exitCode }: Report): string {
  const [main] = hosts;
  const split = main && splitOf(main);
  const entry = main?.samples.map(entryOf).find((colo) => colo !== undefined) ?? "the edge";
  const verdict =
    exitCode === 0
      ? `OK: every entry is at ${expected.join(", ") || "a place nobody asked about"}.`
      : exitCode === 1
        ? "NOT as wanted:"
        : "NOT measured:";
  return [
    `DNS: ${main?.addresses.join(", ") || "no address"}`,
    "",
    "Medians in ms over fresh connections; `edge` and `whole way` are times to the first byte.",
    ...table(hostRows(hosts)),
    "",
    ...(split ? [lostLine(split, entry, connectors), ""] : []),
    ...notes,
    verdict,
    ...advice.map((text) => `- ${text}`),
  ].join("\n");
}
