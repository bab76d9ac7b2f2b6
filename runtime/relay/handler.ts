/**
 * The order of a request, stage by stage. Each stage takes what the one before it found out and returns what is known then;
 * nothing is changed on the way. A stage that refuses throws a RelayError, and `fail` sends it.
 *
 * | stage | finds out | refuses |
 * |---|---|---|
 * | receive | id, path, whose API it is | |
 * | identify | who sends it (`access/`) | no token, a wrong one, a caller that is switched off |
 * | route | what it asks for (`http/router.ts`) | a path or method that is not served |
 * | hold | its company, its share of open requests and memory | a company that is not the caller's, too many open requests |
 * | accept | its body, checked (`http/body.ts`, `http/body-rules.ts`) | too large, too slow, not JSON, a model that is not allowed |
 * | submit | whether it is a job, or repeats one (`jobs/`) | an idempotency key used twice, a full disk |
 * | count | the quotas of its caller and company (`usage/`) | a quota that is used up |
 * | answer | the answer: queue, model server or fallback (`model/`) | queue full, model server down |
 * | record | metrics, the log line (`http/request-record.ts`), the row of the ledger (`usage/`) | |
 *
 * Paths of jobs, documents and the status page leave after `hold` or `route`: their rooms answer them.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Caller, RelayConfig } from "../config.ts";
import { audienceOf, type CheckAccess, type Principal } from "./access/access.ts";
import { companyOf } from "./access/company.ts";
import { estimateTokens } from "./admission/admission.ts";
import { serveDocuments } from "./documents/api.ts";
import type { Documents } from "./documents/documents.ts";
import { documentOf, namesDocument } from "./documents/embeddings-api.ts";
import { serveWork, type WorkParts } from "./documents/serve-work.ts";
import { RelayError } from "./errors.ts";
import { ClientDisconnected, type Pace, readBody } from "./http/body.ts";
import { checkBody, checkPreviousResponse } from "./http/body-rules.ts";
import {
  beginExchange,
  type Exchange,
  failExchange,
  type HeldExchange,
  holdPersonShare,
  holdShare,
} from "./http/exchange.ts";
import { JSON_TYPE } from "./http/json-output.ts";
import type { KeepAliveWriter } from "./http/keep-alive-writer.ts";
import { type Handler, sendError, sendText } from "./http/listener.ts";
import type { Entry } from "./http/request-record.ts";
import { type ModelCall, type Route, type Router, splitTarget } from "./http/router.ts";
import type { RunningExchanges } from "./http/running-exchanges.ts";
import { serveJob, serveJobList } from "./jobs/api.ts";
import type { Jobs } from "./jobs/jobs.ts";
import { readMetadata } from "./jobs/metadata.ts";
import type { Submission } from "./jobs/submission.ts";
import type { Submit } from "./jobs/submit.ts";
import type { Holdings } from "./memory/holdings.ts";
import { type AcceptedCall, answerFromModel, type CallParts, openResponse } from "./model/call.ts";
import { type StatusPage, serveStatus } from "./status/serve.ts";
import type { Status } from "./status/status.ts";
import type { Log } from "./telemetry/log.ts";
import type { Metrics } from "./telemetry/metrics.ts";
import type { Tracing } from "./telemetry/trace.ts";
import { serveUsage } from "./usage/api.ts";
import type { EntryStart, UsageEntry, Usages } from "./usage/entry.ts";
import type { UsageKind } from "./usage/row.ts";

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

interface Identified {
  readonly exchange: Exchange;
  readonly principal: Principal;
}

interface Routed extends Identified {
  readonly route: Route;
}

interface Held<R extends Route = Route> {
  readonly exchange: HeldExchange;
  readonly caller: Caller;
  /** The company the request is for, if it names one. */
  readonly company: string | undefined;
  readonly route: R;
}

/** The public listener's handler: what comes through the tunnel. */
export function publicHandler(parts: Parts): Handler {
  return (req, res, expectsContinue) => {
    if (sendHealth(req, res, parts.status)) return;
    const exchange = beginExchange(req, res, expectsContinue, parts);
    const { trace } = exchange.record;
    const served = trace === undefined ? serve(exchange, parts) : trace.run(() => serve(exchange, parts));
    served.catch((cause: unknown) => fail(exchange, cause, parts));
  };
}

