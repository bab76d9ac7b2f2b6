/**
 * What the official provider (cloudflare 6.x, terraform provider 5.19) was recorded to send to a server on loopback in
 * November 2026, call by call, so that a binary from outside (`SANDBOX_PROVIDERS=installed`) meets an API that takes it:
 * every body is taken, every answer has what the provider keeps, a second reading shows the same, and what is gone is 404.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { account_id, type Harness, raw, secret, startHarness, zone_id } from "./harness.ts";

type Json = Record<string, unknown>;
const account = `/accounts/${account_id}`;
const zone = `/zones/${zone_id}`;
const host = "slm.example.com";

let h: Harness;
beforeAll(async () => {
  h = await startHarness();
});
afterAll(() => h.close());

/** One call; fails unless it is answered in the envelope. */
async function call(method: string, path: string, body?: Json): Promise<Json> {
  const answer = await raw(h.url, method, path, body);
  expect(answer, `${method} ${path}: ${JSON.stringify(answer.errors)}`).toMatchObject({
    success: true,
    errors: [],
    messages: [],
  });
  return answer.result as Json;
}
const id = (result: Json): string => String(result.id);

/** Times change with each writing, and a secret is shown once. */
const stable = ({ client_secret: _, ...rest }: Json): Json =>
  Object.fromEntries(Object.entries(rest).filter(([name]) => !/^(updated_at|modified_on|modified)$/.test(name)));

interface Recorded {
  path: string;
  body: Json;
  /** Defaults to POST. */
  method?: "POST" | "PUT";
  /** Its address; the collection's path and the answer's id unless told otherwise. */
  at?: string;
  /** Fields of the answer that the provider takes into its state. */
  adds: string[];
  update: { method: "PUT" | "PATCH"; body: Json };
  /** The configuration of a tunnel has no end of its own. */
  stays?: true;
  /** A deleted one is still shown, with `deleted_at`. */
  deletedSoftly?: true;
}

/** Creates, reads, updates; @returns the object and how to end it */
async function lives(recorded: Recorded): Promise<{ made: Json; end(): Promise<void> }> {
  const made = await call(recorded.method ?? "POST", recorded.path, recorded.body);
  const at = recorded.at ?? `${recorded.path}/${id(made)}`;
  for (const field of recorded.adds) expect(made, field).toHaveProperty(field);
  const read = await call("GET", at);
  expect(stable(read)).toEqual(stable(made));
  // Sent values are returned unchanged; otherwise the provider shows a permanent difference.
  const { tunnel_secret: _secret, policies: _policies, include: _include, ...told } = recorded.body;
  expect(read).toMatchObject(told);
  const updated = await call(recorded.update.method, at, recorded.update.body);
  expect(stable(await call("GET", at))).toEqual(stable(updated));
  return {
    made,
    async end() {
      await call("DELETE", at);
      const gone = await raw(h.url, "GET", at);
      if (recorded.deletedSoftly) expect(gone.result).toMatchObject({ deleted_at: expect.any(String) });
      else expect(gone).toMatchObject({ status: 404, success: false, result: null });
    },
  };
}

