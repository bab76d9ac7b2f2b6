/** Answers a request for work on documents: at once, under a repeated key's earlier answer, or as a job. */
import { randomUUID } from "node:crypto";
import { RelayError } from "../errors.ts";
import type { CoarseTimers } from "../http/coarse-timers.ts";
import type { HeldExchange } from "../http/exchange.ts";
import { collectJson, sendJson } from "../http/json-output.ts";
import { type KeepAliveTimes, KeepAliveWriter } from "../http/keep-alive-writer.ts";
import { idempotencyKey, requestHash } from "../jobs/idempotency.ts";
import { parsePrefer } from "../jobs/prefer.ts";
import type { JobMetadata, NewJob, StoredAnswer } from "../jobs/store.ts";
import { type KeyedCall, MAX_KEPT_BYTES, type Submission } from "../jobs/submission.ts";
import type { UsageEntry } from "../usage/entry.ts";
import { BYTES_PER_TOKEN } from "../usage/usage.ts";
import { clientOf } from "./client.ts";
import type { Documents } from "./documents.ts";
import { headersOfJob, storedAnswer } from "./job-work.ts";
import { startProgress } from "./progress.ts";
import { checkWork, doWork, type WorkAnswer, type WorkRequest, type WorkRun } from "./work.ts";

/** What serving works with. */
export interface WorkParts {
  readonly documents: Documents;
  readonly submission: Submission;
  readonly keepAlive: KeepAliveTimes;
  readonly timers: CoarseTimers;
  /** Its row of the ledger; undefined for a removal. */
  readonly usage?: UsageEntry | undefined;
  /** Sends an error, also after heartbeats of `writer` have committed the head. */
  readonly fail: (cause: unknown, writer: KeepAliveWriter | undefined) => void;
}

/**
 * Does the work and answers with it; with `Prefer: respond-async` answers with a job. Work that was begun goes on when the
 * client disconnects. @param metadata of the caller's, for a job
 * @throws RelayError `header_not_supported`, `idempotency_*`, `jobs_*`, `disk_low`; other errors go to `parts.fail`
 */
export async function serveWork(
  exchange: HeldExchange,
  work: WorkRequest,
  parts: WorkParts,
  metadata: () => JobMetadata | undefined = () => undefined,
): Promise<void> {
  const { headers } = exchange.req;
  const prefer = parsePrefer(headers.prefer);
  const key = idempotencyKey(headers);
  const streamed = work.kind === "put" && /\btext\/event-stream\b/.test(headers.accept ?? "");
  refuseUnsupported(work, streamed, prefer.respondAsync, key);
  if (!prefer.respondAsync && key === undefined) return answer(exchange, work, streamed, undefined, parts);
  if (prefer.respondAsync) {
    const company = await checkWork(work, exchange.holding.memory, parts.documents);
    const job = await jobOf(exchange, work, { company, key, metadata: metadata() });
    await parts.submission.submit(exchange, job, prefer);
    parts.usage?.discard(); // its runs have rows of their own
    return;
  }
  const call = await jobOf(exchange, work, { company: undefined, key, metadata: undefined });
  const claim = await parts.submission.claim(exchange, call);
  if (claim === "answered") parts.usage?.fromCache();
  else await answer(exchange, work, false, claim, parts);
}

/** Nothing that a caller asks for is ignored silently. */
function refuseUnsupported(
  { kind }: WorkRequest,
  streamed: boolean,
  respondAsync: boolean,
  key: string | undefined,
): void {
  const refuse = (message: string) => new RelayError("header_not_supported", message);
  if (respondAsync && kind === "remove") {
    throw refuse(
      "Prefer: respond-async is not supported for DELETE: leave the header out, the removal is answered directly.",
    );
  }
  if (respondAsync && streamed) {
    throw refuse(
      "Prefer: respond-async does not go with Accept: text/event-stream. Send one of them; a job reports its progress at /v1/jobs/{id}/events.",
    );
  }
  if (key !== undefined && streamed) {
    throw refuse(
      "Idempotency-Key does not go with Accept: text/event-stream, since events are not kept. Send one of them; a repeated PUT of the same text embeds nothing.",
    );
  }
}

async function jobOf(
  exchange: HeldExchange,
  { kind, caller, query, key: document, body }: WorkRequest,
  {
    company,
    key,
    metadata,
  }: { company: string | undefined; key: string | undefined; metadata: JobMetadata | undefined },
): Promise<NewJob> {
  // All that the work depends on. A key belongs to a path, which PUT and DELETE share.
  const names = JSON.stringify([kind, query, document?.company ?? null, document?.title ?? null]);
  return {
    id: randomUUID().replaceAll("-", ""),
    owner: caller.name,
    company,
    lane: "embeddings",
    path: exchange.path,
    query,
    headers: headersOfJob(kind, document),
    body,
    requestSha256: await requestHash(names, body),
    estimatedTokens: Math.ceil(body.length / BYTES_PER_TOKEN),
    idempotencyKey: key,
    requestParameters: undefined,
    metadata,
  };
}

async function answer(
  exchange: HeldExchange,
  work: WorkRequest,
  streamed: boolean,
  claim: KeyedCall | undefined,
  parts: WorkParts,
): Promise<void> {
  // Work that goes on after its client has disconnected keeps its memory.
  const holding = exchange.holding.retain();
  const run = {
    client: clientOf(exchange, parts.usage),
    signal: exchange.signal,
    ends: false,
    memory: holding.memory,
  };
  let kept: StoredAnswer | undefined;
  try {
    if (streamed) await answerWithProgress(exchange, work, run, parts);
    else kept = await answerWithJson(exchange, work, run, claim !== undefined, parts);
  } finally {
    await claim?.done(kept);
    holding.release();
  }
}

async function answerWithProgress(
  exchange: HeldExchange,
  work: WorkRequest,
  run: WorkRun,
  { documents, keepAlive }: WorkParts,
) {
  const progress = startProgress(exchange, keepAlive.everyMs);
  try {
    const { value } = await doWork(work, { ...run, onProgress: progress.step }, documents);
    await progress.done(value);
  } catch (cause) {
    progress.failed(cause);
  }
}

/** @returns the answer, if it is to be kept and short enough */
async function answerWithJson(
  exchange: HeldExchange,
  work: WorkRequest,
  run: WorkRun,
  keep: boolean,
  { documents, keepAlive, timers, usage, fail }: WorkParts,
): Promise<StoredAnswer | undefined> {
  const { res, dialect } = exchange;
  const writer = new KeepAliveWriter(res, { streams: undefined, dialect }, undefined, { keepAlive, timers });
  try {
    const done = await doWork(work, run, documents);
    const kept = keep ? await keptAnswer(done, run) : undefined;
    writer.stop();
    if (!res.headersSent)
      for (const [name, value] of Object.entries(usage?.quotaHeaders() ?? {})) res.addHeader(name, value);
    if (!res.closed) await sendJson(res, done.status, done.value, done.headers);
    return kept;
  } catch (cause) {
    fail(cause, writer);
    return undefined;
  } finally {
    writer.stop();
  }
}

/** A copy for a repeated key; undefined if it is too long, or there is no memory for it: then it is not kept. */
async function keptAnswer(done: WorkAnswer, { memory }: WorkRun): Promise<StoredAnswer | undefined> {
  try {
    const body = await collectJson(done.value, MAX_KEPT_BYTES, (bytes) => memory.grow(bytes));
    return body && storedAnswer(done, body);
  } catch (cause) {
    if (cause instanceof RelayError) return undefined;
    throw cause;
  }
}
