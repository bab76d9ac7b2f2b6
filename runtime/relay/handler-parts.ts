/** What the stages of a request share: what they work with and hand on, its body, its row of the ledger, its end by an error. */
import type { Caller, RelayConfig } from "../config.ts";
import type { CheckAccess } from "./access/access.ts";
import type { Documents } from "./documents/documents.ts";
import { RelayError } from "./errors.ts";
import { ClientDisconnected, type Pace, readBody } from "./http/body.ts";
import { checkBody, checkPreviousResponse } from "./http/body-rules.ts";
import { type Exchange, failExchange, type HeldExchange } from "./http/exchange.ts";
import type { KeepAliveWriter } from "./http/keep-alive-writer.ts";
import type { Entry } from "./http/request-record.ts";
import type { ModelCall, Route, Router } from "./http/router.ts";
import type { RunningExchanges } from "./http/running-exchanges.ts";
import type { Jobs } from "./jobs/jobs.ts";
import type { Submission } from "./jobs/submission.ts";
import type { Submit } from "./jobs/submit.ts";
import type { Holdings } from "./memory/holdings.ts";
import type { CallParts } from "./model/call.ts";
import type { StatusPage } from "./status/serve.ts";
import type { Status } from "./status/status.ts";
import type { Log } from "./telemetry/log.ts";
import type { Metrics } from "./telemetry/metrics.ts";
import type { Tracing } from "./telemetry/trace.ts";
import type { EntryStart, UsageEntry, Usages } from "./usage/entry.ts";

/** What the handlers work with. */
export interface Parts extends CallParts {
  readonly config: RelayConfig;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly running: RunningExchanges;
  readonly access: CheckAccess;
  /** How this listener's requests arrive. @default "edge" */
  readonly entry?: Entry;
  /** Undefined: traces are off. */
  readonly tracing?: Tracing | undefined;
  readonly router: Router;
  readonly pace: Pace;
  readonly documents: Documents;
  readonly status: Status;
  readonly statusPage: StatusPage;
  readonly jobs: Jobs;
  readonly submit: Submit;
  readonly submission: Submission;
  readonly holdings: Holdings;
  /** Ledger and quotas. */
  readonly usages: Usages;
  /** `/openapi.json`, as text. */
  readonly openApi: () => string;
}

/** A server's request that has its share of open requests and memory. */
export interface Held<R extends Route = Route> {
  readonly exchange: HeldExchange;
  readonly caller: Caller;
  /** The company the request is for, if it names one. */
  readonly company: string | undefined;
  readonly route: R;
}

/** Reads and checks the body of a call to the model server. @throws RelayError */
export async function acceptBody({ exchange, route, caller }: Held<ModelCall>, parts: Parts) {
  const checked = await checkBody(await receiveBody(exchange, parts), route, parts.config.model, exchange.signal);
  if (parts.upstream.refuseRemote !== undefined) await parts.upstream.refuseRemote(checked.facts.models);
  if (route.makesResponse === true) checkPreviousResponse(checked, (id) => parts.responses.owns(caller.name, id));
  return checked;
}

/** Reads the body, within the caller's memory. */
export function receiveBody(exchange: HeldExchange, { config, pace, timers }: Parts): Promise<Buffer> {
  const { req, res, expectsContinue, record, holding } = exchange;
  const onStart = () => {
    if (expectsContinue) res.writeContinue();
  };
  const onEnd = (bytes: number) => record.bodyReceived(bytes);
  return readBody(req, config.limits.bodyMiB, { onStart, onEnd, pace, timers, memory: holding.memory });
}

/** Begins the row of the ledger; `workEnds` must be called once nothing is computed for the request any more. */
export function beginUsage(exchange: Exchange, start: EntryStart, { usages }: Parts): UsageEntry {
  const entry = usages.begin(start);
  entry.workBegins();
  exchange.record.listener = entry;
  return entry;
}

const MODEL_FAILURES: ReadonlySet<string> = new Set(["model_unreachable", "model_broke_off", "model_timeout"]);

/** Sends the error a request ended with; nothing when its client has disconnected. */
export function fail(exchange: Exchange, cause: unknown, { metrics, log }: Parts, writer?: KeepAliveWriter): void {
  if (cause instanceof ClientDisconnected) return;
  if (cause instanceof RelayError && MODEL_FAILURES.has(cause.code)) metrics.upstreamFailed(cause.code);
  failExchange(exchange, cause, log, writer);
}