async function serve(exchange: Exchange, parts: Parts): Promise<void> {
  refuseWhileDraining(parts.status);
  const principal = await parts.access(audienceOf(exchange.path), exchange.req.headers);
  const routed = findRoute(identify(exchange, principal), parts);
  if (routed.route.kind === "metrics") return serveMetrics(routed, parts);
  if (routed.route.kind === "status") {
    if (routed.principal.kind !== "person") throw new RelayError("internal", "A server cannot see the status page.");
    holdPersonShare(exchange, routed.principal.name, parts.holdings);
    return serveStatus(exchange, routed.principal, routed.route, parts.statusPage);
  }
  const held = hold(routed, parts);
  const { route } = held;
  if (route.kind === "job" && isStoredResponse(held, route, parts)) return serveStoredResponse(held, route, parts);
  if (route.kind === "job") return serveJob(held.exchange, parts.jobs, route.act, held.caller.name, route.id);
  if (route.kind === "openapi") return sendText(exchange.res, 200, JSON_TYPE, parts.openApi());
  if (route.kind === "usage") return serveUsage(held.exchange, held.caller.name, parts.usages.ledger);
  if (route.kind === "jobs") return serveJobList(held.exchange, parts.jobs, held.caller.name);
  if (route.kind === "documents") return serveDocumentsRequest(held, route, parts);
  if (route.kind === "model") return serveModelCall({ ...held, route }, parts);
}

function refuseWhileDraining(status: Status): void {
  if (!status.draining) return;
  throw new RelayError("shutting_down", "The relay is shutting down; it takes no new requests.", {
    headers: { "Retry-After": "5" },
  });
}

function identify(exchange: Exchange, principal: Principal): Identified {
  const { name } = principal;
  const isServer = principal.kind === "server";
  const clientId = isServer ? principal.caller.clientId : undefined;
  exchange.record.identified({ name, caller: isServer ? name : NAMES_OF_OTHERS[principal.kind], clientId });
  return { exchange, principal };
}

/** How the metrics name principals that are no servers: not by name. */
const NAMES_OF_OTHERS = { person: "people", scraper: "scrapers" } as const;

/** `/metrics` from outside: only for scrapers, never on a direct line. */
async function serveMetrics({ exchange, principal }: Identified, { metrics, holdings }: Parts): Promise<void> {
  if (principal.kind !== "scraper") {
    throw new RelayError("path_not_allowed", "The metrics are for the scrapers of the config, at the public hostname.");
  }
  holdPersonShare(exchange, `scraper ${principal.name}`, holdings);
  sendText(exchange.res, 200, metrics.registry.contentType, await metrics.registry.metrics());
}

function findRoute(identified: Identified, { router }: Parts): Routed {
  const { req, path, record } = identified.exchange;
  const route = router.find(req.method ?? "", path);
  record.routed(route.name);
  return { ...identified, route };
}

/** Everything but the status page is for servers: its audience is another one. */
function hold({ exchange, principal, route }: Routed, { holdings }: Parts): Held {
  if (principal.kind !== "server") throw new RelayError("internal", "A person cannot call a model.");
  const { caller } = principal;
  const company = companyOf(exchange.req, caller);
  return { exchange: holdShare(exchange, caller.name, holdings), caller, company, route };
}

type JobRoute = Extract<Route, { kind: "job" }>;

const isStoredResponse = ({ caller }: Held, { act, id }: JobRoute, { responses }: Parts): boolean =>
  act === "response" && responses.owns(caller.name, id);

/** A response that the model server keeps, for the caller that made it. */
async function serveStoredResponse(held: Held, { name, id }: JobRoute, parts: Parts): Promise<void> {
  const route = parts.router.storedResponse(name);
  if (route === undefined) throw new RelayError("internal", `${name} belongs to no dialect.`);
  await serveModelCall({ ...held, route }, parts);
  const { req, res } = held.exchange;
  if (req.method === "DELETE" && res.statusCode < 300) parts.responses.remove(held.caller.name, id);
}

async function serveDocumentsRequest(
  { exchange, caller, company }: Held,
  { name }: Extract<Route, { kind: "documents" }>,
  parts: Parts,
): Promise<void> {
  const kind = documentKind(name, exchange.req.method);
  const body = () => receiveBody(exchange, parts);
  const request = { exchange, caller, route: name, body };
  if (kind === undefined) return serveDocuments(request, workParts(exchange, parts, undefined));
  const usage = beginUsage(exchange, { kind, caller, company, dialect: "relay", path: name }, parts);
  if (kind !== "lookup") usage.model = parts.config.model.embeddingModel;
  try {
    await serveDocuments(request, workParts(exchange, parts, usage));
  } finally {
    usage.workEnds();
  }
}

/** What a request for documents is in the ledger; undefined: it is none, as a deletion. */
function documentKind(route: string, method: string | undefined): UsageKind | undefined {
  if (route === "/v1/documents/search") return "search";
  if (method === "PUT") return "document";
  return method === "GET" || method === "HEAD" ? "lookup" : undefined;
}

/** Begins the row of the ledger; `workEnds` must be called once nothing is computed for the request any more. */
function beginUsage(exchange: Exchange, start: EntryStart, { usages }: Parts): UsageEntry {
  const entry = usages.begin(start);
  entry.workBegins();
  exchange.record.listener = entry;
  return entry;
}

function workParts(exchange: Exchange, parts: Parts, usage: UsageEntry | undefined): WorkParts {
  return { ...parts, usage, fail: (cause, writer) => fail(exchange, cause, parts, writer) };
}

