import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Props, reveal, Secret, Unknown, unknown } from "../../../sandbox/providers/plugin/values.ts";
import { type Answer, type Asked, type JsonServer, jsonServer } from "./json-server.ts";
import { type Plugin, startPlugin } from "./plugin.ts";

const account = "a".repeat(32);
const zone = "b".repeat(32);
const token = (name: string) => `cloudflare:index/${name}:${name.charAt(0).toUpperCase()}${name.slice(1)}`;
const tunnel = token("zeroTrustTunnelCloudflared");
const tunnelConfig = token("zeroTrustTunnelCloudflaredConfig");
const record = token("dnsRecord");
const serviceToken = token("zeroTrustAccessServiceToken");
const policy = token("zeroTrustAccessPolicy");
const application = token("zeroTrustAccessApplication");

/** A store of objects by path, as simple as the API: what is sent is kept, and some fields are added. */
const store = new Map<string, Record<string, unknown>>();
let hang = false;
/** Answers wait for it. */
let slow: Promise<void> | undefined;
let serial = 0;
let secrets = 0;

const ok = (result: unknown, status = 200): Answer => ({
  status,
  body: { success: true, errors: [], messages: [], result },
});
const failed = (status: number, code: number, message: string): Answer => ({
  status,
  body: { success: false, errors: [{ code, message }], messages: [], result: null },
});

function created(path: string, body: Record<string, unknown>): Record<string, unknown> {
  const id = `id${++serial}`;
  const object: Record<string, unknown> = {
    id,
    ...body,
    created_at: "2026-11-22T00:00:00Z",
    updated_at: "2026-11-22T00:00:00Z",
  };
  if (path.endsWith("/cfd_tunnel")) {
    const { tunnel_secret: _, ...shown } = object;
    return {
      ...shown,
      account_tag: account,
      connections: [],
      status: "inactive",
      tun_type: "cfd_tunnel",
      metadata: {},
    };
  }
  if (path.endsWith("/service_tokens"))
    return { ...object, client_id: `${id}.access`, expires_at: "2027-11-22T00:00:00Z" };
  if (path.endsWith("/access/policies")) {
    const include = Array.isArray(body.include) ? body.include.toReversed() : [];
    return { ...object, include, exclude: [], require: [], reusable: true, app_count: 0 };
  }
  if (path.endsWith("/apps")) {
    const attached = Array.isArray(body.policies) ? body.policies : [];
    const policies = attached.map((one: Record<string, unknown>) => ({
      ...one,
      name: "expanded",
      decision: "allow",
      include: [],
    }));
    return {
      ...object,
      aud: "f".repeat(64),
      domain: "slm.example.com",
      self_hosted_domains: ["slm.example.com"],
      policies,
    };
  }
  if (path.endsWith("/dns_records"))
    return { ...object, proxiable: true, settings: {}, tags: [], meta: {}, comment: null };
  return object;
}

function answer({ method, path, body }: Asked): Answer | undefined {
  if (hang) return undefined;
  const sent = (body ?? {}) as Record<string, unknown>;
  if (path.endsWith("/token")) return ok("connector-token");
  if (path.endsWith("/access/organizations")) return ok({ auth_domain: "team.cloudflareaccess.com", name: "Team" });
  if (path.endsWith("/configurations")) {
    if (method === "PUT")
      store.set(path, { account_id: account, version: 3, source: "cloudflare", created_at: "t", config: sent.config });
    return store.has(path) ? ok(store.get(path)) : failed(404, 1003, "not found");
  }
  const withSecret = (object: Record<string, unknown>) =>
    path.includes("service_tokens") ? { ...object, client_secret: `secret${++secrets}` } : object;
  if (method === "POST") {
    if (sent.name === "taken") return failed(409, 1013, "You already have a tunnel with this name");
    const object = created(path, sent);
    store.set(`${path}/${String(object.id)}`, object);
    return ok(withSecret(object), path.endsWith("/apps") ? 201 : 200);
  }
  const found = store.get(path);
  if (!found) return failed(404, 1003, "not found");
  if (method === "DELETE") store.delete(path);
  if (method === "GET" || method === "DELETE") return ok(found);
  const updated = { ...found, ...sent };
  store.set(path, updated);
  const rotated =
    sent.client_secret_version !== undefined && sent.client_secret_version !== found.client_secret_version;
  return ok(rotated ? withSecret(updated) : updated);
}

