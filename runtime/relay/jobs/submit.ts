/** Decides what a request for inference is to the jobs: a new job, a repetition by its key, or a direct call. */
import { randomUUID } from "node:crypto";
import { estimateTokens, type QueueName } from "../admission/admission.ts";
import { RelayError } from "../errors.ts";
import type { CheckedBody } from "../http/body-rules.ts";
import type { HeldExchange } from "../http/exchange.ts";
import { headersToModel } from "../http/headers.ts";
import type { ModelCall } from "../http/router.ts";
import { readBackground } from "./background-responses.ts";
import { AnswerCopy } from "./capture.ts";
import { idempotencyKey, keyInProgress, keyMismatch, requestHash } from "./idempotency.ts";
import { fromStore, type Jobs } from "./jobs.ts";
import { readMetadata } from "./metadata.ts";
import { type Prefer, parsePrefer } from "./prefer.ts";
import { replyWithJob, replyWithResponseObject, streamResult, waitForEnd } from "./replies.ts";
import type { JobMetadata, KeyInUse, NewJob, StoredAnswer } from "./store.ts";
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
/** Answers of direct calls with a key are kept as long as a client may still repeat them. */
const KEEP_MS = 24 * 3600_000;
const MAX_KEPT_BYTES = 8 * 1024 * 1024;
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
  readonly metadata: JobMetadata | undefined;
}

export function createSubmit(jobs: Jobs): Submit {
  return (exchange, route, owner, { body, facts }, company) => {
    const lane = route.queue;
    if (lane === undefined) return PASS;
    const { headers } = exchange.req;
    const prefer = parsePrefer(headers.prefer);
    const key = idempotencyKey(headers);
    const background = route.mayRunInBackground === true ? readBackground(body, facts) : undefined;
    const asJob = prefer.respondAsync || background !== undefined;
    if (!asJob && key === undefined) return PASS;
    const metadata = asJob ? readMetadata(body, facts) : undefined;
    return asCall(exchange, { route, lane, owner, company, body, prefer, key, asJob, background, metadata });
  };

  async function asCall(exchange: HeldExchange, asked: Asked): Promise<Submitted> {
    const { route, lane, owner, company, body, prefer, key, asJob, background, metadata } = asked;
    const { headers } = exchange.req;
    const job: NewJob = {
      id: randomUUID().replaceAll("-", ""),
      owner,
      company,
      lane,
      path: exchange.path,
      query: exchange.query,
      headers: headersToModel(headers, exchange.id, route.dialect),
      body: background?.body ?? body,
      requestSha256: await requestHash(exchange.query, body),
      estimatedTokens: estimateTokens(route, body),
      idempotencyKey: key,
      requestParameters: background?.requestParameters,
      metadata,
    };
    if (!asJob) return keyedCall(exchange, job, route);
    await submit(exchange, job, prefer, lane);
    return { kind: "answered" };
  }

  async function submit(exchange: HeldExchange, job: NewJob, prefer: Prefer, lane: QueueName): Promise<void> {
    const added = await fromStore(jobs.store.add(job));
    if (added.kind === "mismatch") throw keyMismatch();
    if (added.kind === "running") throw keyInProgress();
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
    if (job.requestParameters !== undefined) return replyWithResponseObject(exchange, jobs, added.job);
    const waited = prefer.wait === undefined ? undefined : Math.min(prefer.wait, LONGEST_WAIT_S);
    const applied = waited === undefined ? "respond-async" : `respond-async, wait=${waited}`;
    exchange.res.setHeader("Preference-Applied", applied);
    exchange.res.setHeader("Location", `/v1/jobs/${jobName(added.job.id)}`);
    const last = waited ? await waitForEnd(exchange, jobs, added.job, waited) : added.job;
    await replyWithJob(exchange, jobs, last, waited !== undefined && isFinal(last) ? "result" : "accepted");
  }

  /** A direct call with a key: its answer is kept, and one that was kept is sent again. */
  async function keyedCall(exchange: HeldExchange, job: NewJob, { dialect }: ModelCall): Promise<Submitted> {
    const { id } = job;
    jobs.directCalls.add(id);
    try {
      const claim = await fromStore(jobs.store.claimKey(withoutBody(job)));
      if (claim.kind !== "claimed") {
        jobs.directCalls.delete(id);
        await repeat(exchange, claim);
        return { kind: "answered" };
      }
    } catch (cause) {
      jobs.directCalls.delete(id);
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
          // Only a successful answer is kept: after any other the client may try again.
          if (answer !== undefined && answer.status < 400) await keep(job, answer);
          else await release(id);
        } finally {
          jobs.directCalls.delete(id);
          holding?.release();
        }
      },
    };
  }

  /** The client has its answer, so a store that cannot keep it costs only the repetition. */
  async function keep(job: NewJob, answer: StoredAnswer): Promise<void> {
    try {
      await jobs.store.keepAnswer(withoutBody(job), answer, KEEP_MS);
    } catch {
      await release(job.id);
    }
  }

  async function release(callId: string): Promise<void> {
    try {
      await jobs.store.releaseKey(callId);
    } catch {
      // When the store is open again, it drops the claims of calls that do not run.
    }
  }

  async function repeat(exchange: HeldExchange, inUse: KeyInUse): Promise<void> {
    if (inUse.kind === "mismatch") throw keyMismatch();
    if (inUse.kind === "running") throw keyInProgress();
    const { job } = inUse;
    if (!isFinal(job)) throw keyInProgress({ Location: `/v1/jobs/${jobName(job.id)}` });
    await streamResult(exchange, jobs, job, { "Idempotency-Replayed": "true" });
  }
}

/** A direct call is not run by the store, which therefore needs no body. */
const withoutBody = (job: NewJob): NewJob => ({ ...job, body: new Uint8Array(0) });
