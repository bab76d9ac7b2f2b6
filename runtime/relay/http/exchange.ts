/** One request from its arrival to the end of its answer: its id, who calls, how it ended; and all that are running. */
import type { IncomingMessage } from "node:http";
import { RelayError } from "../errors.ts";
import type { Holding, Holdings } from "../memory/holdings.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { Bag, type InBag } from "./bag.ts";
import { BRIEF_DRAIN_MS, drainBody } from "./body.ts";
import { entryColo } from "./headers.ts";
import type { KeepAliveWriter } from "./keep-alive-writer.ts";
import { Leaving } from "./leaving.ts";
import { sendError } from "./listener.ts";
import type { RelayResponse } from "./relay-response.ts";
import { splitTarget } from "./router.ts";

export interface Exchange extends InBag {
  readonly id: string;
  /** By the clock of `performance`. */
  readonly startedAt: number;
  readonly req: IncomingMessage;
  readonly res: RelayResponse;
  /** Path as received, and the query with its `?`. */
  readonly path: string;
  readonly query: string;
  /** Fires when the caller has left or the relay gives up the request. */
  readonly leaving: Leaving;
  readonly expectsContinue: boolean;
  /** The path's pattern once known, for metrics. */
  route: string;
  /** Who calls, for metrics ("people" for all of them) and for the log (the address). */
  caller: string;
  /** Client id of the server that calls, once Access has been checked. */
  clientId: string | undefined;
  principal: string | undefined;
  bodyBytes: number;
  firstByteAt: number | undefined;
  /** Time in the queue, in ms; undefined for what never waits, or never got a slot. */
  waitedMs: number | undefined;
  /** Why it went to the fallback server, if it did. */
  fellBack: string | undefined;
  /** Holds the answer's first byte, from the moment it may have to. */
  hold: KeepAliveWriter | undefined;
  /** What went wrong, if anything did. */
  failure: RelayError | undefined;
  /** What it holds for its caller, once Access has been checked; given back when the answer has ended and the body has come. */
  holding: Holding | undefined;
}

/** The exchanges that are running. */
export class Running {
  readonly #all = new Bag<Exchange>();
  #idle: (() => void) | undefined;
  #later: (() => void)[] = [];

  add(exchange: Exchange): void {
    this.#all.add(exchange);
  }