let api: JsonServer;
let plugin: Plugin;
beforeAll(async () => {
  api = await jsonServer((asked) => {
    const given = answer(asked);
    return slow && given ? slow.then(() => given) : given;
  });
  plugin = await startPlugin("cloudflare", { CLOUDFLARE_API_TOKEN: "test-token" });
  await plugin.configure({ baseUrl: `${api.url}/client/v4`, version: "6.22.1" });
});
afterAll(async () => {
  await plugin.stop();
  await api.close();
});
beforeEach(() => {
  store.clear();
  api.asked.length = 0;
});

const sent = () => api.asked.map(({ method, path }) => `${method} ${path.replace("/client/v4", "")}`);

/** Creates it; then a second diff and a refresh must both find nothing to do. */
async function createdClean(type: string, inputs: Props): Promise<{ id: string; state: Props }> {
  const { inputs: checked, failures } = await plugin.check(type, inputs);
  expect(failures).toEqual([]);
  const made = await plugin.create(type, checked);
  expect(await plugin.diff(type, made.id, made.state, checked, checked)).toMatchObject({
    changes: false,
    detailed: {},
  });
  const found = await plugin.read(type, made.id, made.state, checked);
  expect(found.id).toBe(made.id);
  expect(found.inputs).toEqual(checked);
  expect(found.state).toEqual(made.state);
  return made;
}

const tunnelInputs: Props = {
  accountId: account,
  configSrc: "cloudflare",
  name: "slm",
  tunnelSecret: new Secret("c2VjcmV0"),
};
const appInputs: Props = {
  accountId: account,
  name: "servers",
  type: "self_hosted",
  appLauncherVisible: false,
  destinations: [{ type: "public", uri: "slm.example.com" }],
  policies: [{ id: "p1", precedence: 1 }],
  serviceAuth401Redirect: true,
};

