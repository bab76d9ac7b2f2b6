/** Conclusions from the measurements: pure functions. */
import type { Failure, Sample } from "./connection.ts";

/** All connections to one host. */
export interface HostMeasured {
  readonly host: string;
  /** In the order of DNS. */
  readonly addresses: readonly string[];
  readonly dnsMs: readonly number[];
  readonly samples: readonly Sample[];
  readonly failures: readonly Failure[];
}

/** Where a request's time goes, in ms: medians over the successful connections. */
export interface Split {
  /** Before the first request of a new connection. */
  readonly dns: number;
  readonly tcp: number;
  readonly tls: number;
  /** Caller to the edge and back, including the edge's own work. */
  readonly entry: number;
  /** Edge to the relay and back: Access, tunnel, the office's line. Undefined without a response from the relay. */
  readonly tunnel?: number | undefined;
  /** Relay and model server. */
  readonly relay?: number | undefined;
}

/** One conclusion. */
export type Finding =
  | { kind: "entry-expected"; colos: string[] }
  | { kind: "entry-elsewhere"; colos: string[]; expected: string[]; families: (4 | 6)[]; otherFamilies: (4 | 6)[] }
  | { kind: "challenged"; by: string }
  | { kind: "not-let-in"; status: number; withToken: boolean }
  | { kind: "no-connector"; status: number }
  | { kind: "answer-failed"; status: number }
  | { kind: "not-cloudflare" }
  | { kind: "connector-elsewhere"; colos: string[]; expected: string[] }
  | { kind: "over-warp" }
  | { kind: "family-fails"; family: 4 | 6; reason: string }
  | { kind: "compared-expected"; host: string; colos: string[]; ms: number }
  | { kind: "nothing-measured"; reason: string };

/** What a conclusion needs besides the measurements. */
export interface Context {
  /** Expected locations; empty when any will do. */
  readonly expected: readonly string[];
  readonly withToken: boolean;
  /** Where the connectors are, e.g. ICN; undefined when unknown. */
  readonly connectors?: readonly string[] | undefined;
}

/** @returns the median, undefined of no numbers */
export function median(numbers: readonly number[]): number | undefined {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : mean(sorted[middle - 1], sorted[middle]);
}
const mean = (a: number | undefined, b: number | undefined) => (a === undefined || b === undefined ? b : (a + b) / 2);

/** @returns where the connection entered: by the trace, else by the CF-Ray of any response */
export const entryOf = (sample: Sample): string | undefined => sample.trace.colo ?? sample.request?.colo;

/** @returns how often each entry was seen, most frequent first */
export function entries(samples: readonly Sample[]): [colo: string, count: number][] {
  const counts = new Map<string, number>();
  for (const colo of samples.map(entryOf)) if (colo) counts.set(colo, (counts.get(colo) ?? 0) + 1);
  return [...counts].toSorted((a, b) => b[1] - a[1]);
}

/** The response came from the relay itself. */
const fromRelay = (sample: Sample): boolean => sample.request?.status === 200;

/** @returns the split, undefined without any connection */
export function splitOf({ dnsMs, samples }: Pick<HostMeasured, "dnsMs" | "samples">): Split | undefined {
  const middle = (of: (sample: Sample) => number | undefined) =>
    median(samples.map(of).filter((value) => value !== undefined));
  const tcp = middle(({ tcpMs }) => tcpMs);
  if (tcp === undefined) return undefined;
  const relay = middle((sample) => (fromRelay(sample) ? sample.request?.relayMs : undefined));
  const tunnel = middle((sample) => {
    if (!fromRelay(sample) || !sample.request) return undefined;
    return Math.max(0, sample.request.ms - sample.trace.ms - (sample.request.relayMs ?? 0));
  });
  const entry = middle(({ trace }) => trace.ms) ?? tcp;
  return { dns: median(dnsMs) ?? 0, tcp, tls: middle(({ tlsMs }) => tlsMs) ?? 0, entry, tunnel, relay };
}

