/** One request for the log and the metrics. Each stage records its findings; they are read once, at the end. */
import type { IncomingMessage } from "node:http";
import { CLIENT_CLOSED_REQUEST, type RelayError } from "../errors.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { RequestTrace } from "../telemetry/trace.ts";
import { entryColo } from "./header-filters.ts";
import type { RelayResponse } from "./relay-response.ts";

/** Most characters of a path that are logged. */
const LONGEST_PATH = 200;

/** Who sent the request, once Access has been checked. */
export interface Sender {
  /** For metrics: the caller's name, or "people" for every person. */
  readonly caller: string;
  /** For the log: the caller's name, or a person's address. */
  readonly name: string;
  /** The service token's client id; undefined for people. */
  readonly clientId: string | undefined;
}

/** How a request arrived: through Cloudflare and the tunnel, or on a direct line. */
export type Entry = "edge" | "direct";

/** How a request ended. Times in ms. */
export interface RequestEnd {
  readonly status: number;
  /** Code of the error it ended with. */
  readonly code: string | undefined;
  readonly ms: number;
  /** Null: it was no request (a job's run). */
  readonly entry: Entry | null;
  /** Cloudflare location it came in at, `direct` or `none`. */
  readonly colo: string | null;
}

/** Told once of the end of a request. */
export interface RequestEndListener {
  ended(end: RequestEnd): void;
}

export class RequestRecord {
  readonly #entry: Entry;
  /** Undefined: traces are off. */
  readonly trace: RequestTrace | undefined;
  /** Told of its end: the ledger. */
  listener: RequestEndListener | undefined;
  #sender: Sender | undefined;
  #route = "other";
  #bodyBytes = 0;
  #waitedMs: number | undefined;
  #fellBack: string | undefined;
  #failure: RelayError | undefined;

  constructor(entry: Entry = "edge", trace?: RequestTrace) {
    this.#entry = entry;
    this.trace = trace;
  }

  /** Records who passed the Access check. */
  identified(sender: Sender): void {
    this.#sender = sender;
  }

  /** @param route the path's pattern */
  routed(route: string): void {
    this.#route = route;
  }

  bodyReceived(bytes: number): void {
    this.#bodyBytes = bytes;
  }

  /** Records that it got a slot. */
  gotSlot(waitedMs: number): void {
    this.#waitedMs = waitedMs;
  }

  /** Records that it went to the fallback server. @param code of the error that it would have got */
  fellBack(code: string): void {
    this.#fellBack = code;
  }

  /** Records an error. The first one counts. */
  failed(error: RelayError): void {
    this.#failure ??= error;
  }

  get clientId(): string | undefined {
    return this.#sender?.clientId;
  }

  get failure(): RelayError | undefined {
    return this.#failure;
  }

  /** Counts and logs the request. @param endedAt by the clock of `performance` */
  write(req: IncomingMessage, res: RelayResponse, path: string, endedAt: number, log: Log, metrics: Metrics): void {
    const failure = this.#failure;
    const aborted = !res.writableFinished && failure === undefined;
    const status = res.headersSent ? res.statusCode : CLIENT_CLOSED_REQUEST;
    const ms = endedAt - res.receivedAt;
    const firstMs = res.headAt === undefined ? undefined : res.headAt - res.receivedAt;
    // On a direct line `CF-Ray` is not trustworthy.
    const isDirect = this.#entry === "direct";
    const colo = isDirect ? "direct" : entryColo(req.headers);
    const caller = this.#sender?.caller ?? "-";
    const { trace } = this;
    trace?.end({
      route: this.#route,
      status,
      caller,
      code: failure?.code,
      aborted,
      colo,
      fallback: this.#fellBack,
      endedAt,
    });
    metrics.requestEnded({
      route: this.#route,
      status,
      caller,
      seconds: ms / 1000,
      firstByteSeconds: firstMs === undefined ? undefined : firstMs / 1000,
      aborted,
      colo,
      code: failure?.code,
    });
    this.listener?.ended({ status, code: failure?.code, ms, entry: this.#entry, colo });
    log.info(
      {
        id: res.requestId,
        method: req.method,
        path: path.slice(0, LONGEST_PATH),
        status,
        caller: this.#sender?.name,
        entry: this.#entry,
        colo,
        ray: isDirect ? undefined : req.headers["cf-ray"],
        ms: Math.round(ms),
        firstMs: firstMs === undefined ? undefined : Math.round(firstMs),
        waitedMs: this.#waitedMs === undefined ? undefined : Math.round(this.#waitedMs),
        fallback: this.#fellBack,
        bodyBytes: this.#bodyBytes,
        aborted: aborted || undefined,
        code: failure?.code,
        detail: failure?.detail,
        trace_id: trace?.traceId,
      },
      "request",
    );
  }
}