describe("what goes over the wire", () => {
  it("creates each resource of the first program with the fields the official provider sends, and finds no drift after", async () => {
    await createdClean(tunnel, tunnelInputs);
    await createdClean(tunnelConfig, {
      accountId: account,
      tunnelId: "t1",
      config: {
        ingresses: [
          {
            hostname: "slm.example.com",
            service: "http://127.0.0.1:8080",
            originRequest: { access: { audTags: ["aud"], required: true, teamName: "team" }, keepAliveTimeout: 120 },
          },
          { service: "http_status:404" },
        ],
      },
    });
    const dns = {
      zoneId: zone,
      name: "slm.example.com",
      type: "CNAME",
      content: "t1.cfargotunnel.com",
      proxied: true,
      ttl: 1,
    };
    await createdClean(record, dns);
    await createdClean(serviceToken, { accountId: account, name: "backend" });
    await createdClean(policy, {
      accountId: account,
      decision: "allow",
      name: "people",
      includes: [
        { emailDomain: { domain: "example.com" } },
        { email: { email: "a@example.com" } },
        { anyValidServiceToken: {} },
      ],
    });
    await createdClean(application, appInputs);
    const bodies = api.asked.filter(({ method }) => method !== "GET").map(({ method, body }) => ({ method, body }));
    expect(bodies).toEqual([
      { method: "POST", body: { config_src: "cloudflare", name: "slm", tunnel_secret: "c2VjcmV0" } },
      {
        method: "PUT",
        body: {
          config: {
            ingress: [
              {
                hostname: "slm.example.com",
                service: "http://127.0.0.1:8080",
                originRequest: { access: { audTag: ["aud"], required: true, teamName: "team" }, keepAliveTimeout: 120 },
              },
              { service: "http_status:404" },
            ],
          },
        },
      },
      {
        method: "POST",
        body: { content: "t1.cfargotunnel.com", name: "slm.example.com", proxied: true, ttl: 1, type: "CNAME" },
      },
      { method: "POST", body: { client_secret_version: 1, duration: "8760h", name: "backend" } },
      {
        method: "POST",
        body: {
          decision: "allow",
          include: [
            { any_valid_service_token: {} },
            { email: { email: "a@example.com" } },
            { email_domain: { domain: "example.com" } },
          ],
          name: "people",
          session_duration: "24h",
        },
      },
      {
        method: "POST",
        body: {
          app_launcher_visible: false,
          destinations: [{ type: "public", uri: "slm.example.com" }],
          http_only_cookie_attribute: true,
          name: "servers",
          policies: [{ id: "p1", precedence: 1 }],
          service_auth_401_redirect: true,
          session_duration: "24h",
          type: "self_hosted",
        },
      },
    ]);
    expect(api.asked.every(({ headers }) => headers.authorization === "Bearer test-token")).toBe(true);
    expect(plugin.log.filter((line) => line.startsWith("warning:"))).toHaveLength(1); // the tunnel's configuration
  });

  it("leaves a tunnel's configuration alone on delete", async () => {
    await plugin.delete(tunnelConfig, "t1", { accountId: account, tunnelId: "t1" });
    expect(sent()).toEqual([]);
  });

  it("sends only what changed in a PATCH", async () => {
    const { id, state } = await plugin.create(tunnel, tunnelInputs);
    await plugin.update(tunnel, id, state, tunnelInputs, { ...tunnelInputs, name: "renamed" });
    expect(api.asked.at(-1)).toMatchObject({ method: "PATCH", body: { name: "renamed" } });
  });

  it("uses the API's names of notification filters", async () => {
    await createdClean(token("notificationPolicy"), {
      accountId: account,
      alertType: "tunnel_health_event",
      filters: { tunnelIds: ["t1"] },
      mechanisms: { emails: [{ id: "ops@example.com" }] },
      name: "tunnel",
    });
    expect(api.asked[0]?.body).toEqual({
      alert_type: "tunnel_health_event",
      enabled: true,
      filters: { tunnel_id: ["t1"] },
      mechanisms: { email: [{ id: "ops@example.com" }] },
      name: "tunnel",
    });
  });
});

