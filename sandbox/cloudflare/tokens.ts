/**
 * API tokens reading their own record: verifying needs no permission; reading a token's permissions needs one that custom
 * tokens of the dashboard do not get.
 * @see https://developers.cloudflare.com/api/resources/user/subresources/tokens/
 * @see https://developers.cloudflare.com/api/resources/accounts/subresources/tokens/
 */
import { createHash } from "node:crypto";
import type { CloudflareAccount } from "./account.ts";
import type { ApiToken } from "./account-options.ts";
import { ApiError, notFound } from "./errors.ts";
import { type Answer, type Call, canRead, type Route } from "./route.ts";

/** The permission group that "all" does not include. */
export const tokenGroup = "API Tokens";

const idOf = (token: ApiToken): string => createHash("md5").update(token.value).digest("hex");
const hexOf = (text: string): string => createHash("md5").update(text).digest("hex");

function own({ account, token }: Call, owner: "user" | "account"): ApiToken {
  const found = account.apiTokens.find(({ value, owner: own = "user" }) => value === token && own === owner);
  if (found === undefined) throw new ApiError(401, [{ code: 1000, message: "Invalid API Token" }]);
  return found;
}

function verify(owner: "user" | "account"): (call: Call) => Answer {
  return (call) => ({
    result: { id: idOf(own(call, owner)), status: "active" },
    messages: [{ code: 10000, message: "This API Token is valid and active" }],
  });
}

function wire(account: CloudflareAccount, token: ApiToken): Record<string, unknown> {
  const groups = token.permissions === "all" ? [] : token.permissions;
  return {
    id: idOf(token),
    name: "sandbox",
    status: "active",
    issued_on: "2026-01-01T00:00:00Z",
    modified_on: "2026-01-01T00:00:00Z",
    policies: [
      {
        id: hexOf(`${token.value}/policy`),
        effect: "allow",
        permission_groups: groups.map((name) => ({ id: hexOf(name), name, meta: {} })),
        resources: {
          [`com.cloudflare.api.account.${account.accountId}`]: "*",
          [`com.cloudflare.api.account.zone.${account.zone.id}`]: "*",
        },
      },
    ],
  };
}

function read({ account, params }: Call): Answer {
  const token = account.apiTokens.find((one) => idOf(one) === params.id);
  if (token === undefined) throw notFound(1003, `API Token ${params.id} not found`);
  return { result: wire(account, token) };
}

/** Routes of API tokens. */
export const tokenRoutes: Route[] = [
  { method: "GET", path: "/user/tokens/verify", permissions: [], handle: verify("user") },
  { method: "GET", path: "/accounts/:account/tokens/verify", permissions: [], handle: verify("account") },
  { method: "GET", path: "/user/tokens/:id", permissions: canRead(tokenGroup), handle: read },
  { method: "GET", path: "/accounts/:account/tokens/:id", permissions: canRead(tokenGroup), handle: read },
];
