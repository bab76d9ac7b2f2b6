/** From a request that was accepted to the end of its answer: a slot, the model server or its stand-in, and the bill. */
import type { Caller } from "../../config.ts";
import {
  type Admission,
  estimateTokens,
  type QueueName,
  queueOf,
  type Slot,
  usedTokens,
} from "../admission/admission.ts";
import type { QueueMetrics } from "../admission/metrics.ts";
import { RelayError } from "../errors.ts";
import type { BodyFacts } from "../http/body-rules.ts";
import type { CoarseTimers } from "../http/coarse-timers.ts";
import type { Exchange } from "../http/exchange.ts";
import { headersToModel } from "../http/headers.ts";
import { type Format, type KeepAliveTimes, KeepAliveWriter, plainSink, type Sink } from "../http/keep-alive-writer.ts";
import { Meter } from "../usage/usage.ts";
import type { Fallback } from "./fallback.ts";
import type { Upstream, UpstreamCall } from "./upstream.ts";

/** What a call works with. */
export interface CallParts {
  readonly upstream: Upstream;
  readonly fallback: Fallback | undefined;
  readonly admission: Admission;
  readonly queueMetrics: QueueMetrics;
  readonly keepAlive: KeepAliveTimes;
  readonly timers: CoarseTimers;
}

/** Sees an answer on its way. */
export interface AnswerTap {
  /** A sink that passes everything on to `to`. */
  tee(to: Sink): Sink;
}

/** A request that has passed all checks. */
export interface Accepted {
  readonly routeName: string;
  readonly caller: Caller;
  /** The company the request is for, if it names one. */
  readonly company: string | undefined;
  readonly body: Buffer | null;
  /** Undefined without a body. */
  readonly facts: BodyFacts | undefined;
  /** Copies the answer as the model server gave it. */
  readonly copy?: AnswerTap | undefined;
}

/** Says on an answer that another server than the Mac's gave it. */
const SERVED_BY = "X-Slm-Served-By";

/**
 * Answers into `exchange.res`. Rejects with a RelayError or ClientDisconnected; then `exchange.hold`, if there is one, knows whether
 * the error can still be told.
 */
export async function answerFromModel(exchange: Exchange, accepted: Accepted, parts: CallParts): Promise<void> {
  const { req, res } = exchange;
  const { routeName, body } = accepted;
  const call: UpstreamCall = {
    method: req.method ?? "GET",
    target: exchange.path + exchange.query,
    headers: headersToModel(req.headers, exchange.id),
    body,
    signal: exchange.leaving,
  };
  const onFirstByte = () => {
    exchange.firstByteAt = performance.now();
    // Tells a caller how much of its wait was not the way here; the model server's part is in it.
    const timing = `relay;dur=${(exchange.firstByteAt - exchange.startedAt).toFixed(1)}`;
    if (!res.headersSent) res.also("Server-Timing", timing);
  };
  const queue = queueOf(routeName);
  if (queue === undefined || body === null) {
    exchange.holding?.slotless();
    return parts.upstream.forward({ ...call, slotless: true }, plainSink(res, onFirstByte));
  }

  const hold = new KeepAliveWriter(res, formatAsked(routeName, accepted.facts), {
    keepAlive: parts.keepAlive,
    timers: parts.timers,
    responsesApi: routeName === "/v1/responses",
    memory: exchange.holding?.memory,
    onFirstByte,
  });
  exchange.hold = hold;
  const sink = accepted.copy?.tee(hold) ?? hold;
  try {
    await inSlot(exchange, queue, accepted, call, sink, parts);
  } catch (cause) {
    if (!parts.fallback?.takes(routeName, cause, accepted.caller, accepted.company) || exchange.leaving.aborted)
      throw cause;
    parts.queueMetrics.fellBack(accepted.caller.name, cause.code);
    exchange.fellBack = cause.code;
    if (!res.headersSent) res.also(SERVED_BY, "fallback");
    const metered = new MeteredSink(sink);
    try {
      await parts.fallback.forward(call, metered);
    } finally {
      parts.queueMetrics.usedTokens(queue, accepted.caller.name, "fallback", metered.meter.usage());
    }
  } finally {
    if (res.writableEnded || res.destroyed) hold.stop(); // else it watches the reader of what is left
  }
}