describe("check", () => {
  it("refuses unknown, missing and mistyped inputs at any depth, each with its path", async () => {
    const { failures } = await plugin.check(record, {
      zoneId: 3,
      name: "x",
      type: "A",
      contents: "typo",
      settings: { flatten: true },
    });
    expect(failures).toEqual([
      expect.stringMatching(/^contents: there is no such input; known are: .*content/),
      expect.stringMatching(/^settings\.flatten: there is no such input/),
      expect.stringMatching(/^ttl: this input is required/),
      expect.stringMatching(/^zoneId: expected a string, got a number/),
    ]);
    const config = { accountId: account, tunnelId: "t", config: { ingresses: [{ hostname: "x" }] } };
    expect((await plugin.check(tunnelConfig, config)).failures).toEqual([
      expect.stringMatching(/^config\.ingresses\[0\]\.service: this input is required/),
    ]);
    expect((await plugin.check(policy, { accountId: account, name: "x", decision: "permit" })).failures).toEqual([
      `decision: "permit" is not one of allow, deny, non_identity, bypass`,
    ]);
    expect((await plugin.check(serviceToken, { name: "x" })).failures).toEqual([
      expect.stringMatching(/^accountId: neither/),
    ]);
  });

  it("refuses a TTL for a proxied record", async () => {
    const proxied = { zoneId: zone, name: "x", type: "CNAME", content: "y", proxied: true };
    expect((await plugin.check(record, { ...proxied, ttl: 300 })).failures).toEqual([
      "ttl: must be 1 (automatic) when proxied is true, not 300",
    ]);
    expect((await plugin.check(record, { ...proxied, ttl: 1 })).failures).toEqual([]);
  });

  it("refuses one without the other where the provider wants both, and words that are none", async () => {
    const backend = { accountId: account, name: "backend" };
    expect((await plugin.check(serviceToken, { ...backend, clientSecretVersion: 1 })).failures).toEqual([
      "clientSecretVersion: previousClientSecretExpiresAt must be given with it: give both or neither",
    ]);
    const until = { previousClientSecretExpiresAt: "2026-11-29T00:00:00Z" };
    expect((await plugin.check(serviceToken, { ...backend, ...until })).failures).toEqual([
      "previousClientSecretExpiresAt: clientSecretVersion must be given with it: give both or neither",
    ]);
    expect((await plugin.check(serviceToken, { ...backend, ...until, clientSecretVersion: 2 })).failures).toEqual([]);
    expect((await plugin.check(application, { ...appInputs, type: "nonIdentity" })).failures).toEqual([
      expect.stringMatching(/^type: "nonIdentity" is not one of self_hosted, /),
    ]);
    const idp = { accountId: account, name: "x", type: "facebok", config: {} };
    expect((await plugin.check(token("zeroTrustAccessIdentityProvider"), idp)).failures).toEqual([
      expect.stringMatching(/^type: "facebok" is not one of onetimepin, /),
    ]);
  });

  it("lets values pass that are not known yet", async () => {
    const inputs = { zoneId: zone, name: "x", type: "CNAME", ttl: unknown, content: unknown };
    expect(await plugin.check(record, inputs)).toEqual({ inputs, failures: [] });
  });

  it("makes a tunnel's secret a secret even when the program forgot to", async () => {
    const { inputs } = await plugin.check(tunnel, { accountId: account, name: "x", tunnelSecret: "plain" });
    expect(inputs.tunnelSecret).toEqual(new Secret("plain"));
  });

  it("refuses configuration it does not know", async () => {
    expect(await plugin.checkConfig({ baseURL: "typo", version: "6.22.1" })).toEqual([
      expect.stringMatching(/^baseURL: there is no such input/),
    ]);
    expect(await plugin.checkConfig({ baseUrl: "http://127.0.0.1/", apiToken: new Secret("x".repeat(40)) })).toEqual(
      [],
    );
    expect(
      await plugin.checkConfig({ apiToken: new Secret("an old token"), apiKey: new Secret("0f".repeat(20)) }),
    ).toEqual([
      expect.stringMatching(/^apiKey: email must be given with it/),
      expect.stringMatching(/^apiToken: the secret value has 12 characters: an API token has 40 to 80/),
    ]);
  });

  it("says which credentials are missing", async () => {
    const other = await startPlugin("cloudflare", { CLOUDFLARE_API_TOKEN: "" });
    await expect(other.configure({})).rejects.toThrow(/CLOUDFLARE_API_TOKEN/);
    await other.stop();
  });
});