const families = (samples: readonly Sample[]): (4 | 6)[] =>
  [...new Set(samples.map(({ family }) => family))].toSorted();

function aboutEntry(samples: readonly Sample[], expected: readonly string[]): Finding[] {
  const colos = entries(samples).map(([colo]) => colo);
  if (samples.length > 0 && colos.length === 0) return [{ kind: "not-cloudflare" }];
  if (colos.length === 0) return [];
  const astray = samples.filter((sample) => !expected.includes(entryOf(sample) ?? ""));
  if (expected.length === 0 || astray.length === 0) return [{ kind: "entry-expected", colos }];
  const hit = families(astray);
  return [
    {
      kind: "entry-elsewhere",
      colos: entries(astray).map(([colo]) => colo),
      expected: [...expected],
      families: hit,
      otherFamilies: families(samples).filter((family) => !hit.includes(family)),
    },
  ];
}

function aboutAnswers(samples: readonly Sample[], withToken: boolean): Finding[] {
  const answers = samples.flatMap(({ trace, request }) => [trace, ...(request ? [request] : [])]);
  const by = answers.find(({ mitigated }) => mitigated !== undefined)?.mitigated;
  if (by !== undefined) return [{ kind: "challenged", by }];
  const refused = samples.map(({ request }) => request?.status ?? 200).find((status) => status !== 200);
  if (refused === undefined) return [];
  if ([301, 302, 401, 403].includes(refused)) return [{ kind: "not-let-in", status: refused, withToken }];
  if (refused === 530) return [{ kind: "no-connector", status: refused }];
  return [{ kind: "answer-failed", status: refused }];
}

function aboutFailures({ samples, failures }: HostMeasured): Finding[] {
  if (samples.length === 0) {
    const [failure] = failures;
    const reason = failure ? `${failure.at}: ${failure.reason} (${failure.address})` : "DNS has no address";
    return [{ kind: "nothing-measured", reason }];
  }
  return ([4, 6] as const).flatMap((family): Finding[] => {
    const failed = failures.find((failure) => failure.family === family);
    const works = samples.some((sample) => sample.family === family);
    return failed && !works ? [{ kind: "family-fails", family, reason: failed.reason }] : [];
  });
}

/**
 * @param compared other hosts, measured for comparison
 * @returns the conclusions, most important first
 */
export function findings(main: HostMeasured, compared: readonly HostMeasured[], context: Context): Finding[] {
  const { expected, withToken, connectors } = context;
  const found = [
    ...aboutFailures(main),
    ...aboutAnswers(main.samples, withToken),
    ...aboutEntry(main.samples, expected),
  ];
  if (main.samples.some(({ trace }) => trace.warp)) found.push({ kind: "over-warp" });
  if (
    connectors &&
    connectors.length > 0 &&
    expected.length > 0 &&
    !connectors.some((colo) => expected.includes(colo))
  ) {
    found.push({ kind: "connector-elsewhere", colos: [...connectors], expected: [...expected] });
  }
  if (found.some(({ kind }) => kind === "entry-elsewhere")) {
    for (const other of compared) {
      const colos = entries(other.samples).map(([colo]) => colo);
      const ms = median(other.samples.map(({ trace }) => trace.ms));
      if (ms !== undefined && colos.length > 0 && colos.every((colo) => expected.includes(colo))) {
        found.push({ kind: "compared-expected", host: other.host, colos, ms });
      }
    }
  }
  return found;
}

/** @returns the command's exit code: 0 as expected; 1 an entry elsewhere, or a challenge; 2 nothing was measured */
export function exitCode(found: readonly Finding[]): 0 | 1 | 2 {
  const kinds = new Set(found.map(({ kind }) => kind));
  if (kinds.has("nothing-measured") || kinds.has("not-cloudflare")) return 2;
  return kinds.has("entry-elsewhere") || kinds.has("challenged") ? 1 : 0;
}
