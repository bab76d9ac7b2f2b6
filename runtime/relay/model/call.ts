/** From a request that has passed all checks to the end of its answer: a slot, the model server or the fallback, the bill. */
import type { Caller } from "../../config.ts";
import type { ModelConfig } from "../../model-config.ts";
import { type Admission, type QueueName, type Slot, usedTokens } from "../admission/admission.ts";
import type { QueueMetrics } from "../admission/metrics.ts";
import { RelayError } from "../errors.ts";
import { AnswerRewriter, type AnswerRule } from "../http/answer-rewriter.ts";
import { AnswerWriter, type Sink } from "../http/answer-writer.ts";
import { ClientDisconnected } from "../http/body.ts";
import type { CheckedBody } from "../http/body-rules.ts";
import type { CoarseTimers } from "../http/coarse-timers.ts";
import type { HeldExchange } from "../http/exchange.ts";
import { headersToModel } from "../http/header-filters.ts";
import { type KeepAliveTimes, KeepAliveWriter } from "../http/keep-alive-writer.ts";
import type { ModelCall } from "../http/router.ts";
import type { UsageEntry } from "../usage/entry.ts";
import type { ServedBy } from "../usage/row.ts";
import { AcceptedAnswer } from "./accepted-answer.ts";
import { answerRule } from "./answer-rules.ts";
import type { Fallback } from "./fallback.ts";
import { MeteredSink } from "./metered-sink.ts";
import type { ModelMetrics } from "./metrics.ts";
import { tapResponseId } from "./response-id.ts";
import type { ResponseOwners } from "./response-owners.ts";
import type { Upstream, UpstreamCall } from "./upstream.ts";

/** What a call works with. */
export interface CallParts {
  readonly model: Pick<ModelConfig, "kind" | "allowed">;
  readonly responses: ResponseOwners;
  readonly upstream: Upstream;
  readonly fallback: Fallback | undefined;
  readonly admission: Admission;
  readonly queueMetrics: QueueMetrics;
  readonly modelMetrics: ModelMetrics;
  readonly keepAlive: KeepAliveTimes;
  readonly timers: CoarseTimers;
}

/** Sees an answer on its way. */
export interface AnswerTap {
  /** A sink that passes everything on to `to`. */
  tee(to: Sink): Sink;
}

/** A request for the model server that has passed all checks. */
export interface AcceptedCall {
  readonly exchange: HeldExchange;
  readonly route: ModelCall;
  readonly caller: Caller;
  /** The company the request is for, if it names one. */
  readonly company: string | undefined;
  /** Undefined for a GET. */
  readonly checked: CheckedBody | undefined;
  /** What it uses is added there; undefined for a call that takes no slot. */
  readonly usage?: UsageEntry | undefined;
  /** Of prompt and answer together; see `estimateTokens`. */
  readonly estimatedTokens: number;
}

/** One that takes a slot, and so has a body. */
interface QueuedCall extends AcceptedCall {
  readonly queue: QueueName;
  readonly checked: CheckedBody;
  readonly call: UpstreamCall;
  /** What happens to the model server's answer. */
  readonly rule: AnswerRule;
}

/** Says on an answer that another server than the Mac's gave it. */
const SERVED_BY = "X-Slm-Served-By";

/**
 * Opens the response of a call that may have to wait for its slot and its answer; undefined for a call that takes no slot.
 * It sends heartbeats from now on, until the response has ended. @throws ClientDisconnected when it has ended already
 */
export function openResponse(
  { exchange: { res, holding }, route, checked }: AcceptedCall,
  { keepAlive, timers }: Pick<CallParts, "keepAlive" | "timers">,
): KeepAliveWriter | undefined {
  if (route.queue === undefined || checked === undefined) return undefined;
  // Its "close" has been emitted: nothing would stop the writer, whose timer would keep the request and its body in memory.
  if (res.closed) throw new ClientDisconnected("the client disconnected while its body was checked");
  const { memory } = holding;
  const writer = new KeepAliveWriter(res, route, checked.facts.stream, { keepAlive, timers, memory });
  res.on("close", () => writer.stop());
  return writer;
}

/**
 * Answers the call: into `writer`, or without one as the answer comes.
 * @param copy copies the answer as the model server gave it
 * @throws RelayError, ClientDisconnected; `writer` knows whether the error can still be sent
 */
export async function answerFromModel(
  accepted: AcceptedCall,
  writer: KeepAliveWriter | undefined,
  copy: AnswerTap | undefined,
  parts: CallParts,
): Promise<void> {
  const { exchange, route, checked } = accepted;
  const call = upstreamCall(accepted);
  const rule = answerRule({
    route,
    method: call.method,
    body: call.body,
    model: parts.model,
    onRefused: (error) => exchange.record.failed(error),
  });
  if (route.queue === undefined || checked === undefined || writer === undefined) {
    exchange.holding.slotless();
    const to = new AnswerRewriter(new AnswerWriter(exchange.res, route.dialect), rule);
    return parts.upstream.forward({ ...call, slotless: true }, to);
  }
  const queued: QueuedCall = { ...accepted, queue: route.queue, checked, call, rule };
  const sink = copy?.tee(writer) ?? writer;
  try {
    await answerInSlot(queued, sink, parts);
  } catch (cause) {
    if (exchange.signal.aborted || !parts.fallback?.takes(route, cause, accepted.caller, accepted.company)) throw cause;
    await answerFromFallback(queued, cause, sink, parts.fallback, parts);
  }
}