  remove(exchange: Exchange): void {
    this.#all.delete(exchange);
    if (this.#all.size === 0) this.#idle?.();
  }

  /** Does it when what has come in by now is on its way: counting and logging must not hold up the first bytes of others. */
  afterwards(work: () => void): void {
    if (this.#later.push(work) > 1) return;
    setImmediate(() => {
      const all = this.#later;
      this.#later = [];
      for (const one of all) one();
    });
  }

  /** Resolves when nothing runs any more, or after `ms`; says how many still run. */
  async idle(ms: number): Promise<number> {
    if (this.#all.size > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms);
        this.#idle = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    return this.#all.size;
  }

  /** Cuts what runs for servers that are not among `welcome`, by client id. Says how many that were. */
  cutCallers(welcome: ReadonlySet<string>): number {
    const unwelcome = this.#all.list().filter(({ clientId }) => clientId !== undefined && !welcome.has(clientId));
    for (const exchange of unwelcome) {
      exchange.failure ??= new RelayError("caller_disabled", "This caller has been switched off.");
      exchange.res.destroy();
    }
    return unwelcome.length;
  }

  /** Cuts the connections of all that still run. */
  cut(): void {
    for (const exchange of this.#all.list()) {
      exchange.failure ??= new RelayError("shutting_down", "The relay has been stopped.");
      exchange.res.destroy();
    }
  }
}

const ignore = () => {};

/** Starts an exchange; when its answer has ended or its connection is gone, it is counted and logged, whatever happened. */
export function beginExchange(
  req: IncomingMessage,
  res: RelayResponse,
  expectsContinue: boolean,
  { log, metrics, running }: { log: Log; metrics: Metrics; running: Running },
): Exchange {
  const startedAt = performance.now();
  const exchange: Exchange = {
    place: -1,
    id: res.requestId,
    startedAt,
    req,
    res,
    ...splitTarget(req.url ?? ""),
    leaving: new Leaving(),
    expectsContinue,
    route: "other",
    caller: "-",
    clientId: undefined,
    principal: undefined,
    bodyBytes: 0,
    firstByteAt: undefined,
    waitedMs: undefined,
    fellBack: undefined,
    hold: undefined,
    failure: undefined,
    holding: undefined,
  };
  running.add(exchange);
  metrics.requestStarted();
  // Both are told of a broken connection by "close" as well; without a listener the process would end.
  req.on("error", ignore);
  res.on("error", ignore);
  res.on("close", () => {
    if (res.writableFinished)
      drainBody(req, exchange.failure?.code === "too_many_requests" ? BRIEF_DRAIN_MS : undefined);
    exchange.leaving.leave();
    exchange.hold?.stop();
    releaseHolding(exchange);
    running.remove(exchange);
    const endedAt = performance.now();
    running.afterwards(() => settle(exchange, endedAt, log, metrics));
  });
  return exchange;
}

/**
 * Checks that the caller may have one more request open, and gives the exchange what it will hold. To be called once.
 * @throws RelayError `too_many_requests`
 */
export function enterHolding(exchange: Exchange, caller: string, holdings: Holdings): Holding {
  const holding = holdings.enter(caller);
  exchange.holding = holding;
  if (exchange.res.closed) releaseHolding(exchange); // it left while its token was checked
  return holding;
}

/** The same for a person, who holds nothing but the open request. @throws RelayError `too_many_requests` */
export function enterPerson(exchange: Exchange, name: string, holdings: Holdings): void {
  const leave = holdings.enterPerson(name);
  if (exchange.res.closed) leave();
  else exchange.res.once("close", () => onceReceived(exchange.req, leave));
}

/** The connection is taken as long as the rest of a refused body comes, so it counts until then. */
function releaseHolding({ req, holding }: Exchange): void {
  if (holding !== undefined) onceReceived(req, () => holding.release());
}

/** Does it when the body has come or the connection has ended. */
function onceReceived(req: IncomingMessage, go: () => void): void {
  const { socket } = req;
  if (req.complete || req.destroyed || socket.destroyed) {
    go();
    return;
  }
  // Node forgets a request once its answer has been sent: then only the socket tells of the connection's end.
  const release = () => {
    req.off("close", release);
    socket.off("close", release);
    go();
  };
  req.on("close", release);
  socket.on("close", release);
}

/** Counts and logs an exchange that has ended. */
function settle(exchange: Exchange, endedAt: number, log: Log, metrics: Metrics): void {
  const { req, res, route, caller, failure, startedAt } = exchange;
  const aborted = !res.writableFinished && failure === undefined;
  const status = res.headersSent ? res.statusCode : 499; // nginx's number for a caller who left unanswered
  const ms = endedAt - startedAt;
  const firstMs = exchange.firstByteAt === undefined ? undefined : exchange.firstByteAt - startedAt;
  const colo = entryColo(req.headers);
  metrics.requestEnded({
    route,
    status,
    caller,
    seconds: ms / 1000,
    firstByteSeconds: firstMs === undefined ? undefined : firstMs / 1000,
    aborted,
    colo,
    code: failure?.code,
  });
  log.info(
    {
      id: exchange.id,
      method: req.method,
      path: exchange.path.slice(0, 200),
      status,
      caller: exchange.principal,
      colo,
      ray: req.headers["cf-ray"],
      ms: Math.round(ms),
      firstMs: firstMs === undefined ? undefined : Math.round(firstMs),
      waitedMs: exchange.waitedMs === undefined ? undefined : Math.round(exchange.waitedMs),
      fallback: exchange.fellBack,
      bodyBytes: exchange.bodyBytes,
      aborted: aborted || undefined,
      code: failure?.code,
      detail: failure?.detail,
    },
    "request",
  );
}

/** Answers an error, within the answer if that has begun, or else cuts the connection: a cut answer must not look whole. */
export function failExchange(exchange: Exchange, cause: unknown, log: Log): void {
  const { req, res } = exchange;
  if (exchange.leaving.aborted || res.closed) return;
  const error =
    cause instanceof RelayError ? cause : new RelayError("internal", "The relay failed on this request.", { cause });
  exchange.failure = error;
  if (error.code === "internal") log.error({ id: exchange.id, err: error.cause ?? error }, "failed on a request");
  if (res.headersSent) {
    if (exchange.hold?.fail(error) !== true) res.destroy();
    return;
  }
  exchange.hold?.stop();
  exchange.firstByteAt = performance.now();
  // Refused before `100 Continue`, a caller may or may not send the body: the connection's framing is lost.
  sendError(res, error, exchange.expectsContinue && !req.complete);
}