describe("recorded requests of the official provider are accepted, stored and returned", () => {
  it("a tunnel, its configuration, its token, its record, policies, applications", async () => {
    const ends: (() => Promise<void>)[] = [];
    const live = async (recorded: Recorded): Promise<Json> => {
      const { made, end } = await lives(recorded);
      if (!recorded.stays) ends.unshift(end);
      return made;
    };
    const tunnel = await live({
      path: `${account}/cfd_tunnel`,
      body: { config_src: "cloudflare", name: "slm", tunnel_secret: secret },
      deletedSoftly: true,
      adds: [
        "id",
        "account_tag",
        "connections",
        "created_at",
        "deleted_at",
        "metadata",
        "remote_config",
        "status",
        "tun_type",
      ],
      update: { method: "PATCH", body: { name: "slm-renamed" } },
    });
    const token = await call("GET", `${account}/cfd_tunnel/${id(tunnel)}/token`);
    expect(token).toBeTypeOf("string");

    const backend = await live({
      path: `${account}/access/service_tokens`,
      body: { client_secret_version: 1, duration: "8760h", name: "backend" },
      adds: ["id", "client_id", "client_secret", "expires_at"],
      update: {
        method: "PUT",
        body: { client_secret_version: 1, duration: "8760h", name: "backend, renamed" },
      },
    });
    expect(String(backend.client_id)).toMatch(/\.access$/);
    const servers = await live({
      path: `${account}/access/policies`,
      body: {
        decision: "non_identity",
        include: [{ service_token: { token_id: id(backend) } }],
        name: "servers",
        session_duration: "24h",
      },
      adds: ["id", "include", "exclude", "require", "created_at", "updated_at", "reusable", "app_count"],
      update: {
        method: "PUT",
        body: {
          decision: "non_identity",
          include: [{ any_valid_service_token: {} }],
          name: "servers",
          session_duration: "24h",
        },
      },
    });
    const people = await live({
      path: `${account}/access/policies`,
      body: {
        decision: "allow",
        include: [{ email: { email: "a@example.com" } }, { email_domain: { domain: "example.com" } }],
        name: "people",
        session_duration: "24h",
      },
      adds: ["id"],
      update: {
        method: "PUT",
        body: {
          decision: "allow",
          include: [{ email_domain: { domain: "example.com" } }],
          name: "people",
          session_duration: "24h",
        },
      },
    });
    const app = (uri: string, policy: Json): Json => ({
      app_launcher_visible: false,
      destinations: [{ type: "public", uri }],
      http_only_cookie_attribute: true,
      name: uri,
      policies: [{ id: id(policy), precedence: 1 }],
      service_auth_401_redirect: true,
      session_duration: "24h",
      type: "self_hosted",
    });
    const applications = [];
    for (const [uri, policy] of [
      [host, servers],
      [`${host}/status`, people],
    ] as const) {
      const made = await live({
        path: `${account}/access/apps`,
        body: app(uri, policy),
        adds: ["id", "aud", "domain", "self_hosted_domains", "policies"],
        // A PUT of the provider repeats what the API chose.
        update: {
          method: "PUT",
          body: { ...app(uri, policy), domain: uri, self_hosted_domains: [uri], session_duration: "12h" },
        },
      });
      expect(made.policies).toMatchObject([
        { id: id(policy), precedence: 1, name: policy.name, decision: policy.decision },
      ]);
      applications.push(made);
    }
    expect((await raw(h.url, "POST", `${account}/access/apps`, app("other.example.com", people))).status).toBe(201);

    const access = { audTag: [applications[0]?.aud], required: true, teamName: "acme" };
    const config = {
      ingress: [
        { hostname: host, service: "http://127.0.0.1:8080", originRequest: { access, keepAliveTimeout: 120 } },
        { service: "http_status:404" },
      ],
    };
    const configurations = `${account}/cfd_tunnel/${id(tunnel)}/configurations`;
    await live({
      method: "PUT",
      path: configurations,
      at: configurations,
      body: { config },
      adds: ["account_id", "tunnel_id", "version", "source", "created_at", "config"],
      update: { method: "PUT", body: { config: { ingress: [{ service: "http_status:503" }] } } },
      stays: true,
    });
    await live({
      path: `${zone}/dns_records`,
      body: { content: `${id(tunnel)}.cfargotunnel.com`, name: host, proxied: true, ttl: 1, type: "CNAME" },
      adds: ["id", "proxiable", "created_on", "modified_on", "settings", "tags", "meta", "comment"],
      update: {
        method: "PUT",
        body: { content: "other.example.com", name: host, proxied: true, ttl: 1, type: "CNAME" },
      },
    });
    const others = (await raw(h.url, "GET", `${account}/access/apps?domain=other.example.com`)).result as Json[];
    await call("DELETE", `${account}/access/apps/${id(others[0] ?? {})}`);
    for (const end of ends) await end();
  });

  it("a rotation: one PUT, whose answer carries the new secret", async () => {
    const made = await call("POST", `${account}/access/service_tokens`, {
      client_secret_version: 1,
      duration: "8760h",
      name: "rotated",
    });
    const rotated = await call("PUT", `${account}/access/service_tokens/${id(made)}`, {
      client_secret_version: 2,
      duration: "8760h",
      name: "rotated",
      previous_client_secret_expires_at: "2036-12-01T00:00:00Z",
    });
    expect(rotated).toMatchObject({ client_id: made.client_id, client_secret_version: 2 });
    expect(rotated.client_secret).toBeTypeOf("string");
    expect(rotated.client_secret).not.toBe(made.client_secret);
    expect(await call("GET", `${account}/access/service_tokens/${id(made)}`)).not.toHaveProperty("client_secret");
  });

  it("a region, a custom hostname and its fallback origin, a private route, alerts, a way to sign in", async () => {
    const tunnel = await call("POST", `${account}/cfd_tunnel`, { config_src: "cloudflare", name: "mac" });
    const all: Recorded[] = [
      {
        path: `${zone}/addressing/regional_hostnames`,
        at: `${zone}/addressing/regional_hostnames/${host}`,
        body: { hostname: host, region_key: "kr", routing: "dns" },
        adds: ["created_on"],
        update: { method: "PATCH", body: { region_key: "eu" } },
      },
      {
        method: "PUT",
        path: `${zone}/custom_hostnames/fallback_origin`,
        at: `${zone}/custom_hostnames/fallback_origin`,
        body: { origin: host },
        adds: ["status", "errors", "created_at", "updated_at"],
        update: { method: "PUT", body: { origin: `b.${host}` } },
      },
      {
        path: `${account}/zerotrust/routes/hostname`,
        body: { comment: "private", hostname: "slm.internal.example", tunnel_id: id(tunnel) },
        adds: ["id", "created_at", "tun_type", "tunnel_name"],
        update: { method: "PATCH", body: { comment: "changed" } },
      },
      {
        path: `${account}/alerting/v3/policies`,
        body: {
          alert_type: "tunnel_health_event",
          enabled: true,
          filters: { tunnel_id: [id(tunnel)] },
          mechanisms: { email: [{ id: "ops@example.com" }] },
          name: "tunnel",
        },
        adds: ["id", "created", "modified"],
        update: {
          method: "PUT",
          body: {
            alert_type: "expiring_service_token_alert",
            enabled: true,
            mechanisms: { email: [{ id: "ops@example.com" }] },
            name: "token",
          },
        },
      },
      {
        path: `${account}/access/identity_providers`,
        body: { config: {}, name: "PIN", type: "onetimepin" },
        adds: ["id"],
        update: { method: "PUT", body: { config: {}, name: "One-time PIN", type: "onetimepin" } },
      },
    ];
    for (const recorded of all) await (await lives(recorded)).end();

    const certificate = {
      bundle_method: "ubiquitous",
      method: "txt",
      settings: { min_tls_version: "1.2" },
      type: "dv",
    };
    const custom = await call("POST", `${zone}/custom_hostnames`, { hostname: "slm.example.net", ssl: certificate });
    expect(custom).toMatchObject({ hostname: "slm.example.net", status: "pending", ssl: certificate });
    for (const field of ["id", "created_at", "ownership_verification"]) expect(custom).toHaveProperty(field);
    const path = `${zone}/custom_hostnames/${id(custom)}`;
    expect(await call("GET", path)).toMatchObject({ id: id(custom), ssl: certificate });
    await call("PATCH", path, { ssl: { ...certificate, method: "http" } });
    await call("DELETE", path);
    expect((await raw(h.url, "GET", path)).status).toBe(404);

    expect(await call("DELETE", `${account}/cfd_tunnel/${id(tunnel)}`)).toHaveProperty("id", id(tunnel));
  });

  it("WARP enrolment: an application of its own kind, for machines by any service token", async () => {
    const policy = await call("POST", `${account}/access/policies`, {
      decision: "non_identity",
      include: [{ any_valid_service_token: {} }],
      name: "machines",
      session_duration: "24h",
    });
    const { made, end } = await lives({
      path: `${account}/access/apps`,
      body: { name: "WARP", policies: [{ id: id(policy), precedence: 1 }], session_duration: "24h", type: "warp" },
      adds: ["id", "aud", "policies"],
      update: {
        method: "PUT",
        body: { name: "WARP", policies: [{ id: id(policy), precedence: 1 }], session_duration: "12h", type: "warp" },
      },
    });
    expect(made.policies).toMatchObject([{ id: id(policy) }]);
    await end();
  });
});

it("the official client's retries survive injected faults", async () => {
  h.account.faults.add({ method: "GET", path: "/cfd_tunnel$", status: 429, retryAfterSeconds: 0 });
  h.account.faults.add({ method: "GET", path: "/cfd_tunnel$", status: 503 });
  const patient = h.client.withOptions({ maxRetries: 3 });
  expect((await patient.zeroTrust.tunnels.cloudflared.list({ account_id })).result.length).toBeGreaterThan(0);
  expect(h.account.faults.left).toEqual([]);
});
