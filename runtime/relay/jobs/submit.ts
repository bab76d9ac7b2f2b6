/** Decides whether a request for inference is a new job, a repetition by its key, or a direct call. */
import { randomUUID } from "node:crypto";
import { estimateTokens, type QueueName } from "../admission/admission.ts";
import { RelayError } from "../errors.ts";
import type { CheckedBody } from "../http/body-rules.ts";
import type { HeldExchange } from "../http/exchange.ts";
import { headersToModel } from "../http/headers.ts";
import type { ModelCall } from "../http/router.ts";
import type { UsageEntry } from "../usage/entry.ts";
import { readBackground } from "./background-responses.ts";
import { AnswerCopy } from "./capture.ts";
import { idempotencyKey, keyInProgress, keyMismatch, requestHash } from "./idempotency.ts";
import { fromStore, type Jobs } from "./jobs.ts";
import { readMetadata } from "./metadata.ts";
import { type Prefer, parsePrefer } from "./prefer.ts";
import { replyWithJob, replyWithResponseObject, streamResult, waitForEnd } from "./replies.ts";
import type { JobMetadata, KeyInUse, NewJob, StoredAnswer } from "./store.ts";
import { isFinal, jobName } from "./views.ts";

/** `answered`: the response has been sent. `pass`: the call continues as usual; `done`, if present, must be called at its end. */
export type Submitted =
  | { readonly kind: "answered" }
  | {
      readonly kind: "pass";
      /** Where the answer is copied to. */
      readonly copy?: AnswerCopy;
      readonly done?: (whole: boolean) => Promise<void>;
    };

/**
 * Checks a request for inference and, if its headers or body ask for it, answers with a job. Throws `idempotency_*`,
 * `background_not_streamed`, `jobs_full`, `jobs_share_full`, `disk_low`, `jobs_unavailable`. Returns without a promise if the
 * request has nothing to do with jobs.
 */
export type Submit = (
  exchange: HeldExchange,
  route: ModelCall,
  owner: string,
  checked: CheckedBody,
  company: string | undefined,
  usage?: UsageEntry,
) => Submitted | Promise<Submitted>;

const PASS: Submitted = { kind: "pass" };
/** How long answers of direct calls with a key are kept: as long as a client may repeat them. */
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
  readonly usage: UsageEntry | undefined;
}

export function createSubmit(jobs: Jobs): Submit {
  return (exchange, route, owner, { body, facts }, company, usage) => {
    const lane = route.queue;
    if (lane === undefined) return PASS;
    const { headers } = exchange.req;
    const prefer = parsePrefer(headers.prefer);
    const key = idempotencyKey(headers);
    const background = route.mayRunInBackground === true ? readBackground(body, facts) : undefined;
    const asJob = prefer.respondAsync || background !== undefined;
    if (!asJob && key === undefined) return PASS;
    const metadata = asJob ? readMetadata(body, facts) : undefined;
    return asCall(exchange, { route, lane, owner, company, body, prefer, key, asJob, background, metadata, usage });
  };

  async function asCall(exchange: HeldExchange, asked: Asked): Promise<Submitted> {
    const { route, lane, owner, company, body, prefer, key, asJob, background, metadata, usage } = asked;
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
    if (!asJob) return keyedCall(exchange, job, route, usage);
    await submit(exchange, job, prefer, lane, usage);
    return { kind: "answered" };
  }

  async function submit(
    exchange: HeldExchange,
    job: NewJob,
    prefer: Prefer,
    lane: QueueName,
    usage: UsageEntry | undefined,
  ): Promise<void> {
    const added = await fromStore(jobs.store.add(job));
    if (added.kind === "mismatch") throw keyMismatch();
    if (added.kind === "running") throw keyInProgress();
    if (added.kind === "store_full") {
      throw new RelayError("jobs_full", "Stored jobs use all the space they may. Call without a job, or try later.", {
        detail: `${added.usedBytes} bytes used`,
      });
    }
    if (added.kind === "share_full") {
      throw new RelayError(
        "jobs_share_full",
        "Your stored jobs use all the space that one caller may use. Call without a job, or wait until older results expire.",
        { detail: `${added.usedBytes} of at most ${Math.floor(added.shareBytes)} bytes used` },
      );
    }
    if (added.kind === "disk_low") {
      throw new RelayError("disk_low", "The Mac's disk is nearly full, so no new jobs are accepted.", {
        detail: `${added.freeBytes} bytes free`,
      });
    }
    usage?.discard(); // its runs have rows of their own
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

  /** A direct call with a key: its answer is kept, or the one already kept is sent again. */
  async function keyedCall(
    exchange: HeldExchange,
    job: NewJob,
    { dialect }: ModelCall,
    usage: UsageEntry | undefined,
  ): Promise<Submitted> {
    const { id } = job;
    jobs.directCalls.add(id);
    try {
      const claim = await fromStore(jobs.store.claimKey(withoutBody(job)));
      if (claim.kind !== "claimed") {
        jobs.directCalls.delete(id);
        await repeat(exchange, claim, usage);
        return { kind: "answered" };
      }
    } catch (cause) {
      jobs.directCalls.delete(id);
      throw cause;
    }
    // Holds the memory until the answer is stored, even if the exchange has ended by then.
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
          // Only a successful answer is kept: after an error the client may try again.
          if (answer !== undefined && answer.status < 400) await keep(job, answer);
          else await release(id);
        } finally {
          jobs.directCalls.delete(id);
          holding?.release();
        }
      },
    };
  }

  /** The client has its answer, so if storing fails only the replay is lost. */
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
      // When the store is reopened, it drops claims of calls that are not running.
    }
  }

  async function repeat(exchange: HeldExchange, inUse: KeyInUse, usage: UsageEntry | undefined): Promise<void> {
    if (inUse.kind === "mismatch") throw keyMismatch();
    if (inUse.kind === "running") throw keyInProgress();
    const { job } = inUse;
    if (!isFinal(job)) throw keyInProgress({ Location: `/v1/jobs/${jobName(job.id)}` });
    usage?.fromCache();
    await streamResult(exchange, jobs, job, { "Idempotency-Replayed": "true" });
  }
}

/** The store does not run direct calls, so it needs no body. */
const withoutBody = (job: NewJob): NewJob => ({ ...job, body: new Uint8Array(0) });
