/** Decides whether a request for inference is a new job, a repetition by its key, or a direct call. */
import { randomUUID } from "node:crypto";
import { estimateTokens, type QueueName } from "../admission/admission.ts";
import type { CheckedBody } from "../http/body-rules.ts";
import type { HeldExchange } from "../http/exchange.ts";
import { headersToModel } from "../http/header-filters.ts";
import type { ModelCall } from "../http/router.ts";
import type { UsageEntry } from "../usage/entry.ts";
import { readBackground } from "./background-responses.ts";
import { AnswerCopy } from "./capture.ts";
import { idempotencyKey, requestHash } from "./idempotency.ts";
import { readMetadata } from "./metadata.ts";
import { type Prefer, parsePrefer } from "./prefer.ts";
import type { JobMetadata, NewJob } from "./store.ts";
import { MAX_KEPT_BYTES, type Submission } from "./submission.ts";

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

export function createSubmit(submission: Submission): Submit {
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
    await submission.submit(exchange, job, prefer);
    usage?.discard(); // its runs have rows of their own
    return { kind: "answered" };
  }

  /** A direct call with a key: its answer is kept, or the one already kept is sent again. */
  async function keyedCall(
    exchange: HeldExchange,
    job: NewJob,
    { dialect }: ModelCall,
    usage: UsageEntry | undefined,
  ): Promise<Submitted> {
    const claim = await submission.claim(exchange, job);
    if (claim === "answered") {
      usage?.fromCache();
      return { kind: "answered" };
    }
    const copy = new AnswerCopy(dialect, MAX_KEPT_BYTES, claim.memory);
    return { kind: "pass", copy, done: (whole) => claim.done(whole ? copy.answer : undefined) };
  }
}
