/** From a request that was accepted to the end of its answer: a slot, the model server or its stand-in, and the bill. */
import type { Caller } from "../config.ts";
import { type Admission, estimateTokens, type Lane, laneOf, usedTokens } from "./admission/admission.ts";
import type { LaneMetrics } from "./admission/metrics.ts";
import type { Alarms } from "./alarms.ts";
import type { BodyFacts } from "./body-rules.ts";
import type { Exchange } from "./exchange.ts";
import type { Fallback } from "./fallback.ts";
import { headersToModel } from "./headers.ts";
import { type Format, Hold, type Holds, plainSink, type Sink } from "./hold.ts";
import type { AnswerCopy } from "./jobs/capture.ts";
import type { Upstream, UpstreamCall } from "./upstream.ts";
import { Meter } from "./usage.ts";

/** What a call works with. */
export interface CallParts {
  readonly upstream: Upstream;
  readonly fallback: Fallback | undefined;
  readonly admission: Admission;
  readonly laneMetrics: LaneMetrics;
  readonly holds: Holds;
  readonly alarms: Alarms;
}

/** A request that has passed all checks. */
export interface Accepted {
  readonly routeName: string;
  readonly caller: Caller;
  readonly body: Buffer | null;
  /** Undefined without a body. */
  readonly facts: BodyFacts | undefined;
  /** Copies the answer as the model server gave it. */
  readonly copy?: AnswerCopy | undefined;
}

/** Says on an answer that another server than the Mac's gave it. */
const SERVED_BY = "X-Slm-Served-By";

/**
 * Answers into `exchange.res`. Rejects with a RelayError or CallerLeft; then `exchange.hold`, if there is one, knows whether
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
  const lane = laneOf(routeName);
  if (lane === undefined || body === null) return parts.upstream.forward(call, plainSink(res, onFirstByte));

  const hold = new Hold(res, formatAsked(routeName, accepted.facts), {
    holds: parts.holds,
    alarms: parts.alarms,
    responsesApi: routeName === "/v1/responses",
    onFirstByte,
  });
  exchange.hold = hold;
  const sink = accepted.copy?.tee(hold) ?? hold;
  try {
    await inSlot(exchange, lane, accepted, call, sink, parts);
  } catch (cause) {
    if (!parts.fallback?.takes(routeName, cause, accepted.caller, req.headers) || exchange.leaving.aborted) throw cause;
    parts.laneMetrics.fellBack(accepted.caller.name, cause.code);
    exchange.fellBack = cause.code;
    if (!res.headersSent) res.also(SERVED_BY, "fallback");
    await parts.fallback.forward(call, sink);
  } finally {
    if (res.writableEnded || res.destroyed) hold.stop();
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
  lane: Lane,
  { routeName, caller, body }: Accepted,
  call: UpstreamCall,
  to: Sink,
  { upstream, admission, laneMetrics }: CallParts,
): Promise<void> {
  upstream.breaker.check(); // nobody waits for a slot in vain
  const bytes = body?.length ?? 0;
  const estimatedTokens = body === null ? 0 : estimateTokens(routeName, body);
  const ticket = { lane, caller, estimatedTokens, bytes, signal: exchange.leaving };
  const slot = admission.take(ticket) ?? (await admission.acquire(ticket));
  exchange.waitedMs = slot.waitedMs;
  const sink = new MeteredSink(to);
  try {
    await upstream.forward(call, sink);
  } finally {
    const { meter, firstAt, lastAt } = sink;
    const usage = meter.usage();
    // Nothing of an answer: nothing to pay, and no service time to learn from.
    slot.release(meter.bytes === 0 ? 0 : usedTokens(lane, bytes, usage));
    laneMetrics.served({
      lane,
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

/** Passes on to the hold, and reads along. */
class MeteredSink implements Sink {
  readonly meter = new Meter();
  readonly #to: Sink;
  firstAt: number | undefined;
  lastAt = 0;

  constructor(to: Sink) {
    this.#to = to;
  }

  head(status: number, headers: Parameters<Sink["head"]>[1]): void {
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
