/**
 * Every refusal of the emulated API that does not depend on a call's fields, in the order of the checks: an injected fault,
 * the credentials, the account or zone in the path, the token's permissions, the account's conditions. To make the API
 * refuse something new, add a check here and call it from `checkCall`. A refusal of a body's or query's fields belongs to the route's
 * file (`dns.ts`, `tunnels.ts` …), in the words of `errors.ts`.
 */
import type { JsonRequest } from "../http/json-server.ts";
import type { CloudflareAccount } from "./account.ts";
import type { ApiToken } from "./account-options.ts";
import { ApiError, notFound } from "./errors.ts";
import type { Route } from "./route.ts";
import { tokenGroup } from "./tokens.ts";

/** The body of an error response. */
export function failure(errors: { code: number; message: string }[]): Record<string, unknown> {
  return { success: false, errors, messages: [], result: null };
}

/**
 * The account has no global API key, so any key sent is unknown, with or without a valid token beside it. A shell with an
 * old key shows that Cloudflare checks both; which one it checks first is not documented.
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

/** Checks the credentials. @returns the token of `Authorization: Bearer …` @throws ApiError 400, 401 or 403 */
export function authenticate(account: CloudflareAccount, headers: JsonRequest["headers"]): ApiToken {
  refuseGlobalKey(headers);
  const header = headers.authorization;
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

/** The checks after routing. @throws ApiError with Cloudflare's status and code */
export function checkCall(
  account: CloudflareAccount,
  token: ApiToken,
  route: Route,
  params: Record<string, string>,
): void {
  checkScope(account, params);
  checkPermission(token, route);
  checkEnabled(account, route);
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

/**
 * Access refuses all calls until somebody has set up Zero Trust, and custom hostnames need Cloudflare for SaaS; seen after the
 * check of permissions.
 */
function checkEnabled(account: CloudflareAccount, { path }: Route): void {
  if (!account.conditions.saas && path.includes("/custom_hostnames")) {
    if (path.endsWith("/fallback_origin")) {
      throw new ApiError(401, [{ code: 1456, message: "Fallback origin is not granted for this zone" }]);
    }
    const message = "No quota has been allocated for this zone or for this account";
    throw new ApiError(403, [{ code: 1404, message }]);
  }
  if (account.conditions.zeroTrust || !path.startsWith("/accounts/:account/access/")) return;
  const message =
    "access.api.error.not_enabled: Access is not enabled. Visit the Access dashboard at https://dash.cloudflare.com/ and click the 'Enable Access' button.";
  throw new ApiError(403, [{ code: 9999, message }]);
}

/** Cloudflare's form of a fault; 971 is its code for too many calls. */
export const injectedFailure = (status: number, message: string): unknown =>
  failure([
    status === 429
      ? { code: 971, message: "More than 1200 requests per 300 seconds reached. Please wait" }
      : { code: status, message },
  ]);