describe("preview", () => {
  it("calls no API in a preview, leaves the API's values unknown and keeps secrets secret", async () => {
    const { id, state } = await plugin.create(tunnel, tunnelInputs, true);
    expect(id).toBe("");
    expect(state).toMatchObject({ name: "slm", accountTag: unknown, status: unknown });
    expect(state.tunnelSecret).toEqual(new Secret("c2VjcmV0"));
    const made = await plugin.create(serviceToken, { accountId: account, name: "x" }, true);
    expect(made.state.clientSecret).toBeInstanceOf(Secret);
    expect(reveal(made.state).clientSecret).toBeInstanceOf(Unknown);
    expect(sent()).toEqual([]);
  });

  it("keeps unchanged outputs in an update's preview", async () => {
    const inputs = { accountId: account, name: "backend", clientSecretVersion: 1 };
    const { id, state } = await plugin.create(serviceToken, inputs);
    const renamed = await plugin.update(serviceToken, id, state, inputs, { ...inputs, name: "other" }, true);
    expect(renamed).toMatchObject({ name: "other", clientId: state.clientId, clientSecret: state.clientSecret });
    const rotated = await plugin.update(serviceToken, id, state, inputs, { ...inputs, clientSecretVersion: 2 }, true);
    expect(rotated.clientId).toBe(state.clientId);
    expect(rotated.clientSecret).toEqual(new Secret(unknown));
  });
});

describe("diff", () => {
  it("names each changed property by its path, and replaces where Cloudflare cannot change", async () => {
    const { id, state } = await plugin.create(tunnel, tunnelInputs);
    expect(await plugin.diff(tunnel, id, state, tunnelInputs, { ...tunnelInputs, name: "new" })).toEqual({
      changes: true,
      replaces: [],
      deletesFirst: false,
      detailed: { name: "update" },
    });
    expect(await plugin.diff(tunnel, id, state, tunnelInputs, { ...tunnelInputs, configSrc: "local" })).toEqual({
      changes: true,
      replaces: ["configSrc"],
      deletesFirst: false,
      detailed: { configSrc: "update-replace" },
    });
    const before = { accountId: account, tunnelId: "t", config: { ingresses: [{ service: "a" }, { service: "b" }] } };
    const after = { ...before, config: { ingresses: [{ service: "c", hostname: "h" }] } };
    expect((await plugin.diff(tunnelConfig, "t", {}, before, after)).detailed).toEqual({
      "config.ingresses[0].service": "update",
      "config.ingresses[0].hostname": "add",
      "config.ingresses[1]": "delete",
    });
  });

  it("replaces each resource where the official provider does, the new one first", async () => {
    const replaced = async (type: string, inputs: Props, change: Props) => {
      const { replaces, deletesFirst } = await plugin.diff(type, "x", inputs, inputs, { ...inputs, ...change });
      return { replaces, deletesFirst };
    };
    const both = (name: string) => ({ replaces: [name], deletesFirst: false });
    const other = "c".repeat(32);
    const regional = { zoneId: zone, hostname: "a.example.com", regionKey: "kr" };
    const idp = { accountId: account, name: "x", type: "onetimepin", config: {} };
    expect(await replaced(tunnel, tunnelInputs, { accountId: other })).toEqual(both("accountId"));
    expect(await replaced(tunnelConfig, { accountId: account, tunnelId: "a" }, { tunnelId: "b" })).toEqual(
      both("tunnelId"),
    );
    expect(await replaced(record, { zoneId: zone, name: "x", type: "A", ttl: 1 }, { zoneId: other })).toEqual(
      both("zoneId"),
    );
    expect(await replaced(token("regionalHostname"), regional, { hostname: "b.example.com" })).toEqual(
      both("hostname"),
    );
    expect(await replaced(token("zeroTrustAccessIdentityProvider"), idp, { type: "github" })).toEqual(both("type"));
    expect(await replaced(application, appInputs, { accountId: other })).toEqual(both("accountId"));
    // Changed in place: these are only names and targets to Cloudflare.
    for (const [type, inputs, change] of [
      [record, { zoneId: zone, name: "x", type: "A", ttl: 1 }, { name: "y", content: "::1" }],
      [token("regionalHostname"), regional, { regionKey: "eu" }],
      [application, appInputs, { type: "ssh", name: "other" }],
    ] as const) {
      expect((await replaced(type, inputs, change)).replaces, type).toEqual([]);
    }
  });

  it("returns to the provider's default when an input is removed", async () => {
    const inputs = { accountId: account, name: "backend" };
    const given = { ...inputs, clientSecretVersion: 2, previousClientSecretExpiresAt: "2026-11-29T00:00:00Z" };
    const made = await plugin.create(serviceToken, given);
    expect((await plugin.diff(serviceToken, made.id, made.state, given, inputs)).detailed).toEqual({
      clientSecretVersion: "update",
      previousClientSecretExpiresAt: "delete",
    });
    const preview = await plugin.update(serviceToken, made.id, made.state, given, inputs, true);
    expect(preview).toMatchObject({ clientSecretVersion: 1, clientSecret: new Secret(unknown) });
    await plugin.update(serviceToken, made.id, made.state, given, inputs);
    expect(api.asked.at(-1)).toMatchObject({ method: "PUT", body: { client_secret_version: 1 } });
    // "local" is what a tunnel's configuration is by default, and Cloudflare cannot change it.
    const { id, state } = await plugin.create(tunnel, tunnelInputs);
    const { configSrc: _, ...without } = tunnelInputs;
    expect((await plugin.diff(tunnel, id, state, tunnelInputs, without)).replaces).toEqual(["configSrc"]);
  });

  it("treats setting the API's own value as no change, and another value as an update", async () => {
    const inputs = { accountId: account, name: "backend" };
    const { id, state } = await plugin.create(serviceToken, inputs);
    expect((await plugin.diff(serviceToken, id, state, inputs, { ...inputs, duration: "8760h" })).changes).toBe(false);
    expect((await plugin.diff(serviceToken, id, state, inputs, { ...inputs, duration: "24h" })).detailed).toEqual({
      duration: "update",
    });
  });

  it("sees no difference in the order of a policy's includes", async () => {
    const a = { email: { email: "a@example.com" } };
    const b = { email: { email: "b@example.com" } };
    const base = { accountId: account, decision: "allow", name: "x" };
    const diff = await plugin.diff(policy, "p", {}, { ...base, includes: [a, b] }, { ...base, includes: [b, a] });
    expect(diff.changes).toBe(false);
  });
});