/** What the answer will be, from what was asked for: Ollama streams unless told not to. */
export function formatAsked(routeName: string, facts: Pick<BodyFacts, "stream"> | undefined): Format {
  const stream = facts?.stream;
  if (routeName === "/api/chat" || routeName === "/api/generate") return stream === false ? "json" : "ndjson";
  return stream === true && routeName.startsWith("/v1/") ? "sse" : "json";
}

async function inSlot(
  exchange: Exchange,
  queue: QueueName,
  { routeName, caller, company, body }: Accepted,
  call: UpstreamCall,
  to: Sink,
  { upstream, admission, queueMetrics }: CallParts,
): Promise<void> {
  upstream.breaker.check(); // nobody waits for a slot in vain
  const bytes = body?.length ?? 0;
  const estimatedTokens = body === null ? 0 : estimateTokens(routeName, body);
  const { res, leaving: signal } = exchange;
  const evictable = () => !res.headersSent;
  const slotRequest = { queue, caller, company, estimatedTokens, bytes, signal, evictable };
  const slot = admission.tryAcquire(slotRequest) ?? (await admission.acquire(slotRequest));
  exchange.waitedMs = slot.waitedMs;
  const sink = new MeteredSink(to);
  let failure: unknown;
  try {
    await upstream.forward(call, sink);
  } catch (cause) {
    failure = cause;
    throw cause;
  } finally {
    const { meter, firstAt, lastAt } = sink;
    const usage = meter.usage();
    settle(slot, sink, failure, () => usedTokens(queue, bytes, usage));
    queueMetrics.served({
      queue,
      caller: caller.name,
      waitedMs: slot.waitedMs,
      firstMs: firstAt === undefined ? undefined : firstAt - exchange.startedAt,
      streamedMs: firstAt === undefined || meter.events < 2 ? undefined : lastAt - firstAt,
      usage,
      requestBytes: bytes,
      answerBytes: meter.bytes,
    });
  }
}

const NOT_SENT: ReadonlySet<string> = new Set(["model_down", "model_unreachable"]);

/**
 * Gives a slot back after a call to the model server, at the price of what happened there: an answer costs what it says it
 * used; nothing was sent: nothing; else (the caller left before the answer, the model server was silent, broke off or answered
 * with an error) the time the slot was held.
 */
function settle(slot: Slot, { meter, status }: MeteredSink, failure: unknown, used: () => number | undefined): void {
  if (status !== undefined && status < 400 && meter.bytes > 0) slot.release(used());
  else if (failure instanceof RelayError && NOT_SENT.has(failure.code)) slot.release(0);
  else slot.abandon();
}

/** Passes on to the hold, and reads along. */
class MeteredSink implements Sink {
  readonly meter = new Meter();
  readonly #to: Sink;
  /** Of the answer; undefined before its head has come. */
  status: number | undefined;
  firstAt: number | undefined;
  lastAt = 0;

  constructor(to: Sink) {
    this.#to = to;
  }

  head(status: number, headers: Parameters<Sink["head"]>[1]): void {
    this.status = status;
    this.meter.begin(String(headers["content-type"] ?? ""));
    this.#to.head(status, headers);
  }

  write(chunk: Buffer): boolean {
    this.lastAt = performance.now();
    this.firstAt ??= this.lastAt;
    this.meter.feed(chunk);
    return this.#to.write(chunk);
  }

  end(): void {
    this.#to.end();
  }

  onceDrained(go: () => void): void {
    this.#to.onceDrained(go);
  }
}
