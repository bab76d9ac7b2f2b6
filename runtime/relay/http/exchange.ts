/**
 * One request and its response, and their end. An exchange is immutable: each stage returns its results, and notes what the
 * log needs in `record`.
 */
import type { IncomingMessage } from "node:http";
import type { Dialect } from "../dialects/dialect.ts";
import { RelayError } from "../errors.ts";
import type { Holding, Holdings } from "../memory/holdings.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { Tracing } from "../telemetry/trace.ts";
import { BRIEF_DRAIN_MS, drainBody } from "./body.ts";
import type { KeepAliveWriter } from "./keep-alive-writer.ts";
import { sendError } from "./listener.ts";
import type { RelayResponse } from "./relay-response.ts";
import { type Entry, RequestRecord } from "./request-record.ts";
import { type Router, splitTarget } from "./router.ts";
import type { RunningExchanges } from "./running-exchanges.ts";

/** A request that has been received. */
export interface Exchange {
  readonly id: string;
  readonly req: IncomingMessage;
  readonly res: RelayResponse;
  /** Path as received, and the query with its `?`. */
  readonly path: string;
  readonly query: string;
  /** The API of the path, which determines the form of errors. */
  readonly dialect: Dialect;
  /** The caller waits for `100 Continue` before it sends the body. */
  readonly expectsContinue: boolean;
  /** Aborts when the client has disconnected, the response has ended or the relay has cut the connection. */
  readonly signal: AbortSignal;
  readonly record: RequestRecord;
}

/** A request that counts as one of its caller's open requests. */
export interface HeldExchange extends Exchange {
  /** Its caller's resources; released when the response has ended and the body has arrived. */
  readonly holding: Holding;
}

/** Dependencies for recording an exchange. */
export interface ExchangeParts {
  readonly log: Log;
  readonly metrics: Metrics;
  readonly running: RunningExchanges;
  readonly router: Pick<Router, "dialectOf">;
  /** @default "edge" */
  readonly entry?: Entry | undefined;
  /** Undefined: traces are off. */
  readonly tracing?: Tracing | undefined;
}

const ignore = () => {};
// Shared: without a reason each abort would create an exception with a stack.
const ENDED = new Error("the exchange has ended");

/** Begins an exchange. It is counted and logged when its response has ended or its connection is gone. */
export function beginExchange(
  req: IncomingMessage,
  res: RelayResponse,
  expectsContinue: boolean,
  { log, metrics, running, router, entry, tracing }: ExchangeParts,
): Exchange {
  const target = splitTarget(req.url ?? "");
  const end = new AbortController();
  const record = new RequestRecord(entry, tracing?.request(req.method ?? "", req.headers, res.receivedAt));
  const exchange: Exchange = {
    id: res.requestId,
    req,
    res,
    ...target,
    dialect: router.dialectOf(target.path),
    expectsContinue,
    signal: end.signal,
    record,
  };
  const runningExchange = running.add(res, record);
  metrics.requestStarted();
  // A broken connection also emits "close" on both; without a listener for "error" the process would end.
  req.on("error", ignore);
  res.on("error", ignore);
  res.on("close", () => {
    const endedAt = performance.now();
    if (res.writableFinished) {
      drainBody(req, record.failure?.code === "too_many_requests" ? BRIEF_DRAIN_MS : undefined);
    }
    end.abort(ENDED);
    running.remove(runningExchange);
    running.afterwards(() => record.write(req, res, exchange.path, endedAt, log, metrics));
  });
  return exchange;
}

/** A shorter head is not accounted for: 4,096 of them take 64 MiB. */
const USUAL_HEAD_BYTES = 16 * 1024;

/**
 * Counts the request as one of its caller's open requests, and a long head towards its memory. Call it once.
 * @throws RelayError `too_many_requests`, `memory_*`
 */
export function holdShare(exchange: Exchange, caller: string, holdings: Holdings): HeldExchange {
  const holding = holdings.enter(caller);
  atEnd(exchange, () => holding.release());
  const head = headBytes(exchange.req);
  if (head > USUAL_HEAD_BYTES) holding.memory.grow(head);
  return { ...exchange, holding };
}

/** About the length of request line and headers. */
function headBytes({ url = "", rawHeaders }: IncomingMessage): number {
  let bytes = url.length;
  for (let at = 0; at < rawHeaders.length; at += 1) bytes += rawHeaders[at]!.length;
  return bytes;
}

/** The same for a person, who has only open requests as a resource. @throws RelayError `too_many_requests` */
export function holdPersonShare(exchange: Exchange, name: string, holdings: Holdings): void {
  atEnd(exchange, holdings.enterPerson(name));
}

/**
 * Calls `release` when the response has ended and the body has arrived: the rest of a refused body still occupies the
 * connection.
 */
function atEnd({ req, res }: Exchange, release: () => void): void {
  const ended = () => onceReceived(req, release);
  if (res.closed)
    ended(); // the client disconnected while its token was checked
  else res.on("close", ended);
}

/** Calls `go` when the body has arrived or the connection has ended. */
function onceReceived(req: IncomingMessage, go: () => void): void {
  const { socket } = req;
  if (req.complete || req.destroyed || socket.destroyed) {
    go();
    return;
  }
  // Node detaches a request once its response has been sent: then only the socket reports the connection's end.
  const release = () => {
    req.off("close", release);
    socket.off("close", release);
    go();
  };
  req.on("close", release);
  socket.on("close", release);
}

/**
 * Sends an error: as the response; within the response if its head has been sent and `writer` can; else the connection is
 * cut, since a truncated response must not look complete.
 */
export function failExchange(exchange: Exchange, cause: unknown, log: Log, writer?: KeepAliveWriter): void {
  const { req, res, dialect } = exchange;
  if (exchange.signal.aborted || res.closed) return;
  const error =
    cause instanceof RelayError ? cause : new RelayError("internal", "The relay failed on this request.", { cause });
  exchange.record.failed(error);
  if (error.code === "internal") log.error({ id: exchange.id, err: error.cause ?? error }, "failed on a request");
  if (res.headersSent) {
    if (writer?.fail(error) !== true) res.destroy();
    return;
  }
  writer?.stop();
  // Refused before `100 Continue`, a caller may or may not send the body: the connection's framing is lost.
  sendError(res, error, exchange.expectsContinue && !req.complete, dialect);
}
