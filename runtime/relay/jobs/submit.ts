/** What a request for inference has to do with jobs: it becomes one, repeats one, or is answered at once. */
import { createHash, randomUUID } from "node:crypto";
import { estimateTokens, type QueueName } from "../admission/admission.ts";
import { RelayError } from "../errors.ts";
import type { CheckedBody } from "../http/body-rules.ts";
import type { HeldExchange } from "../http/exchange.ts";
import { headersToModel } from "../http/headers.ts";
import type { ModelCall } from "../http/router.ts";
import { nextTimeSlice } from "../http/time-slices.ts";
import { readBackground } from "./background-responses.ts";
import { AnswerCopy } from "./capture.ts";
import { fromStore, type Jobs } from "./jobs.ts";
import { idempotencyKey, type Prefer, parsePrefer } from "./prefer.ts";
import { replyWithJob, replyWithResponseObject, streamResult, waitForEnd } from "./replies.ts";
import type { JobRecord, NewJob } from "./store.ts";
import { isFinal, jobName } from "./views.ts";

/** `answered`: nothing is left to do. `pass`: the call goes on as any other; `done`, if it is there, must be called at its end. */
export type Submitted =
  | { readonly kind: "answered" }
  | {
      readonly kind: "pass";
      /** Where the answer is to be copied on its way. */
      readonly copy?: AnswerCopy;
      readonly done?: (whole: boolean) => Promise<void>;
    };

/**
 * Looks at one request for inference and, if its headers or body ask for it, answers with a job. Throws `idempotency_*`,
 * `background_not_streamed`, `jobs_full`, `jobs_share_full`, `disk_low`, `jobs_unavailable`. What has nothing to do with jobs passes
 * at once, without a promise.
 */
export type Submit = (
  exchange: HeldExchange,
  route: ModelCall,
  owner: string,
  checked: CheckedBody,
  company: string | undefined,
) => Submitted | Promise<Submitted>;

const PASS: Submitted = { kind: "pass" };
/** Answers of calls that are no jobs are kept for as long as a client may still try again. */
const KEEP_MS = 24 * 3600_000;
const MAX_KEPT_BYTES = 8 * 1024 * 1024;
/** Bytes that are hashed in one turn: about half a millisecond. */
const HASHED_AT_ONCE = 512 * 1024;
/** Cloudflare ends a request after 100 s without a byte. */
export const LONGEST_WAIT_S = 60;

/** What a request for inference asks for. */
interface Asked {
  readonly route: ModelCall;
  readonly lane: QueueName;
  readonly owner: string;
  readonly company: string | undefined;
  readonly body: Buffer;
  readonly prefer: Prefer;
  readonly key: string | undefined;
  /** Else it has a key. */
  readonly asJob: boolean;
  readonly background: ReturnType<typeof readBackground>;
}

