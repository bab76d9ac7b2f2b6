/** Sends malformed requests over raw TCP and judges what comes back. */
import { connect } from "node:net";
import { randomOf } from "../../runtime/relay/drills/seed.ts";
import { type MalformedRequest, malformedRequest } from "./requests.ts";

export interface Target {
  readonly port: number;
  /** A caller's token. */
  readonly token: string;
}

export interface Outcome {
  readonly sent: number;
  /** By status; "closed": the connection ended without an answer. */
  readonly statuses: Readonly<Record<string, number>>;
  /** What must not be: a 5xx of the relay's own, a request that hung, a connection refused. */
  readonly failures: readonly string[];
  readonly worstMs: number;
}

/** Connections at a time. */
const AT_ONCE = 24;
/** A request without an answer or an end after so long hangs; the relay's own time-outs for half a request end before. */
const HANGS_MS = 45_000;
const MOST_FAILURES = 20;

/** Sends `count` requests, the same for the same seed. Stops early at 20 failures. */
export async function sendMalformed(count: number, seed: number, { port, token }: Target): Promise<Outcome> {
  const statuses: Record<string, number> = {};
  const failures: string[] = [];
  let [sent, worstMs] = [0, 0];
  const worker = async () => {
    while (sent < count && failures.length < MOST_FAILURES) {
      const number = sent++;
      const request = malformedRequest(randomOf(seed + number), token);
      const since = performance.now();
      let answer = await exchange(port, request);
      // On a busy machine a connection to the model server may take too long; what the request itself causes comes again.
      if (typeof answer === "string" && answer.includes('"code":"model_unreachable"'))
        answer = await exchange(port, request);
      worstMs = Math.max(worstMs, performance.now() - since);
      for (const status of statusesOf(answer)) statuses[status] = (statuses[status] ?? 0) + 1;
      const fault = faultOf(answer);
      if (fault !== undefined)
        failures.push(`request ${number} of seed ${seed} (${request.faults.join(", ")}): ${fault}`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return { sent, statuses, failures, worstMs };
}

type Answer = string | { readonly failed: string };

/** All that comes until the other side closes. The own side is closed once all is written, so that nothing more is expected. */
function exchange(port: number, { bytes, splitAt }: MalformedRequest): Promise<Answer> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true }).setEncoding("latin1");
    let got = "";
    const end = (answer: Answer) => {
      clearTimeout(late);
      socket.destroy();
      resolve(answer);
    };
    const late = setTimeout(
      () => end({ failed: `no end after ${HANGS_MS / 1000} s; so far ${JSON.stringify(got.slice(0, 200))}` }),
      HANGS_MS,
    );
    socket.on("data", (text: string) => {
      // Long answers are read and forgotten.
      if (got.length < 4096) got += text;
    });
    socket.on("end", () => end(got));
    socket.on("error", (cause: NodeJS.ErrnoException) =>
      end(cause.code === "ECONNREFUSED" ? { failed: "nothing listens any more" } : got),
    );
    socket.on("close", () => end(got));
    socket.write(bytes.subarray(0, splitAt), () => setImmediate(() => socket.end(bytes.subarray(splitAt))));
  });
}

function statusesOf(answer: Answer): string[] {
  if (typeof answer !== "string") return ["failed"];
  const found = [...answer.matchAll(/^HTTP\/1\.1 (\d{3}) /gm)].map(([, status]) => status ?? "");
  return found.length === 0 ? ["closed"] : found;
}

function faultOf(answer: Answer): string | undefined {
  if (typeof answer !== "string") return answer.failed;
  const own = /^HTTP\/1\.1 5\d\d [\s\S]*?(?=^HTTP\/1\.1 |$(?![\s\S]))/m.exec(answer)?.[0];
  if (own !== undefined) return `a 5xx: ${own.slice(0, 600)}`;
  return /"code":"internal"/.test(answer) ? `an internal error: ${answer.slice(0, 600)}` : undefined;
}
