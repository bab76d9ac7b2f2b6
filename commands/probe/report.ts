/** The report as text: pure functions. */
import { entries, entryOf, type HostMeasured, median, type Split, splitOf } from "./findings.ts";

const ms = (value: number | undefined): string =>
  value === undefined ? "-" : value < 10 ? value.toFixed(1) : String(Math.round(value));

/** @returns lines with aligned columns, numbers to the right */
export function table(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length)));
  return rows.map((row) =>
    row
      .map((cell, column) => (column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join("  ")
      .trimEnd(),
  );
}

/** @returns one row per host and IP version, with the medians */
export function hostRows(hosts: readonly HostMeasured[]): string[][] {
  const head = ["host", "address", "runs", "failed", "entry", "DNS", "TCP", "TLS", "edge", "end to end", "relay"];
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
 * @param connectors where the connectors are, if known
 * @returns one line: how many milliseconds of a request are spent on the way, and where
 */
export function lostLine(split: Split, entry: string, connectors: readonly string[] | undefined): string {
  const opening = `a new connection adds ${ms(split.dns + split.tcp + split.tls)} ms (DNS ${ms(split.dns)}, TCP ${ms(split.tcp)}, TLS ${ms(split.tls)})`;
  if (split.tunnel === undefined) {
    return `${ms(split.entry)} ms of each request are spent between here and ${entry}; the part behind it is unknown; ${opening}.`;
  }
  const way = split.entry + split.tunnel;
  const whole = way + (split.relay ?? 0);
  const at = connectors?.length ? ` (connector at ${connectors.join(", ")})` : "";
  const inside =
    split.relay === undefined
      ? "the relay does not report its own part"
      : `${ms(split.relay)} in relay and model server`;
  return `${ms(way)} of ${ms(whole)} ms of a request are spent on the way: ${ms(split.entry)} between here and ${entry}, ${ms(split.tunnel)} between ${entry} and the Mac${at}; ${inside}; ${opening}.`;
}

/** Everything the report shows. */
export interface Report {
  readonly hosts: readonly HostMeasured[];
  readonly expected: readonly string[];
  readonly connectors: readonly string[] | undefined;
  readonly notes: readonly string[];
  readonly advice: readonly string[];
  readonly exitCode: number;
}

/** @returns the report as text */
export function render({ hosts, expected, connectors, notes, advice, exitCode }: Report): string {
  const [main] = hosts;
  const split = main && splitOf(main);
  const entry = main?.samples.map(entryOf).find((colo) => colo !== undefined) ?? "the edge";
  const verdict =
    exitCode === 0
      ? `OK: every entry is at ${expected.join(", ") || "an accepted location"}.`
      : exitCode === 1
        ? "NOT as expected:"
        : "NOT measured:";
  return [
    `DNS: ${main?.addresses.join(", ") || "no address"}`,
    "",
    "Medians in ms over new connections; `edge` and `end to end` are times to the first byte.",
    ...table(hostRows(hosts)),
    "",
    ...(split ? [lostLine(split, entry, connectors), ""] : []),
    ...notes,
    verdict,
    ...advice.map((text) => `- ${text}`),
  ].join("\n");
}
