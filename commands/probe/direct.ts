/** The direct line beside the public name: what a call saves on it. Pure, but for the types. */
import { type HostMeasured, median, splitOf } from "./findings.ts";

/** Medians of one road, in ms. */
export interface Road {
  /** A new connection: DNS, TCP and TLS. */
  readonly connect: number;
  /** First byte of a call over a new connection. */
  readonly firstByte: number;
  /** A call over an open connection: the whole way and back. */
  readonly whole: number;
}

/** Both roads; a road without an answer from the relay is undefined, with the reason. */
export interface Comparison {
  readonly public: Road | undefined;
  readonly direct: Road | undefined;
  readonly problem?: string | undefined;
}

/** @returns the road's medians; undefined when no call got an answer from the relay */
export function roadOf(host: HostMeasured): Road | undefined {
  const split = splitOf(host);
  const whole = median(host.samples.flatMap(({ request }) => (request?.status === 200 ? [request.ms] : [])));
  if (split === undefined || whole === undefined) return undefined;
  const connect = split.dns + split.tcp + split.tls;
  return { connect, firstByte: connect + whole, whole };
}

/** @returns both roads, and why the direct one did not answer */
export function compareRoads(main: HostMeasured, direct: HostMeasured): Comparison {
  const roads = { public: roadOf(main), direct: roadOf(direct) };
  if (roads.direct !== undefined) return roads;
  const status = direct.samples.map(({ request }) => request?.status).find((one) => one !== undefined && one !== 200);
  if (status !== undefined) {
    const why =
      status === 403
        ? "the token is refused there: it must be the token of the line's own server, and `pulumi up` must have run since it was rotated"
        : `the relay answers ${status}`;
    return { ...roads, problem: `${direct.host}: ${why}` };
  }
  const [failure] = direct.failures;
  const why = failure === undefined ? "it was not measured" : `${failure.at}: ${failure.reason}`;
  return {
    ...roads,
    problem: `${direct.host}: no answer (${why}). Is this the line's server, and is the line connected (npm run doctor)?`,
  };
}

const ms = (value: number): string => (value < 10 ? value.toFixed(1) : String(Math.round(value)));

/** @returns lines for a person */
export function renderRoads(roads: Comparison): string[] {
  const { public: through, direct, problem } = roads;
  const row = (name: string, road: Road | undefined) =>
    road === undefined
      ? `  ${name.padEnd(14)}${"-".padStart(9)}${"-".padStart(12)}${"-".padStart(11)}`
      : `  ${name.padEnd(14)}${ms(road.connect).padStart(9)}${ms(road.firstByte).padStart(12)}${ms(road.whole).padStart(11)}`;
  const lines = [
    "Both roads, in ms (medians):",
    `  ${"".padEnd(14)}${"connect".padStart(9)}${"first byte".padStart(12)}${"whole way".padStart(11)}`,
    row("public name", through),
    row("direct line", direct),
  ];
  if (problem !== undefined) lines.push(problem);
  if (through !== undefined && direct !== undefined) {
    const [whole, first] = [through.whole - direct.whole, through.firstByte - direct.firstByte];
    lines.push(
      whole > 0
        ? `The direct line saves ${ms(whole)} ms of every call, and ${ms(first)} ms of one over a new connection.`
        : "The direct line saves nothing here: stay on the public name.",
    );
  }
  return lines;
}
