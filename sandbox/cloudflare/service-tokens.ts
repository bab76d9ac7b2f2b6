/**
 * Access service tokens: creation, rotation with an overlap, refresh.
 * @see https://developers.cloudflare.com/api/resources/zero_trust/subresources/access/subresources/service_tokens/
 */
import { randomBytes, randomInt, randomUUID } from "node:crypto";
import { z } from "zod";
import { hashSecret } from "./edge-answers.ts";
import { checkBody, conflict, invalidBodyStyles, notFound, refuse } from "./errors.ts";
import {
  type Call,
  canRead,
  canWrite,
  durationMs,
  goDuration,
  now,
  optional,
  page,
  type Route,
  textFilters,
} from "./route.ts";
import type { StoredServiceToken } from "./state.ts";

const group = "Access: Service Tokens";
const defaultDuration = "8760h";

const time = z.iso.datetime({ offset: true, error: "expected an RFC 3339 time such as 2026-12-01T00:00:00Z" });

const shape = {
  name: z.string().min(1).max(350),
  duration: optional(z.union([z.literal("forever"), goDuration])),
  enabled: optional(z.boolean()),
  client_secret_version: optional(z.int().min(1).max(2_147_483_647)),
  previous_client_secret_expires_at: optional(time),
};
const createSchema = z.strictObject(shape);
const updateSchema = z.strictObject({ ...shape, name: optional(shape.name) });
const rotateSchema = z.strictObject({ previous_client_secret_expires_at: optional(time) });

/** `cfast_` and 48 letters and digits: the format of secrets issued since August 2026. */
function newSecret(): string {
  const letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  return `cfast_${Array.from({ length: 48 }, () => letters[randomInt(letters.length)]).join("")}`;
}

function expiry(duration: string): string | null {
  return duration === "forever" ? null : new Date(Date.now() + durationMs(duration)).toISOString();
}

/** The token without its secrets; `secret` only after creation or rotation. */
function wire(token: StoredServiceToken, secret?: string): Record<string, unknown> {
  const { secret_hash: _current, previous_secret_hash: _previous, previous_client_secret_expires_at, ...shown } = token;
  return {
    ...shown,
    ...(previous_client_secret_expires_at === null ? {} : { previous_client_secret_expires_at }),
    ...(secret === undefined ? {} : { client_secret: secret }),
  };
}

function find({ account, params }: Call): StoredServiceToken {
  const token = account.state.serviceTokens[params.id ?? ""];
  if (token === undefined) throw notFound(12109, `access.api.error.not_found: service token ${params.id} not found`);
  return token;
}

/** Rotates the secret. The previous one is valid until `until`, or invalid at once. */
function rotate(token: StoredServiceToken, version: number, until: string | undefined): string {
  const secret = newSecret();
  token.previous_secret_hash = until === undefined ? null : token.secret_hash;
  token.previous_client_secret_expires_at = until ?? null;
  token.secret_hash = hashSecret(secret);
  token.client_secret_version = version;
  return secret;
}

function create({ account, body }: Call) {
  const sent = checkBody(createSchema, body, invalidBodyStyles.access);
  const secret = newSecret();
  const duration = sent.duration ?? defaultDuration;
  const token: StoredServiceToken = {
    id: randomUUID(),
    name: sent.name,
    client_id: `${randomBytes(16).toString("hex")}.access`,
    secret_hash: hashSecret(secret),
    client_secret_version: sent.client_secret_version ?? 1,
    previous_secret_hash: null,
    previous_client_secret_expires_at: sent.previous_client_secret_expires_at ?? null,
    duration,
    enabled: sent.enabled ?? true,
    created_at: now(),
    updated_at: now(),
    expires_at: expiry(duration),
  };
  account.update((state) => {
    state.serviceTokens[token.id] = token;
  });
  return { result: wire(token, secret) };
}

function update(call: Call) {
  const token = find(call);
  const sent = checkBody(updateSchema, call.body, invalidBodyStyles.access);
  const version = sent.client_secret_version ?? token.client_secret_version;
  const until = sent.previous_client_secret_expires_at;
  if (version < token.client_secret_version) {
    throw refuse(
      invalidBodyStyles.access,
      "client_secret_version",
      `${version} is below the current ${token.client_secret_version}: it only rises, keep it in the config`,
    );
  }
  const secret = call.account.update(() => {
    token.name = sent.name ?? token.name;
    token.enabled = sent.enabled ?? token.enabled;
    if (sent.duration !== undefined && sent.duration !== token.duration) {
      token.duration = sent.duration;
      token.expires_at = expiry(sent.duration);
    }
    token.updated_at = now();
    if (version > token.client_secret_version) return rotate(token, version, until);
    // Without a rotation, the end of the last overlap can still be changed.
    if (until !== undefined) token.previous_client_secret_expires_at = until;
    return undefined;
  });
  return { result: wire(token, secret) };
}

function rotateNow(call: Call) {
  const token = find(call);
  const sent = checkBody(rotateSchema, call.body ?? {}, invalidBodyStyles.access);
  const secret = call.account.update(() => {
    token.updated_at = now();
    return rotate(token, token.client_secret_version + 1, sent.previous_client_secret_expires_at);
  });
  return { result: wire(token, secret) };
}

function refresh(call: Call) {
  const token = find(call);
  call.account.update(() => {
    token.updated_at = now();
    token.expires_at = expiry(token.duration);
  });
  return { result: wire(token) };
}

function remove(call: Call) {
  const { id, name } = find(call);
  const user = Object.values(call.account.state.policies).find((policy) =>
    [...policy.include, ...policy.exclude, ...policy.require].some((rule) => rule.service_token?.token_id === id),
  );
  if (user !== undefined) {
    const message = `access.api.error.conflict: service token ${name} is used by the policy ${user.name}: change the policy first`;
    throw conflict(12132, message);
  }
  call.account.update((state) => {
    delete state.serviceTokens[id];
  });
  return { result: { id } };
}

function list({ account, query }: Call) {
  const tokens = Object.values(account.state.serviceTokens).filter(
    (token) =>
      textFilters(query, "name", token.name).every(Boolean) &&
      token.name.toLowerCase().includes((query.get("search") ?? "").toLowerCase()),
  );
  return page(
    tokens.map((token) => wire(token)),
    query,
  );
}

const all = "/accounts/:account/access/service_tokens";
const one = `${all}/:id`;

/** Routes of service tokens. */
export const serviceTokenRoutes: Route[] = [
  { method: "GET", path: all, permissions: canRead(group), handle: list },
  { method: "POST", path: all, permissions: canWrite(group), handle: create },
  { method: "GET", path: one, permissions: canRead(group), handle: (call) => ({ result: wire(find(call)) }) },
  { method: "PUT", path: one, permissions: canWrite(group), handle: update },
  { method: "DELETE", path: one, permissions: canWrite(group), handle: remove },
  { method: "POST", path: `${one}/rotate`, permissions: canWrite(group), handle: rotateNow },
  { method: "POST", path: `${one}/refresh`, permissions: canWrite(group), handle: refresh },
];