/** An embedding call whose headers name a document. */
async function serveDocumentEmbeddings(
  held: Held<ModelCall>,
  usage: UsageEntry | undefined,
  parts: Parts,
): Promise<void> {
  const { exchange, caller, company } = held;
  const key = documentOf(exchange.req, company);
  const { body, facts } = await acceptBody(held, parts);
  if (usage !== undefined) usage.model = facts.models[0] ?? null;
  const work = { kind: "embeddings", caller, query: exchange.query, key, body } as const;
  return serveWork(exchange, work, workParts(exchange, parts, usage), () => readMetadata(body, facts));
}

async function serveModelCall(held: Held<ModelCall>, parts: Parts): Promise<void> {
  const { exchange, route, caller, company } = held;
  if (route.queue === undefined) return callModel(held, undefined, parts);
  const { name: dialect } = route.dialect;
  const usage = beginUsage(exchange, { kind: "call", caller, company, dialect, path: route.name }, parts);
  try {
    await callModel(held, usage, parts);
  } finally {
    usage.workEnds();
  }
}

async function callModel(held: Held<ModelCall>, usage: UsageEntry | undefined, parts: Parts): Promise<void> {
  const { exchange, route, caller, company } = held;
  if (route.mayNameDocument === true && namesDocument(exchange.req.headers)) {
    return serveDocumentEmbeddings(held, usage, parts);
  }
  const checked = route.method === "POST" ? await acceptBody(held, parts) : undefined;
  const submitted = checked && (await parts.submit(exchange, route, caller.name, checked, company, usage));
  if (submitted?.kind === "answered") return;
  const estimatedTokens = checked === undefined ? 0 : estimateTokens(route, checked.body);
  const accepted: AcceptedCall = { ...held, checked, usage, estimatedTokens };
  let writer: KeepAliveWriter | undefined;
  try {
    // Also in here: a call that claimed an idempotency key must release it, whatever fails.
    if (usage !== undefined && checked !== undefined) {
      admitUsage(usage, exchange, estimatedTokens, checked.facts.models);
    }
    writer = openResponse(accepted, parts);
    await answerFromModel(accepted, writer, submitted?.copy, parts);
    if (submitted?.done !== undefined) await submitted.done(true);
  } catch (cause) {
    await submitted?.done?.(false);
    fail(exchange, cause, parts, writer);
  }
}

/** Counts a request against the quotas, and says on its response what is left of them. @throws RelayError, a 429 */
function admitUsage(usage: UsageEntry, { res }: Exchange, tokens: number, models: readonly string[]): void {
  usage.model = models[0] ?? null;
  const left = usage.admit(tokens).headers();
  for (const name in left) res.addHeader(name, left[name]!);
}

async function acceptBody({ exchange, route, caller }: Held<ModelCall>, parts: Parts) {
  const checked = await checkBody(await receiveBody(exchange, parts), route, parts.config.model);
  if (parts.upstream.refuseRemote !== undefined) await parts.upstream.refuseRemote(checked.facts.models);
  if (route.makesResponse === true) checkPreviousResponse(checked, (id) => parts.responses.owns(caller.name, id));
  return checked;
}

function receiveBody(exchange: HeldExchange, { config, pace, timers }: Parts): Promise<Buffer> {
  const { req, res, expectsContinue, record, holding } = exchange;
  const onStart = () => {
    if (expectsContinue) res.writeContinue();
  };
  const onEnd = (bytes: number) => record.bodyReceived(bytes);
  return readBody(req, config.limits.bodyMiB, { onStart, onEnd, pace, timers, memory: holding.memory });
}

const MODEL_FAILURES: ReadonlySet<string> = new Set(["model_unreachable", "model_broke_off", "model_timeout"]);

/** Sends the error a request ended with; nothing when its client has disconnected. */
function fail(exchange: Exchange, cause: unknown, { metrics, log }: Parts, writer?: KeepAliveWriter): void {
  if (cause instanceof ClientDisconnected) return;
  if (cause instanceof RelayError && MODEL_FAILURES.has(cause.code)) metrics.upstreamFailed(cause.code);
  failExchange(exchange, cause, log, writer);
}

/**
 * Answers `/healthz` and `/readyz`, which need no token and say nothing else; false if the path is another. They are
 * neither counted nor logged: they are asked for every few seconds.
 */
export function sendHealth(req: IncomingMessage, res: ServerResponse, status: Status): boolean {
  const { path } = splitTarget(req.url ?? "");
  if (path !== "/healthz" && path !== "/readyz") return false;
  res.on("error", () => {}); // the client has disconnected
  if (req.method !== "GET" && req.method !== "HEAD") {
    const Allow = "GET, HEAD";
    const error = new RelayError("method_not_allowed", `${path} takes ${Allow}, not ${req.method}.`, {
      headers: { Allow },
    });
    sendError(res, error, true);
  } else if (path === "/healthz") sendText(res, 200, "text/plain", "ok\n");
  else if (status.draining || !status.jobsAvailable()) sendText(res, 503, "text/plain", "not ready\n");
  else sendText(res, 200, "text/plain", "ready\n");
  return true;
}
