/** The attacker, a process of its own: runs the attacks it is told until its parent says stop. */
import { Agent, type IncomingMessage, request } from "node:http";
import { setTimeout as wait } from "node:timers/promises";
import type { Attacker, AttackReply, AttackRequest } from "../case.ts";
import { caseNamed } from "../cases.ts";
import { type FromAttacker, HOST, type ToAttacker, tokenHeaders } from "./messages.ts";
import { seeded } from "./random.ts";

/** One attack sends no more than this. */
const MOST_REQUESTS = 20_000;
const KEPT_BYTES = 64 * 1024;
const AFTER_REFUSAL_MS = 250;
/** What a reader takes that reads as little as it may, and how often. */
const SIP_BYTES = 16 * 1024;
const SIP_MS = 500;
const NO_ANSWER: AttackReply = { status: 0, headers: {}, text: "" };

const stopped = new AbortController();
const { signal } = stopped;
const agent = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY });
const statuses: Record<string, number> = {};
let requests = 0;
let saidBegun = false;
const tell = (message: FromAttacker) => process.send?.(message);

function attackerOn(edgeUrl: string, random: () => number): Attacker {
  const begun = () => {
    if (saidBegun) return;
    saidBegun = true;
    tell({ kind: "begun" });
  };
  const pause = async (ms: number) => {
    await wait(ms, undefined, { signal }).catch(() => {});
  };
  const send = async (asked: AttackRequest): Promise<AttackReply> => {
    if (signal.aborted || requests >= MOST_REQUESTS) return NO_ANSWER;
    requests += 1;
    const reply = await exchange(edgeUrl, asked).catch(() => NO_ANSWER);
    if (!signal.aborted || reply.status !== 0) statuses[reply.status] = (statuses[reply.status] ?? 0) + 1;
    return reply;
  };
  const repeat = async (count: number, work: () => Promise<AttackReply | undefined>) => {
    begun();
    const worker = async () => {
      while (!signal.aborted && requests < MOST_REQUESTS) {
        const reply = await work();
        if (reply !== undefined && (reply.status === 0 || reply.status >= 400)) await pause(AFTER_REFUSAL_MS);
      }
    };
    await Promise.all(Array.from({ length: count }, worker));
  };
  return { signal, random, send, repeat, pause, begun };
}

/** One request and its answer. Rejects when the connection ends before the answer has. */
function exchange(edgeUrl: string, asked: AttackRequest): Promise<AttackReply> {
  const { method = "POST", path, body, trickle, read = "all", leaveAfterMs } = asked;
  return new Promise((resolve, reject) => {
    const bytes = body === undefined ? undefined : Buffer.from(body as string);
    const headers: Record<string, string | number> = {
      host: HOST,
      ...tokenHeaders("attacker"),
      ...(bytes === undefined ? {} : { "content-type": "application/json", "content-length": bytes.length }),
      ...asked.headers,
    };
    const leave = leaveAfterMs === undefined ? undefined : AbortSignal.timeout(leaveAfterMs);
    const ends = leave === undefined ? signal : AbortSignal.any([signal, leave]);
    const sent = request(`${edgeUrl}${path}`, { method, headers, agent, signal: ends });
    sent.on("error", reject);
    sent.on("close", () => reject(new Error("the connection ended")));
    sent.on("response", (answer) => {
      const { statusCode: status = 0, headers: answered } = answer;
      answer.on("error", reject);
      if (read !== "all" && status < 400) {
        answer.pause();
        if (read === "trickle") sip(answer);
        const unread = () => resolve({ status, headers: answered, text: "" });
        signal.addEventListener("abort", unread, { once: true });
        answer.on("close", unread);
        return;
      }
      const chunks: Buffer[] = [];
      let kept = 0;
      answer.on("data", (chunk: Buffer) => {
        if (kept < KEPT_BYTES) chunks.push(chunk);
        kept += chunk.length;
      });
      answer.on("end", () => {
        const text = Buffer.concat(chunks).subarray(0, KEPT_BYTES).toString("utf8");
        resolve({ status, headers: answered, text });
        if (trickle !== undefined) sent.destroy();
      });
    });
    if (bytes === undefined || trickle === undefined) sent.end(bytes);
    else drip(sent, bytes, trickle);
  });
}

/** Reads a little of an answer again and again. */
function sip(answer: IncomingMessage): void {
  const timer = setInterval(() => {
    if (answer.readableEnded || answer.destroyed) clearInterval(timer);
    else answer.read(Math.min(answer.readableLength, SIP_BYTES));
  }, SIP_MS);
  answer.on("close", () => clearInterval(timer));
}

function drip(
  sent: ReturnType<typeof request>,
  bytes: Buffer,
  { afterBytes, everyMs }: { afterBytes: number; everyMs: number },
): void {
  sent.write(bytes.subarray(0, afterBytes));
  let at = afterBytes;
  const timer = setInterval(() => {
    if (at >= bytes.length - 1 || sent.destroyed) clearInterval(timer);
    // A pace that the relay takes for a caller on a bad line: over 8 KiB in 30 s.
    else sent.write(bytes.subarray(at, Math.min(at + 1024, bytes.length - 1)));
    at += 1024;
  }, everyMs);
  sent.on("close", () => clearInterval(timer));
}

async function attack({ edgeUrl, cases, seed }: ToAttacker): Promise<void> {
  const random = seeded(seed);
  const runs = cases.map((name) => caseNamed(name).run(attackerOn(edgeUrl, random)));
  const failures = (await Promise.allSettled(runs)).flatMap((run) =>
    run.status === "rejected" && !signal.aborted ? [String(run.reason)] : [],
  );
  const failure = failures.length > 0 ? failures.join("; ") : undefined;
  tell({ kind: "ended", outcome: { requests, statuses }, failure });
}

process.on("message", (message) => {
  if (message === "stop") stopped.abort();
  else void attack(message as ToAttacker);
});
process.on("disconnect", () => process.exit());