describe("refresh", () => {
  it("reports a resource that was deleted by hand", async () => {
    const { id, state } = await plugin.create(tunnel, tunnelInputs);
    store.clear();
    expect(await plugin.read(tunnel, id, state, tunnelInputs)).toEqual({ id: "", state: {}, inputs: {} });
  });

  it("shows manual changes as drifted inputs", async () => {
    const inputs = {
      accountId: account,
      decision: "allow",
      name: "people",
      includes: [{ email: { email: "a@example.com" } }],
    };
    const { id, state } = await plugin.create(policy, inputs);
    const path = `/client/v4/accounts/${account}/access/policies/${id}`;
    const stored = store.get(path);
    store.set(path, { ...stored, include: [{ everyone: {} }], exclude: [{ ip: { ip: "192.0.2.1" } }] });
    const found = await plugin.read(policy, id, state, inputs);
    expect(found.inputs).toMatchObject({ includes: [{ everyone: {} }], excludes: [{ ip: { ip: "192.0.2.1" } }] });
    const { detailed } = await plugin.diff(policy, id, found.state, found.inputs, inputs);
    expect(detailed).toEqual({
      "includes[0].email": "add",
      "includes[0].everyone": "delete",
      excludes: "delete",
    });
  });

  it("imports by the account's or the zone's id", async () => {
    const { id } = await plugin.create(application, appInputs);
    const found = await plugin.read(application, `accounts/${account}/${id}`);
    expect(found.id).toBe(id);
    expect(found.inputs).toMatchObject({ accountId: account, policies: [{ id: "p1" }] });
    await expect(plugin.read(application, id)).rejects.toThrow(/import it as accounts\/<account id>\/<id>/);
  });
});

