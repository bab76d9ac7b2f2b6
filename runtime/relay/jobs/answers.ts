/** Writes what is known of a job to its owner. */
import { RelayError } from "../errors.ts";
import type { Exchange } from "../exchange.ts";
import { sendText } from "../http.ts";
import { fromStore, type Jobs } from "./jobs.ts";
import { responseObject } from "./responses.ts";
import type { JobRecord, StoredAnswer } from "./store.ts";
import { isFinal, jobView, responseName, retryAfter } from "./views.ts";

/** Waits up to `seconds` for the job's end; gives the job as it then is. */
export async function waitForEnd(exchange: Exchange, jobs: Jobs, job: JobRecord, seconds: number): Promise<JobRecord> {
  let last = job;
  await jobs.changes.until(job.id, seconds * 1000, exchange.leaving.signal, async () => {
    last = (await fromStore(jobs.store.find(job.owner, job.id))) ?? last;
    return isFinal(last) ? last : undefined;
  });
  return last;
}

/** `accepted`: 202 and the job; `state`: 200 and the job; `result`: the stored answer, or an error if there is none. */
export async function answerJob(
  exchange: Exchange,
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
    const answer = job.answer && (await fromStore(jobs.store.answer(job.owner, job.id)));
    if (answer === undefined) throw jobError(job);
    sendAnswer(exchange, answer);
    return;
  }
  if (!isFinal(job)) exchange.res.setHeader("Retry-After", retryAfter(live));
  sendJson(exchange, form === "accepted" ? 202 : 200, jobView(job, live));
}

/** The job in the form of OpenAI's background responses: always 200, its clients take a 202 for broken. */
export async function sendResponseObject(exchange: Exchange, jobs: Jobs, job: JobRecord): Promise<void> {
  const answer = job.answer && (await fromStore(jobs.store.answer(job.owner, job.id)));
  const pieces = await responseObject(job, answer);
  const { res } = exchange;
  if (res.closed) return;
  exchange.firstByteAt = performance.now();
  res.setHeader("Location", `/v1/responses/${responseName(job.id)}`);
  res.writeHead(200, {
    "Content-Type": "application/json; charset=utf-8",
    "Content-Length": String(pieces.reduce((sum, { length }) => sum + length, 0)),
  });
  for (const piece of pieces) res.write(piece);
  res.end();
}

/** A stored answer as the model server gave it: status, headers and body, and the body's checksum. */
export function sendAnswer(exchange: Exchange, { status, headers, body, sha256 }: StoredAnswer): void {
  exchange.firstByteAt = performance.now();
  exchange.res.writeHead(status, {
    ...headers,
    "content-length": String(body.length),
    // RFC 9530
    "repr-digest": `sha-256=:${Buffer.from(sha256, "hex").toString("base64")}:`,
  });
  exchange.res.end(body);
}

/** Why a finished job has no answer. */
export function jobError(job: JobRecord): RelayError {
  const message = job.error?.message ?? "The job has no answer.";
  return new RelayError(job.state === "cancelled" ? "job_cancelled" : "job_failed", message);
}

function sendJson(exchange: Exchange, status: number, value: unknown): void {
  exchange.firstByteAt = performance.now();
  sendText(exchange.res, status, "application/json; charset=utf-8", JSON.stringify(value));
}
