/** The order of a request: health, access, router, body, model server. */
import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Caller, RelayConfig } from "../config.ts";
import { audienceOf, type CheckAccess, type Visitor } from "./access.ts";
import { CallerLeft, readBody } from "./body.ts";
import { checkBody } from "./body-rules.ts";
import { serveDocuments } from "./documents/api.ts";
import type { Documents } from "./documents/documents.ts";
import { documentOf, namesDocument, serveEmbeddings } from "./documents/openai.ts";
import { RelayError } from "./errors.ts";
import { beginExchange, type Exchange, failExchange, type Running } from "./exchange.ts";
import { headersToModel } from "./headers.ts";
import { type Handler, markAnswer, sendError, sendText } from "./http.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import { findRoute, type Route, splitTarget } from "./router.ts";
import type { Status } from "./status.ts";
import { renderStatus } from "./status-page.ts";
import type { Upstream } from "./upstream.ts";

/** What the handlers work with. */
export interface Parts {
  readonly config: RelayConfig;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly running: Running;
  readonly access: CheckAccess;
  readonly upstream: Upstream;
  readonly documents: Documents;
  readonly status: Status;
}

/** The public listener's handler: what comes through the tunnel. */
export function publicHandler(parts: Parts): Handler {
  return (req, res, expectsContinue) => {
    if (sendHealth(req, res, parts.status)) return;
    const exchange = beginExchange(req, res, expectsContinue, parts);
    serve(exchange, parts).catch((cause: unknown) => {
      if (cause instanceof CallerLeft) return;
      if (cause instanceof RelayError && (cause.code === "model_unreachable" || cause.code === "model_broke_off")) {
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
  const visitor = await parts.access(audienceOf(path), req.headers);
  exchange.caller = visitor.kind === "server" ? visitor.name : "people";
  exchange.visitor = visitor.name;
  const route = findRoute(req.method ?? "", path, parts.config.model.kind);
  exchange.route = route.name;
  if (route.kind === "status") {
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
  if (route.kind === "documents") {
    const caller = callerOf(visitor);
    const body = () => wholeBody(exchange, parts.config);
    return serveDocuments({ exchange, caller, route: route.name, body }, parts.documents);
  }
  if (route.name === "/v1/embeddings" && namesDocument(req.headers)) {
    const caller = callerOf(visitor);
    const key = documentOf(req.headers, caller);
    const body = await acceptBody(exchange, route, parts.config);
    return serveEmbeddings(exchange, caller, key, body, parts.documents);
  }
  const body = route.hasBody ? await acceptBody(exchange, route, parts.config) : null;
  await parts.upstream.forward(
    {
      method: req.method ?? "GET",
      target: path + exchange.query,
      headers: headersToModel(req.headers, exchange.id),
      body,
      signal: exchange.signal,
      onHead: () => {
        exchange.firstByteAt = performance.now();
      },
    },
    res,
  );
}

/**
 * Answers `/healthz` and `/readyz`, which need no token and say nothing else; false if the path is another. They are
 * neither counted nor logged: they are asked for every few seconds.
 */
export function sendHealth(req: IncomingMessage, res: ServerResponse, status: Status): boolean {
  const { path } = splitTarget(req.url ?? "");
  if (path !== "/healthz" && path !== "/readyz") return false;
  markAnswer(res, randomUUID());
  res.on("error", () => {}); // whoever asked has left
  if (req.method !== "GET" && req.method !== "HEAD") {
    const Allow = "GET, HEAD";
    const error = new RelayError("method_not_allowed", `${path} takes ${Allow}, not ${req.method}.`, {
      headers: { Allow },
    });
    sendError(res, error, true);
  } else if (path === "/healthz") sendText(res, 200, "text/plain", "ok\n");
  else if (status.draining) sendText(res, 503, "text/plain", "not ready\n");
  else sendText(res, 200, "text/plain", "ready\n");
  return true;
}

function callerOf(visitor: Visitor): Caller {
  if (visitor.kind === "server") return visitor.caller;
  throw new RelayError("access_wrong_audience", "This path is for servers."); // audienceOf leads nobody here
}

async function acceptBody(exchange: Exchange, route: Route, config: RelayConfig): Promise<Buffer> {
  const body = await wholeBody(exchange, config);
  checkBody(body, route.name, config.model);
  return body;
}

async function wholeBody(exchange: Exchange, config: RelayConfig): Promise<Buffer> {
  const { req, res, expectsContinue } = exchange;
  const body = await readBody(req, config.limits.bodyMiB, () => {
    if (expectsContinue) res.writeContinue();
  });
  exchange.bodyBytes = body.length;
  return body;
}