describe("a service token", () => {
  it("rotates by exactly one PUT and stores the new secret", async () => {
    const inputs = { accountId: account, name: "backend", clientSecretVersion: 1 };
    const { id, state } = await plugin.create(serviceToken, inputs);
    expect(state.clientSecret).toBeInstanceOf(Secret);
    const news = { ...inputs, clientSecretVersion: 2, previousClientSecretExpiresAt: "2026-11-29T00:00:00Z" };
    const { detailed, replaces } = await plugin.diff(serviceToken, id, state, inputs, news);
    expect({ detailed, replaces }).toEqual({
      detailed: { clientSecretVersion: "update", previousClientSecretExpiresAt: "add" },
      replaces: [],
    });
    api.asked.length = 0;
    const rotated = await plugin.update(serviceToken, id, state, inputs, news);
    expect(api.asked.map(({ method, body }) => ({ method, body }))).toEqual([
      {
        method: "PUT",
        body: {
          client_secret_version: 2,
          duration: "8760h",
          name: "backend",
          previous_client_secret_expires_at: "2026-11-29T00:00:00Z",
        },
      },
    ]);
    expect(rotated.clientId).toBe(state.clientId);
    expect(reveal(rotated).clientSecret).not.toBe(reveal(state).clientSecret);
    // An answer without the secret keeps it.
    const renamed = await plugin.update(serviceToken, id, rotated, news, { ...news, name: "other" });
    expect(renamed.clientSecret).toEqual(rotated.clientSecret);
  });
});

describe("functions", () => {
  it("reads the organisation's domain and a connector token, the token as a secret", async () => {
    const organization = "cloudflare:index/getZeroTrustOrganization:getZeroTrustOrganization";
    expect((await plugin.invoke(organization, { accountId: account })).result.authDomain).toBe(
      "team.cloudflareaccess.com",
    );
    const tunnelToken = "cloudflare:index/getZeroTrustTunnelCloudflaredToken:getZeroTrustTunnelCloudflaredToken";
    expect((await plugin.invoke(tunnelToken, { accountId: account, tunnelId: "t" })).result.token).toEqual(
      new Secret("connector-token"),
    );
    expect((await plugin.invoke(tunnelToken, { accountId: account })).failures).toEqual([
      expect.stringMatching(/^tunnelId: /),
    ]);
    await expect(plugin.invoke("cloudflare:index/getNothing:getNothing", {})).rejects.toThrow(/is not a function/);
  });
});

describe("failures", () => {
  it("passes on the API's error, with method and path", async () => {
    await expect(plugin.create(tunnel, { ...tunnelInputs, name: "taken" })).rejects.toThrow(
      `/accounts/${account}/cfd_tunnel": 409 Conflict {"success":false,"errors":[{"code":1013,"message":"You already have a tunnel`,
    );
    await expect(plugin.create("cloudflare:index/nothing:Nothing", {})).rejects.toThrow(/is not a resource/);
  });

  it("completes a change when the engine cancels, so that its object is in the state", async () => {
    const held = Promise.withResolvers<void>();
    slow = held.promise;
    try {
      const arrived = api.asked.length;
      const creating = plugin.create(tunnel, tunnelInputs);
      await expect.poll(() => api.asked.length).toBeGreaterThan(arrived);
      await plugin.cancel();
      held.resolve();
      expect((await creating).id).not.toBe("");
    } finally {
      held.resolve();
      slow = undefined;
    }
  });

  it("aborts a read when the engine cancels", async () => {
    const made = await plugin.create(tunnel, tunnelInputs);
    hang = true;
    try {
      const arrived = api.asked.length;
      const reading = plugin.read(tunnel, made.id, made.state, tunnelInputs);
      const refusal = expect(reading).rejects.toMatchObject({ code: 1 }); // CANCELLED
      await expect.poll(() => api.asked.length).toBeGreaterThan(arrived);
      await plugin.cancel();
      await refusal;
    } finally {
      hang = false;
    }
  });
});