export function createSubmit(jobs: Jobs): Submit {
  /** Calls with a key that run now, by owner, path and key: the request's hash. */
  const calls = new Map<string, string>();

  return (exchange, route, owner, { body, facts }, company) => {
    const lane = route.queue;
    if (lane === undefined) return PASS;
    const { headers } = exchange.req;
    const prefer = parsePrefer(headers.prefer);
    const key = idempotencyKey(headers);
    const background = route.mayRunInBackground === true ? readBackground(body, facts) : undefined;
    const asJob = prefer.respondAsync || background !== undefined;
    if (!asJob && (key === undefined || !jobs.available)) return PASS;
    return asCall(exchange, { route, lane, owner, company, body, prefer, key, asJob, background });
  };

  async function asCall(exchange: HeldExchange, asked: Asked): Promise<Submitted> {
    const { route, lane, owner, company, body, prefer, key, asJob, background } = asked;
    const { headers } = exchange.req;
    // The body's hash is the only thing that is waited for, so what follows is decided in one go.
    const job: NewJob = {
      id: randomUUID().replaceAll("-", ""),
      owner,
      company,
      lane,
      path: exchange.path,
      query: exchange.query,
      headers: headersToModel(headers, exchange.id, route.dialect),
      body: background?.body ?? body,
      requestSha256: await hashOfRequest(exchange.query, body),
      estimatedTokens: estimateTokens(route, body),
      idempotencyKey: key,
      requestParameters: background?.requestParameters,
    };
    if (key !== undefined) refuseRunning(calls.get(callName(job, key)), job.requestSha256);
    if (!asJob && key !== undefined) return keyedCall(exchange, job, key, route);
    await submit(exchange, job, prefer, lane);
    return { kind: "answered" };
  }

  async function submit(exchange: HeldExchange, job: NewJob, prefer: Prefer, lane: QueueName): Promise<void> {
    const added = await fromStore(jobs.store.add(job));
    if (added.kind === "mismatch") throw mismatch();
    if (added.kind === "store_full") {
      throw new RelayError(
        "jobs_full",
        "The jobs that are kept take all the space they may. Fetch this answer directly, or try later.",
        {
          detail: `${added.usedBytes} bytes used`,
        },
      );
    }
    if (added.kind === "share_full") {
      throw new RelayError(
        "jobs_share_full",
        "The jobs you keep take all the space that one caller may use. Fetch this answer directly, or wait until older results are forgotten.",
        { detail: `${added.usedBytes} of at most ${Math.floor(added.shareBytes)} bytes used` },
      );
    }
    if (added.kind === "disk_low") {
      throw new RelayError("disk_low", "The Mac's disk is nearly full, so no new job is taken.", {
        detail: `${added.freeBytes} bytes free`,
      });
    }
    if (added.kind === "added") {
      jobs.metrics.added(lane);
      jobs.wake(lane);
    } else exchange.res.setHeader("Idempotency-Replayed", "true");
    // The same request gets the same form of answer, so the record that was found has an requestParameters if this one has.
    if (job.requestParameters !== undefined) return replyWithResponseObject(exchange, jobs, added.job);
    const waited = prefer.wait === undefined ? undefined : Math.min(prefer.wait, LONGEST_WAIT_S);
    const applied = waited === undefined ? "respond-async" : `respond-async, wait=${waited}`;
    exchange.res.setHeader("Preference-Applied", applied);
    exchange.res.setHeader("Location", `/v1/jobs/${jobName(added.job.id)}`);
    const last = waited ? await waitForEnd(exchange, jobs, added.job, waited) : added.job;
    await replyWithJob(exchange, jobs, last, waited !== undefined && isFinal(last) ? "result" : "accepted");
  }

  /** A call that is answered at once, with a key: its answer is kept, and one that was kept is sent again. */
  async function keyedCall(
    exchange: HeldExchange,
    job: NewJob,
    key: string,
    { dialect }: ModelCall,
  ): Promise<Submitted> {
    const name = callName(job, key);
    calls.set(name, job.requestSha256); // before anything is awaited: the same call may come twice at once
    try {
      const found = await fromStore(jobs.store.byKey(job.owner, job.path, key));
      if (found !== undefined) {
        calls.delete(name);
        await repeat(exchange, found, job.requestSha256);
        return { kind: "answered" };
      }
    } catch (cause) {
      calls.delete(name);
      throw cause;
    }
    // Until the answer is stored, also when the exchange has ended by then.
    const holding = exchange.holding.retain();
    const copy = new AnswerCopy(dialect, MAX_KEPT_BYTES, holding?.memory);
    let done = false;
    return {
      kind: "pass",
      copy,
      async done(whole) {
        if (done) return;
        done = true;
        try {
          const answer = whole ? copy.answer : undefined;
          // Only an answer that did the work is kept: after any other the client may try again.
          if (answer !== undefined && answer.status < 400 && jobs.available) {
            await jobs.store.keepAnswer({ ...job, body: new Uint8Array(0) }, answer, KEEP_MS);
          }
        } finally {
          calls.delete(name);
          holding?.release();
        }
      },
    };
  }

  async function repeat(exchange: HeldExchange, found: JobRecord, requestSha256: string): Promise<void> {
    if (found.requestSha256 !== requestSha256) throw mismatch();
    if (!isFinal(found)) throw inProgress({ Location: `/v1/jobs/${jobName(found.id)}` });
    await streamResult(exchange, jobs, found, { "Idempotency-Replayed": "true" });
  }
}

/** Of query and body, in hex. */
async function hashOfRequest(query: string, body: Buffer): Promise<string> {
  const hash = createHash("sha256").update(query).update("\0");
  for (let at = 0; at < body.length; at += HASHED_AT_ONCE) {
    if (at > 0) await nextTimeSlice();
    hash.update(body.subarray(at, at + HASHED_AT_ONCE));
  }
  return hash.digest("hex");
}

function callName({ owner, path }: NewJob, key: string): string {
  return JSON.stringify([owner, path, key]);
}

function refuseRunning(running: string | undefined, requestSha256: string): void {
  if (running === undefined) return;
  throw running === requestSha256 ? inProgress({}) : mismatch();
}

function inProgress(headers: Record<string, string>): RelayError {
  return new RelayError("idempotency_in_progress", "The request with this Idempotency-Key is still running.", {
    headers: { "Retry-After": "2", ...headers },
  });
}

function mismatch(): RelayError {
  return new RelayError(
    "idempotency_mismatch",
    "This Idempotency-Key was used for another request on this path. Use a new key for each new request.",
  );
}
