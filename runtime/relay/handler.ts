/** The order of a request: health, access, router, body, model server. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { RelayConfig } from "../config.ts";
import { audienceOf, type CheckAccess } from "./access/access.ts";
import { companyOf } from "./access/company.ts";
import { serveDocuments } from "./documents/api.ts";
import type { Documents } from "./documents/documents.ts";
import { documentOf, namesDocument, serveEmbeddings } from "./documents/embeddings-api.ts";
import { RelayError } from "./errors.ts";
import { ClientDisconnected, type Pace, readBody } from "./http/body.ts";
import { type CheckedBody, checkBody } from "./http/body-rules.ts";
import {
  beginExchange,
  type Exchange,
  enterHolding,
  enterPerson,
  failExchange,
  type Running,
} from "./http/exchange.ts";
import { type Handler, sendError, sendText } from "./http/listener.ts";
import { findRoute, type Route, splitTarget } from "./http/router.ts";
import { serveJob } from "./jobs/api.ts";
import type { Jobs } from "./jobs/jobs.ts";
import type { Submit } from "./jobs/submit.ts";
import type { Holding, Holdings } from "./memory/holdings.ts";
import { answerFromModel, type CallParts } from "./model/call.ts";
import { renderStatus } from "./status/page.ts";
import type { Status } from "./status/status.ts";
import type { Log } from "./telemetry/log.ts";
import type { Metrics } from "./telemetry/metrics.ts";

/** What the handlers work with. */
export interface Parts extends CallParts {
  readonly config: RelayConfig;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly running: Running;
  readonly access: CheckAccess;
  readonly pace: Pace;
  readonly documents: Documents;
  readonly status: Status;
  readonly jobs: Jobs;
  readonly submit: Submit;
  readonly holdings: Holdings;
}

const MODEL_FAILURES: ReadonlySet<string> = new Set(["model_unreachable", "model_broke_off", "model_timeout"]);

/** The public listener's handler: what comes through the tunnel. */
export function publicHandler(parts: Parts): Handler {
  return (req, res, expectsContinue) => {
    if (sendHealth(req, res, parts.status)) return;
    const exchange = beginExchange(req, res, expectsContinue, parts);
    serve(exchange, parts).catch((cause: unknown) => {
      if (cause instanceof ClientDisconnected) return;
      if (cause instanceof RelayError && MODEL_FAILURES.has(cause.code)) {
        parts.metrics.upstreamFailed(cause.code);
      }
      failExchange(exchange, cause, parts.log);
    });
  };
}

async function serve(exchange: Exchange, parts: Parts): Promise<void> {
  const { req, res, path } = exchange;
  if (parts.status.draining) {
    throw new RelayError("shutting_down", "The relay is shutting down; it takes no new requests.", {
      headers: { "Retry-After": "5" },
    });
  }
  const checked = parts.access(audienceOf(path), req.headers);
  const principal = checked instanceof Promise ? await checked : checked;
  exchange.caller = principal.kind === "server" ? principal.name : "people";
  exchange.principal = principal.name;
  if (principal.kind === "server") exchange.clientId = principal.caller.clientId;
  const route = findRoute(req.method ?? "", path, parts.config.model.kind);
  exchange.route = route.name;
  if (route.kind === "status") {
    enterPerson(exchange, principal.name, parts.holdings);
    const data = await parts.status.data();
    exchange.firstByteAt = performance.now();
    if (route.view === "data") sendText(res, 200, "application/json; charset=utf-8", JSON.stringify(data));
    else {
      res.setHeader("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'");
      res.setHeader("X-Content-Type-Options", "nosniff");
      sendText(res, 200, "text/html; charset=utf-8", renderStatus(data));
    }
    return;
  }
  if (principal.kind !== "server") throw new RelayError("internal", "A person can not call a model."); // other audience
  const { caller } = principal;
  const company = companyOf(exchange.req, caller);
  const holding = enterHolding(exchange, caller.name, parts.holdings);
  if (route.kind === "job") return serveJob(exchange, parts.jobs, route.act, caller.name, route.id);
  if (route.kind === "documents") {
    const body = () => wholeBody(exchange, holding, parts);
    return serveDocuments({ exchange, caller, route: route.name, body }, parts.documents);
  }
  if (route.name === "/v1/embeddings" && namesDocument(exchange.req.headers)) {
    const key = documentOf(exchange.req.headers, company);
    const { body } = await acceptBody(exchange, holding, route, parts);
    return serveEmbeddings(exchange, caller, key, body, parts.documents);
  }
  const accepted = route.hasBody ? await acceptBody(exchange, holding, route, parts) : undefined;
  const submitting = accepted && parts.submit(exchange, route.name, caller.name, accepted, company);
  const submitted = submitting instanceof Promise ? await submitting : submitting;
  if (submitted?.kind === "answered") return;
  const copy = submitted?.copy;
  try {
    await answerFromModel(
      exchange,
      { routeName: route.name, caller, company, body: accepted?.body ?? null, facts: accepted?.facts, copy },
      parts,
    );
    if (submitted?.done !== undefined) await submitted.done(true);
  } catch (cause) {
    await submitted?.done?.(false);
    throw cause;
  }
}

/**
 * Answers `/healthz` and `/readyz`, which need no token and say nothing else; false if the path is another. They are
 * neither counted nor logged: they are asked for every few seconds.
 */
export function sendHealth(req: IncomingMessage, res: ServerResponse, status: Status): boolean {
  const { path } = splitTarget(req.url ?? "");
  if (path !== "/healthz" && path !== "/readyz") return false;
  res.on("error", () => {}); // whoever asked has left
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

async function acceptBody(exchange: Exchange, holding: Holding, route: Route, parts: Parts): Promise<CheckedBody> {
  return checkBody(await wholeBody(exchange, holding, parts), route.name, parts.config.model);
}

function wholeBody(exchange: Exchange, { memory }: Holding, { config, pace, timers }: Parts): Promise<Buffer> {
  const { req, res, expectsContinue } = exchange;
  const onStart = () => {
    if (expectsContinue) res.writeContinue();
  };
  const onEnd = (bytes: number) => {
    exchange.bodyBytes = bytes;
  };
  return readBody(req, config.limits.bodyMiB, { onStart, onEnd, pace, timers, memory });
}
