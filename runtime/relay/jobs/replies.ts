/** Writes a job's state or result to its owner. */
import { createHash } from "node:crypto";
import { RelayError } from "../errors.ts";
import type { HeldExchange } from "../http/exchange.ts";
import { JSON_TYPE } from "../http/json-output.ts";
import { sendJson } from "../http/listener.ts";
import { responseObject } from "./background-responses.ts";
import { fromStore, type Jobs } from "./jobs.ts";
import type { JobRecord } from "./store.ts";
import { isFinal, jobView, responseName, retryAfter } from "./views.ts";

/** Waits up to `seconds` for the job's end; returns the job as it is then. Throws `too_many_streams`. */
export async function waitForEnd(
  exchange: HeldExchange,
  jobs: Jobs,
  job: JobRecord,
  seconds: number,
): Promise<JobRecord> {
  if (isFinal(job)) return job;
  let last = job;
  const close = exchange.holding.stream();
  try {
    await jobs.changes.until(job.id, seconds * 1000, exchange.signal, async () => {
      last = (await fromStore(jobs.store.find(job.owner, job.id))) ?? last;
      return isFinal(last) ? last : undefined;
    });
  } finally {
    close?.();
  }
  return last;
}

/** `accepted`: 202 and the job; `state`: 200 and the job; `result`: the stored answer, or an error if there is none. */
export async function replyWithJob(
  exchange: HeldExchange,
  jobs: Jobs,
  job: JobRecord,
  form: "accepted" | "state" | "result",
): Promise<void> {
  const live = jobs.live(job);
  if (form === "result") {
    if (!isFinal(job)) {
      throw new RelayError("job_not_finished", `The job is ${job.state}; it has no result yet.`, {
        headers: { "Retry-After": retryAfter(live) },
      });
    }
    return streamResult(exchange, jobs, job);
  }
  if (!isFinal(job)) exchange.res.setHeader("Retry-After", retryAfter(live));
  sendJson(exchange.res, form === "accepted" ? 202 : 200, jobView(job, live));
}

/** The job as an OpenAI background response: always 200, since OpenAI's clients treat 202 as an error. */
export async function replyWithResponseObject(exchange: HeldExchange, jobs: Jobs, job: JobRecord): Promise<void> {
  // Memory for the bytes, the text, the parsed values and the text that is sent.
  if (job.answer !== undefined) exchange.holding.memory.grow(4 * job.answer.bytes);
  const answer = job.answer && (await fromStore(jobs.store.answer(job.owner, job.id)));
  const pieces = await responseObject(job, answer);
  const { res } = exchange;
  if (res.closed) return;
  res.setHeader("Location", `/v1/responses/${responseName(job.id)}`);
  res.writeHead(200, {
    "Content-Type": JSON_TYPE,
    "Content-Length": String(pieces.reduce((sum, { length }) => sum + length, 0)),
  });
  for (const piece of pieces) res.write(piece);
  res.end();
}

/**
 * Sends a job's stored answer as the model server gave it: status, headers and body, and the body's checksum. It is read
 * piece by piece as the caller takes it. The last piece is sent only if the checksum matches; otherwise the connection is cut
 * before the announced length. `more`: additional headers. Throws `job_cancelled` and `job_failed` if there is no answer,
 * `memory_*`, `jobs_unavailable`.
 */
export async function streamResult(
  exchange: HeldExchange,
  jobs: Jobs,
  job: JobRecord,
  more: Readonly<Record<string, string>> = {},
): Promise<void> {
  const { res, req, signal } = exchange;
  const head = job.answer && (await fromStore(jobs.store.answerHead(job.owner, job.id)));
  if (head === undefined) throw jobError(job);
  // One piece waits for the caller while the next is read.
  exchange.holding.memory.grow(2 * Math.min(head.bytes, head.pieceBytes));
  const hash = createHash("sha256");
  for (let at = 0; !signal.aborted; ) {
    const from = at;
    const read = () => fromStore(jobs.store.answerPiece(job.owner, job.id, from));
    const piece = at < head.bytes && (await inTurn(read));
    if (piece === undefined || (piece && piece.length === 0)) throw unreadable("it has expired");
    if (piece) hash.update(piece);
    at += piece ? piece.length : 0;
    const last = at >= head.bytes;
    if (last && hash.digest("hex") !== head.sha256) throw unreadable("its checksum does not match");
    if (signal.aborted) return;
    if (!res.headersSent) {
      res.writeHead(head.status, {
        ...head.headers,
        ...more,
        "content-length": String(head.bytes),
        // RFC 9530
        "repr-digest": `sha-256=:${Buffer.from(head.sha256, "hex").toString("base64")}:`,
      });
    }
    if (last || req.method === "HEAD") {
      res.end(piece || undefined);
      return;
    }
    if (piece && !res.write(piece)) await drained(exchange);
  }
}

/** Pieces of results that are read concurrently: checking and sending one takes about a millisecond of the event loop. */
const PIECES_AT_ONCE = 4;
let reading = 0;
const turns: (() => void)[] = [];

/** Reads a piece when it is its turn: hundreds arriving together would delay all other requests. */
async function inTurn<T>(read: () => Promise<T>): Promise<T> {
  if (reading >= PIECES_AT_ONCE) await new Promise<void>((resolve) => turns.push(resolve));
  else reading += 1;
  try {
    return await read();
  } finally {
    const next = turns.shift(); // takes over this read's place
    if (next === undefined) reading -= 1;
    else setImmediate(next);
  }
}

/** Resolves when more may be written, or the connection has closed. */
function drained({ res, signal }: HeldExchange): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const go = () => {
      res.off("drain", go);
      signal.removeEventListener("abort", go);
      resolve();
    };
    res.on("drain", go);
    signal.addEventListener("abort", go);
  });
}

function unreadable(why: string): RelayError {
  return new RelayError("jobs_unavailable", "The relay cannot read this result at the moment.", {
    headers: { "Retry-After": "5" },
    detail: `the stored answer cannot be read: ${why}`,
  });
}

/** Why a finished job has no answer. */
export function jobError(job: JobRecord): RelayError {
  const message = job.error?.message ?? "The job has no answer.";
  return new RelayError(job.state === "cancelled" ? "job_cancelled" : "job_failed", message);
}
