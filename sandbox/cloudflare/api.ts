/**
 * The emulated Cloudflare API v4 over HTTP: order of the checks (`refusals.ts`), routing and the envelope. What a call does
 * is in the route files.
 * @see https://developers.cloudflare.com/api/
 */
import { withFault } from "../http/faults.ts";
import { type JsonAnswer, type JsonRequest, startJsonServer } from "../http/json-server.ts";
import type { Log } from "../log.ts";
import type { CloudflareAccount } from "./account.ts";
import { applicationRoutes } from "./applications.ts";
import { dnsRoutes } from "./dns.ts";
import { ApiError, notFound } from "./errors.ts";
import { hostnameRoutes } from "./hostnames.ts";
import { notificationRoutes } from "./notifications.ts";
import { policyRoutes } from "./policies.ts";
import { authenticate, checkCall, failure, injectedFailure } from "./refusals.ts";
import type { Answer, Route } from "./route.ts";
import { serviceTokenRoutes } from "./service-tokens.ts";
import { tokenRoutes } from "./tokens.ts";
import { tunnelRoutes } from "./tunnels.ts";
import { zoneRoutes } from "./zones.ts";

const routes: Route[] = [
  ...tunnelRoutes,
  ...dnsRoutes,
  ...serviceTokenRoutes,
  ...policyRoutes,
  ...applicationRoutes,
  ...hostnameRoutes,
  ...notificationRoutes,
  ...zoneRoutes,
  ...tokenRoutes,
];

function envelope(answer: Answer): Record<string, unknown> {
  return {
    success: true,
    errors: [],
    messages: answer.messages ?? [],
    result: answer.result,
    ...(answer.resultInfo === undefined ? {} : { result_info: answer.resultInfo }),
    ...answer.beside,
  };
}

/** The values of a route's `:names` when the path matches. */
function matchPath(pattern: string, path: string): Record<string, string> | undefined {
  const wanted = pattern.split("/");
  const given = path.split("/");
  if (wanted.length !== given.length) return undefined;
  const params: Record<string, string> = {};
  for (const [index, part] of wanted.entries()) {
    const value = given[index] ?? "";
    if (!part.startsWith(":")) {
      if (part !== value) return undefined;
      continue;
    }
    try {
      params[part.slice(1)] = decodeURIComponent(value);
    } catch {
      return undefined;
    }
  }
  return params;
}

function route(method: string, path: string): { route: Route; params: Record<string, string> } {
  const matching = routes.flatMap((candidate) => {
    const params = matchPath(candidate.path, path);
    return params === undefined ? [] : [{ route: candidate, params }];
  });
  const found = matching.find((candidate) => candidate.route.method === method);
  if (found !== undefined) return found;
  if (matching.length === 0) throw notFound(7003, `Could not route to ${path}: the sandbox has no such API`);
  const methods = matching.map((candidate) => candidate.route.method).join(", ");
  throw new ApiError(405, [{ code: 10405, message: `Method not allowed: ${method} ${path}, only ${methods}` }]);
}

function parse(text: string): unknown {
  if (text === "") return undefined;
  try {
    return JSON.parse(text);
  } catch {
    throw new ApiError(400, [{ code: 6007, message: "Malformed JSON in request body" }]);
  }
}

/** The path used for matching routes and faults. */
const pathOf = (request: JsonRequest): string =>
  request.path.replace(/^\/client\/v4(?=\/)/, "").replace(/(?<=.)\/$/, "");

/** Answers one request. Pure except for the account. */
function answer(account: CloudflareAccount, request: JsonRequest): JsonAnswer {
  const path = pathOf(request);
  try {
    const token = authenticate(account, request.headers);
    const found = route(request.method, path);
    checkCall(account, token, found.route, found.params);
    const body = parse(request.text);
    const result = found.route.handle({
      account,
      params: found.params,
      query: request.query,
      body,
      token: token.value,
    });
    return { status: result.status ?? 200, body: envelope(result) };
  } catch (error) {
    if (error instanceof ApiError) return { status: error.status, body: failure(error.errors) };
    throw error;
  }
}

/**
 * Serves the account on 127.0.0.1, with or without the prefix `/client/v4`.
 * @param options.port 0 picks a free one
 * @returns `url` is the base URL for providers and clients. `close` ends open connections; the caller closes the account.
 * @throws when the port is taken
 */
export async function startCloudflareApi(
  account: CloudflareAccount,
  { port, log }: { port: number; log: Log },
): Promise<{ url: string; port: number; close(): Promise<void> }> {
  const server = await startJsonServer({
    port,
    log: (message) => log(`cloudflare: ${message}`),
    failure: (status, message) => failure([{ code: status, message }]),
    handle: async (request) => {
      const fault = account.faults.take(request.method, pathOf(request));
      const given = await withFault(fault, injectedFailure, () => answer(account, request));
      const status = typeof given === "string" ? "no answer (fault)" : given.status;
      if (request.method !== "GET" || typeof given === "string" || given.status >= 400) {
        log(`cloudflare: ${request.method} ${request.path} → ${status}`);
      }
      return given;
    },
  });
  return { url: `http://127.0.0.1:${server.port}/client/v4`, port: server.port, close: server.close };
}