function upstreamCall({ exchange, route: { dialect }, checked }: AcceptedCall): UpstreamCall {
  const { req, id, path, query, signal } = exchange;
  return {
    // Some servers refuse HEAD where they have GET: the relay asks with GET, and sends the head alone.
    method: req.method === "HEAD" ? "GET" : (req.method ?? "GET"),
    target: path + query,
    headers: headersToModel(req.headers, id, dialect),
    body: checked?.body ?? null,
    model: checked?.facts.models[0],
    dialect,
    signal,
  };
}

/** Waits for a slot, sends the call to the model server and settles what the slot costs. */
async function answerInSlot(queued: QueuedCall, to: Sink, parts: CallParts): Promise<void> {
  const { exchange, route, caller, company, queue, checked, call, rule, usage: entry } = queued;
  const { upstream, admission, queueMetrics } = parts;
  upstream.breaker.check(); // no wait for a slot in vain
  const bytes = checked.body.length;
  const slot = await admission.acquire({
    queue,
    caller,
    company,
    estimatedTokens: queued.estimatedTokens,
    bytes,
    signal: exchange.signal,
    evictable: () => !exchange.res.headersSent,
  });
  exchange.record.gotSlot(slot.waitedMs);
  const tapped = route.makesResponse === true ? tapResponseId(to, (id) => parts.responses.add(caller.name, id)) : to;
  const sink = new MeteredSink(new AnswerRewriter(tapped, rule), route.dialect);
  queueMetrics.running.add(sink.meter);
  let failure: unknown;
  try {
    await upstream.forward(call, sink);
  } catch (cause) {
    failure = cause;
    throw cause;
  } finally {
    queueMetrics.running.delete(sink.meter);
    const usage = sink.meter.usage();
    settle(slot, sink, failure, usedTokens(queue, bytes, usage));
    if (entry !== undefined) noteUsage(entry, queued, "model", sink, failure, slot.waitedMs);
    queueMetrics.served({
      queue,
      caller: caller.name,
      waitedMs: slot.waitedMs,
      firstMs: sink.firstAt === undefined ? undefined : sink.firstAt - exchange.res.receivedAt,
      streamedMs: sink.streamedMs,
      usage,
      requestBytes: bytes,
      answerBytes: sink.meter.bytes,
    });
  }
}

/** Adds what a call used to its row of the ledger. A stream that was cut counts with what had come. */
function noteUsage(
  entry: UsageEntry,
  { exchange, queue, checked }: QueuedCall,
  by: ServedBy,
  sink: MeteredSink,
  failure: unknown,
  waitedMs?: number,
): void {
  if (waitedMs !== undefined) entry.waitMs = Math.round(waitedMs);
  if (sink.firstAt !== undefined) entry.ttftMs = Math.round(sink.firstAt - exchange.res.receivedAt);
  const { status } = sink;
  const notWorkedOn = failure instanceof RelayError && NOT_WORKED_ON.has(failure.code);
  const refused = notWorkedOn || (status !== undefined && status >= 400);
  entry.used({ by, queue, usage: sink.meter.usage(), requestBytes: checked.body.length, refused });
}

async function answerFromFallback(
  queued: QueuedCall,
  cause: RelayError,
  to: Sink,
  fallback: Fallback,
  { queueMetrics, modelMetrics }: Pick<CallParts, "queueMetrics" | "modelMetrics">,
): Promise<void> {
  const { exchange, route, caller, queue, call, usage: entry } = queued;
  modelMetrics.fellBack(caller.name, cause.code);
  exchange.record.fellBack(cause.code);
  const accepted = new AcceptedAnswer(to, () => {
    if (!exchange.res.headersSent) exchange.res.addHeader(SERVED_BY, "fallback");
  });
  const sink = new MeteredSink(accepted, route.dialect);
  let failed: unknown;
  try {
    await fallback.forward(call, sink);
    if (accepted.refused === undefined) return;
    exchange.record.fellBack(`${cause.code}, refused with ${accepted.refused}`);
    throw cause;
  } catch (failure) {
    failed = failure;
    // The Mac would have answered: its own 429 or 503 says honestly when to try again.
    throw accepted.begun || failure instanceof ClientDisconnected ? failure : cause;
  } finally {
    queueMetrics.usedTokens(queue, caller.name, "fallback", sink.meter.usage());
    if (entry !== undefined) noteUsage(entry, queued, "fallback", sink, failed);
  }
}

const NOT_SENT: ReadonlySet<string> = new Set(["model_down", "model_unreachable"]);
const NOT_WORKED_ON: ReadonlySet<string> = new Set([...NOT_SENT, "model_busy", "model_server_denied"]);

/**
 * Gives a slot back after a call to the model server, at the price of what happened there: an answer costs what it says it
 * used; nothing was sent: nothing; else (the client disconnected before the answer, the model server was silent, broke off
 * or answered with an error) the time the slot was held.
 */
function settle(slot: Slot, { meter, status }: MeteredSink, failure: unknown, used: number | undefined): void {
  if (status !== undefined && status < 400 && meter.bytes > 0) slot.release(used);
  else if (failure instanceof RelayError && NOT_SENT.has(failure.code)) slot.release(0);
  else slot.abandon();
}
