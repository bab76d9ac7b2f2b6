/**
 * Reusable Access policies.
 * @see https://developers.cloudflare.com/api/resources/zero_trust/subresources/access/subresources/policies/
 */
import { randomUUID } from "node:crypto";
import { z } from "zod";
import { accessRule } from "./access-rules.ts";
import type { CloudflareAccount } from "./account.ts";
import { checkBody, conflict, invalidBodyStyles, notFound, refuse } from "./errors.ts";
import {
  type Call,
  canRead,
  canWrite,
  goDuration,
  now,
  optional,
  page,
  type Route,
  withoutUndefined,
} from "./route.ts";
import type { StoredPolicy } from "./state.ts";

const group = "Access: Apps and Policies";

const schema = z.strictObject({
  name: z.string().min(1).max(350),
  decision: z.enum(["allow", "deny", "non_identity", "bypass"]),
  include: z.array(accessRule).min(1),
  exclude: optional(z.array(accessRule)),
  require: optional(z.array(accessRule)),
  session_duration: optional(z.union([z.literal(""), goDuration])),
  approval_groups: optional(z.array(z.record(z.string(), z.unknown()))),
  approval_required: optional(z.boolean()),
  connection_rules: optional(z.record(z.string(), z.unknown())),
  isolation_required: optional(z.boolean()),
  mfa_config: optional(z.record(z.string(), z.unknown())),
  purpose_justification_prompt: optional(z.string()),
  purpose_justification_required: optional(z.boolean()),
});

/** A policy as the API shows it. */
export function policyWire(policy: StoredPolicy): Record<string, unknown> {
  const { rest, session_duration, ...shown } = policy;
  return { ...shown, ...(session_duration === null ? {} : { session_duration }), reusable: true, ...rest };
}

function usersOf(account: CloudflareAccount, id: string) {
  return Object.values(account.state.applications).filter((app) => app.policies.some((policy) => policy.id === id));
}

function shown(account: CloudflareAccount, policy: StoredPolicy) {
  return { ...policyWire(policy), app_count: usersOf(account, policy.id).length };
}

function find({ account, params }: Call): StoredPolicy {
  const policy = account.state.policies[params.id ?? ""];
  if (policy === undefined) throw notFound(12133, `access.api.error.not_found: policy ${params.id} not found`);
  return policy;
}

function put({ account, body }: Call, old: { id: string; created_at: string }) {
  const sent = checkBody(schema, body, invalidBodyStyles.access);
  for (const list of ["include", "exclude", "require"] as const) {
    for (const [index, rule] of (sent[list] ?? []).entries()) {
      const id = rule.service_token?.token_id;
      if (id !== undefined && account.state.serviceTokens[String(id)] === undefined) {
        const field = `${list}.${index}.service_token.token_id`;
        throw refuse(invalidBodyStyles.access, field, `service token ${String(id)} does not exist in this account`);
      }
    }
  }
  const { name, decision, include, exclude, require, session_duration, ...rest } = sent;
  const policy: StoredPolicy = {
    id: old.id,
    name,
    decision,
    include,
    exclude: exclude ?? [],
    require: require ?? [],
    session_duration: session_duration ?? null,
    rest: withoutUndefined(rest),
    created_at: old.created_at,
    updated_at: now(),
  };
  account.update((state) => {
    state.policies[policy.id] = policy;
  });
  return { result: shown(account, policy) };
}

function remove(call: Call) {
  const { id, name } = find(call);
  const [user] = usersOf(call.account, id);
  if (user !== undefined) {
    const message = `access.api.error.conflict: policy ${name} is in use by the application ${user.domains[0] ?? user.id}: detach it first`;
    throw conflict(12132, message);
  }
  call.account.update((state) => {
    delete state.policies[id];
  });
  return { result: { id } };
}

const all = "/accounts/:account/access/policies";
const one = `${all}/:id`;

/** Routes of reusable policies. */
export const policyRoutes: Route[] = [
  {
    method: "GET",
    path: all,
    permissions: canRead(group),
    handle: ({ account, query }) =>
      page(
        Object.values(account.state.policies).map((policy) => shown(account, policy)),
        query,
      ),
  },
  {
    method: "POST",
    path: all,
    permissions: canWrite(group),
    handle: (call) => put(call, { id: randomUUID(), created_at: now() }),
  },
  {
    method: "GET",
    path: one,
    permissions: canRead(group),
    handle: (call) => ({ result: shown(call.account, find(call)) }),
  },
  { method: "PUT", path: one, permissions: canWrite(group), handle: (call) => put(call, find(call)) },
  { method: "DELETE", path: one, permissions: canWrite(group), handle: remove },
];
