/** The sandbox's plugins against its APIs, resource by resource: made, unchanged at a second look, unchanged in refresh, gone. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Props, Secret } from "../../../sandbox/providers/plugin/values.ts";
import { type Harness as AtlasHarness, projectId, startHarness as startAtlas } from "../atlas/harness.ts";
import { account_id, type Harness, secret, startHarness, zone_id } from "../cloudflare/harness.ts";
import { type Plugin, startPlugin } from "./plugin.ts";

const account = { accountId: account_id };
const zone = { zoneId: zone_id };
const host = "slm.example.com";
let cloudflare: Plugin;
let atlas: Plugin;
let api: Harness;
let atlasApi: AtlasHarness;

beforeAll(async () => {
  api = await startHarness();
  atlasApi = await startAtlas({ delays: { clusterPolls: 1 } });
  cloudflare = await startPlugin("cloudflare", { CLOUDFLARE_API_TOKEN: "all-token" });
  await cloudflare.configure({ baseUrl: api.url });
  atlas = await startPlugin("mongodbatlas");
  await atlas.configure({ publicKey: "public", privateKey: new Secret("private"), baseUrl: atlasApi.url });
});
afterAll(async () => {
  await cloudflare.stop();
  await atlas.stop();
  await api.close();
  await atlasApi.close();
});

const typeOf = (provider: string, name: string) =>
  `${provider}:index/${name}:${name.charAt(0).toUpperCase()}${name.slice(1)}`;
const unchanged = { changes: false, replaces: [], deletesFirst: false, detailed: {} };

/** @returns its id, its state, and how to end it */
async function lives(plugin: Plugin, type: string, given: Props) {
  const { inputs, failures } = await plugin.check(type, given);
  expect(failures, type).toEqual([]);
  const { id, state } = await plugin.create(type, inputs);
  expect(await plugin.diff(type, id, state, inputs, inputs), `${type}: second run`).toEqual(unchanged);
  const found = await plugin.read(type, id, state, inputs);
  expect(found.inputs, `${type}: refresh`).toEqual(inputs);
  expect(await plugin.diff(type, id, found.state, found.inputs, inputs), `${type}: after refresh`).toEqual(unchanged);
  return {
    id,
    state,
    async end() {
      await plugin.delete(type, id, found.state);
      const after = await plugin.read(type, id, found.state, inputs);
      // Cloudflare marks a deleted tunnel, and the provider looks for a 404 only.
      if (type.endsWith(":ZeroTrustTunnelCloudflared")) expect(after.state.deletedAt).toEqual(expect.any(String));
      else expect(after.id, `${type}: gone`).toBe("");
    },
  };
}

it("Cloudflare: a tunnel with all that leads to it and stands before it", async () => {
  const ends: (() => Promise<void>)[] = [];
  const live = async (name: string, given: Props) => {
    const made = await lives(cloudflare, typeOf("cloudflare", name), given);
    // A tunnel's configuration ends with its tunnel.
    if (name !== "zeroTrustTunnelCloudflaredConfig") ends.unshift(made.end);
    return made;
  };
  const tunnel = await live("zeroTrustTunnelCloudflared", {
    ...account,
    name: "slm",
    configSrc: "cloudflare",
    tunnelSecret: new Secret(secret),
  });
  const token = await live("zeroTrustAccessServiceToken", {
    ...account,
    name: "backend",
    duration: "8760h",
    enabled: true,
  });
  const servers = await live("zeroTrustAccessPolicy", {
    ...account,
    name: "servers",
    decision: "non_identity",
    includes: [{ serviceToken: { tokenId: token.id } }],
  });
  const people = await live("zeroTrustAccessPolicy", {
    ...account,
    name: "people",
    decision: "allow",
    includes: [{ email: { email: "b@example.com" } }, { emailDomain: { domain: "example.org" } }],
    sessionDuration: "12h",
  });
  const pin = await live("zeroTrustAccessIdentityProvider", {
    ...account,
    name: "PIN",
    type: "onetimepin",
    config: {},
  });
  for (const [uri, policy] of [
    [host, servers],
    [`${host}/status`, people],
  ] as const) {
    await live("zeroTrustAccessApplication", {
      ...account,
      name: uri,
      type: "self_hosted",
      destinations: [{ type: "public", uri }],
      policies: [{ id: policy.id, precedence: 1 }],
      allowedIdps: [pin.id],
      serviceAuth401Redirect: uri === host,
    });
  }
  await live("zeroTrustTunnelCloudflaredConfig", {
    ...account,
    tunnelId: tunnel.id,
    config: { ingresses: [{ hostname: host, service: "http://127.0.0.1:1" }, { service: "http_status:404" }] },
  });
  const record = {
    ...zone,
    name: host,
    type: "CNAME",
    content: `${tunnel.id}.cfargotunnel.com`,
    proxied: true,
    ttl: 1,
  };
  await live("dnsRecord", record);
  await live("regionalHostname", { ...zone, hostname: host, regionKey: "kr" });
  await live("customHostnameFallbackOrigin", { ...zone, origin: host });
  await live("customHostname", {
    ...zone,
    hostname: "slm.example.net",
    ssl: { method: "txt", type: "dv", wildcard: false },
  });
  await live("notificationPolicy", {
    ...account,
    name: "tunnel",
    alertType: "tunnel_health_event",
    enabled: true,
    filters: { tunnelIds: [tunnel.id] },
    mechanisms: { emails: [{ id: "ops@example.com" }] },
  });
  for (const end of ends) await end();
});

it("Atlas: a user, an access-list entry, a Flex cluster", async () => {
  const project = { projectId };
  const all: [string, Props][] = [
    [
      "databaseUser",
      {
        ...project,
        username: "relay",
        authDatabaseName: "admin",
        password: new Secret("password-1"),
        roles: [{ roleName: "readWrite", databaseName: "slm" }],
        scopes: [{ name: "main", type: "CLUSTER" }],
      },
    ],
    ["projectIpAccessList", { ...project, cidrBlock: "203.0.113.7/32", comment: "office" }],
    ["projectIpAccessList", { ...project, ipAddress: "203.0.113.8" }],
    [
      "flexCluster",
      {
        ...project,
        name: "flex",
        providerSettings: { backingProviderName: "AWS", regionName: "AP_NORTHEAST_2" },
        tags: { team: "ai" },
      },
    ],
  ];
  for (const [name, given] of all) await (await lives(atlas, typeOf("mongodbatlas", name), given)).end();
});
