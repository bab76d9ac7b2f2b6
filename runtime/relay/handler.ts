/**
 * The order of a request, stage by stage. Each stage takes what the one before it found out and returns what is known then;
 * nothing is changed on the way. A stage that refuses throws a RelayError, and `fail` sends it. The stages from `accept` on
 * are in `model-calls.ts`.
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
 * Paths of jobs, documents (`document-requests.ts`) and the status page leave after `hold` or `route`: their rooms answer
 * them.
 */
import { audienceOf, type Principal } from "./access/access.ts";
import { companyOf } from "./access/company.ts";
import { serveDocumentsRequest } from "./document-requests.ts";
import { RelayError } from "./errors.ts";
import { fail, type Held, type Parts } from "./handler-parts.ts";
import { sendHealth } from "./health.ts";
import { ClientDisconnected } from "./http/body.ts";
import { beginExchange, type Exchange, holdPersonShare, holdShare } from "./http/exchange.ts";
import { JSON_TYPE } from "./http/json-output.ts";
import { type Handler, sendText } from "./http/listener.ts";
import type { Route } from "./http/router.ts";
import { serveJob, serveJobList } from "./jobs/api.ts";
import { isStoredResponse, serveModelCall, serveStoredResponse } from "./model-calls.ts";
import { serveStatus } from "./status/serve.ts";
import type { Status } from "./status/status.ts";
import { serveUsage } from "./usage/api.ts";

interface Identified {
  readonly exchange: Exchange;
  readonly principal: Principal;
}

interface Routed extends Identified {
  readonly route: Route;
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
  // What waits for the end of the response would wait forever.
  if (exchange.signal.aborted) throw new ClientDisconnected("the client disconnected while its token was checked");
  if (routed.route.kind === "metrics") return serveMetrics(routed, parts);
  if (routed.route.kind === "status") {
    if (routed.principal.kind !== "person") throw new RelayError("internal", "A server cannot see the status page.");
    holdPersonShare(exchange, routed.principal.name, parts.holdings);
    return serveStatus(exchange, routed.principal, routed.route, parts.statusPage);
  }
  const held = hold(routed, parts);
  // The work may go on after the client has disconnected, as the hash of a long body does, and needs its memory until then.
  const working = held.exchange.holding.retain();
  try {
    await serveHeld(held, parts);
  } finally {
    working.release();
  }
}

async function serveHeld(held: Held, parts: Parts): Promise<void> {
  const { exchange, route } = held;
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
