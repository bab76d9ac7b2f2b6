/**
 * The emulated Cloudflare API v4 over HTTP: authentication, permissions, faults, routing and the envelope. What a call does
 * is in the route files.
 * @see https://developers.cloudflare.com/api/
 */
import { withFault } from "../http/faults.ts";
import { type JsonAnswer, type JsonRequest, startJsonServer } from "../http/json-server.ts";
import type { Log } from "../log.ts";
import type { ApiToken, CloudflareAccount } from "./account.ts";
import { applicationRoutes } from "./applications.ts";
import { dnsRoutes } from "./dns.ts";
import { ApiError, notFound } from "./errors.ts";
import { hostnameRoutes } from "./hostnames.ts";
import { notificationRoutes } from "./notifications.ts";
import { policyRoutes } from "./policies.ts";
import type { Answer, Route } from "./route.ts";
import { serviceTokenRoutes } from "./service-tokens.ts";
import { tokenGroup, tokenRoutes } from "./tokens.ts";
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

function failure(errors: { code: number; message: string }[]): Record<string, unknown> {
  return { success: false, errors, messages: [], result: null };
}

/**
 * The account has no global API key, so whatever is sent as one is unknown, with a good token beside it or without. That
 * Cloudflare looks at both is what a shell with an old key shows; which of them it looks at first is not documented.
 */
function refuseGlobalKey(headers: JsonRequest["headers"]): void {
  const [email, key, service] = ["x-auth-email", "x-auth-key", "x-auth-user-service-key"].map((name) => headers[name]);
  if (email === undefined && key === undefined && service === undefined) return;
  const malformed = (header: string, code: number) =>
    new ApiError(400, [
      { code: 6003, message: `Invalid request headers: Invalid format for ${header} header (${code})` },
    ]);
  if (email !== undefined && !/^[^@\s]+@[^@\s]+$/.test(String(email))) throw malformed("X-Auth-Email", 6102);
  if (key !== undefined && !/^[0-9a-f]{37,45}$/.test(String(key))) throw malformed("X-Auth-Key", 6103);
  throw new ApiError(403, [{ code: 9103, message: "Unknown X-Auth-Key or X-Auth-Email" }]);
}

/** The token of `Authorization: Bearer …`. */
function authenticate(account: CloudflareAccount, header: string | undefined): ApiToken {
  if (header === undefined) {
    const message = "Authentication error: no Authorization header, send `Authorization: Bearer <API token>`";
    throw new ApiError(401, [{ code: 10000, message }]);
  }
  const value = /^Bearer ([\x21-\x7e]+)$/.exec(header)?.[1];
  if (value === undefined) {
    const message = "Invalid format for Authorization header: expected `Bearer <API token>`";
    throw new ApiError(400, [{ code: 6111, message }]);
  }
  const token = account.apiTokens.find((candidate) => candidate.value === value);
  if (token === undefined) throw new ApiError(401, [{ code: 9109, message: "Invalid access token" }]);
  return token;
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

function checkScope(account: CloudflareAccount, params: Record<string, string>): void {
  for (const [name, own] of [
    ["account", account.accountId],
    ["zone", account.zone.id],
  ] as const) {
    const asked = params[name];
    if (asked === undefined || asked === own) continue;
    if (!/^[0-9a-f]{32}$/.test(asked)) {
      throw notFound(
        7003,
        `Could not route: "${asked}" is no ${name} id (32 hex digits), perhaps the identifier is invalid`,
      );
    }
    const message = `Unauthorized to access requested resource: the token has no access to the ${name} ${asked}`;
    throw new ApiError(403, [{ code: 9109, message }]);
  }
}

function checkPermission(token: ApiToken, { permissions, path, method }: Route): void {
  const held = token.permissions;
  const all = held === "all" && !permissions.some((one) => one.startsWith(tokenGroup));
  if (all || permissions.length === 0 || permissions.some((one) => held !== "all" && held.includes(one))) return;
  // The real API answers 401 here, and 403 everywhere else: a tunnel's token needs the right to write.
  const status = method === "GET" && path.endsWith("/token") ? 401 : 403;
  const message = `Authentication error: the API token lacks the permission "${permissions.join('" or "')}"`;
  throw new ApiError(status, [{ code: 10000, message }]);
}

/** Access refuses all calls until somebody has set up Zero Trust; seen after the check of permissions. */
function checkEnabled(account: CloudflareAccount, { path }: Route): void {
  if (account.conditions.zeroTrust || !path.startsWith("/accounts/:account/access/")) return;
  const message =
    "access.api.error.not_enabled: Access is not enabled. Visit the Access dashboard at https://dash.cloudflare.com/ and click the 'Enable Access' button.";
  throw new ApiError(403, [{ code: 9999, message }]);
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

/** Cloudflare's form of a fault; 971 is its code for too many calls. */
const refusal = (status: number, message: string): unknown =>
  failure([
    status === 429
      ? { code: 971, message: "More than 1200 requests per 300 seconds reached. Please wait" }
      : { code: status, message },
  ]);

/** Answers one request. Pure except for the account. */
function answer(account: CloudflareAccount, request: JsonRequest): JsonAnswer {
  const path = pathOf(request);
  try {
    refuseGlobalKey(request.headers);
    const token = authenticate(account, request.headers.authorization);
    const found = route(request.method, path);
    checkScope(account, found.params);
    checkPermission(token, found.route);
    checkEnabled(account, found.route);
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
      const given = await withFault(fault, refusal, () => answer(account, request));
      const status = typeof given === "string" ? "no answer (fault)" : given.status;
      if (request.method !== "GET" || typeof given === "string" || given.status >= 400) {
        log(`cloudflare: ${request.method} ${request.path} → ${status}`);
      }
      return given;
    },
  });
  return { url: `http://127.0.0.1:${server.port}/client/v4`, port: server.port, close: server.close };
}
