import { describe, expect, it } from "vitest";
import { type Lookups, programName } from "../../../../commands/init/adopt/adoptable.ts";
import { findAdoptable } from "../../../../commands/init/adopt/find.ts";
import { type Deployed, importFile, notYetOurs } from "../../../../commands/init/adopt/import-file.ts";
import { readConfig } from "../../../../commands/init/stack-file.ts";

const accountId = "a".repeat(32);
const zoneId = "b".repeat(32);
const tunnelId = "0f0f0f0f-1111-2222-3333-444444444444";
const hostname = "slm.example.com";
const config = readConfig(
  JSON.stringify({
    config: {
      "slm-network:hostname": hostname,
      "slm-network:accountId": accountId,
      "slm-network:zoneId": zoneId,
      "slm-network:access": { servers: [{ name: "backend" }], people: { emails: ["a@example.com"] } },
      "slm-network:alerts": { emails: ["ops@example.com"] },
      "slm-network:macs": [{ host: "192.168.0.20", user: "deploy", hostKey: "ssh-ed25519 AAAA" }],
      "slm-network:model": { embeddingModel: "bge-m3" },
      "slm-network:documents": {
        store: "atlas",
        atlas: { projectId: "c".repeat(24), cluster: "main", allowFrom: ["203.0.113.7/32"] },
      },
    },
  }),
  "Pulumi.test.yaml",
);
const empty: Lookups = {
  tunnelName: "slm-network-prod",
  config,
  records: [],
  tunnels: [],
  applications: [],
  policies: [],
  notifications: [],
  tokens: [],
  users: [],
  tokensOf: new Map(),
};
const tunnel = { id: tunnelId, name: "studio", configuredBy: "cloudflare", status: "healthy" } as const;
const record = { id: "r1", name: hostname, type: "CNAME", content: `${tunnelId}.cfargotunnel.com`, proxied: true };
const rules = async () => ["slm.example.com → http://127.0.0.1:11434"];
const find = (facts: Partial<Lookups>) => findAdoptable({ ...empty, ...facts }, rules);
const idsOf = ({ adoptable }: Awaited<ReturnType<typeof find>>) => adoptable.map(({ name, id }) => [name, id]);

describe("what can be adopted", () => {
  it("is nothing in empty accounts", async () => {
    expect(await find({})).toEqual({ adoptable: [], left: [] });
  });

  it("is the metrics' application, policy and tokens only with scrapers in the config", async () => {
    const lookups = {
      applications: [{ id: "m1", name: "metrics", type: "self_hosted", destinations: [`${hostname}/metrics`] }],
      policies: [{ id: "p1", name: `${hostname} metrics` }],
      tokens: [{ id: "t1", name: `${hostname} prometheus`, clientId: "c1", expiresAt: "2027-01-01T00:00:00Z" }],
    } as unknown as Partial<Lookups>;
    expect(idsOf(await find(lookups))).toEqual([]);
    const metrics = { scrapers: [{ name: "prometheus", secretVersion: 1, enabled: true, duration: "8760h" }] };
    const found = await find({ ...lookups, config: { ...config, metrics } });
    expect(idsOf(found)).toEqual([
      ["slm-app-metrics", `accounts/${accountId}/m1`],
      ["slm-token-prometheus", `accounts/${accountId}/t1`],
      ["slm-policy-metrics", `${accountId}/p1`],
    ]);
    expect(found.adoptable[0]?.means.join()).toContain("the scrapers of the config");
  });

  it("is the tunnel that the hostname's record points to, whatever its name, with its public hostnames", async () => {
    const found = await find({ tunnels: [{ ...tunnel, id: "other", name: "other" }, tunnel], records: [record] });
    expect(idsOf(found)).toEqual([
      ["slm-tunnel", `${accountId}/${tunnelId}`],
      ["slm-ingress", `${accountId}/${tunnelId}`],
      ["slm-dns", `${zoneId}/r1`],
    ]);
    expect(found.adoptable[0]?.means.join()).toContain("renamed to slm-network-prod");
    expect(found.adoptable[1]?.shown).toContain("slm.example.com → http://127.0.0.1:11434");
  });

  it("is not a locally configured tunnel, which would be replaced", async () => {
    const found = await find({ tunnels: [{ ...tunnel, configuredBy: "local" }], records: [record] });
    expect(idsOf(found)).toEqual([["slm-dns", `${zoneId}/r1`]]);
    expect(found.left.join()).toMatch(/"studio".*configured by a file/);
  });

  it("is not a record of another type, nor one of several", async () => {
    for (const records of [[{ ...record, type: "A", content: "192.0.2.1" }], [record, { ...record, id: "r2" }]]) {
      const found = await find({ records });
      expect(found.adoptable).toEqual([]);
      expect(found.left).toHaveLength(1);
    }
  });

  it("is each application by its destination; names what it no longer protects", async () => {
    const app = { id: "app", name: "by hand", type: "self_hosted", destinations: [hostname, "wiki.example.com"] };
    const people = { id: "app2", name: "status", type: "self_hosted", destinations: [`${hostname}/status/`] };
    const found = await find({ applications: [app, people] });
    expect(idsOf(found)).toEqual([
      ["slm-app-servers", `accounts/${accountId}/app`],
      ["slm-app-people", `accounts/${accountId}/app2`],
    ]);
    expect(found.adoptable[0]?.means.join()).toContain("no longer protects wiki.example.com");
    const saas = await find({ applications: [{ ...app, type: "saas" }] });
    expect(saas.adoptable).toEqual([]);
    expect(saas.left.join()).toContain("not self_hosted");
  });

  it("is a token with the stack's own name, or the given one; its secret cannot be imported", async () => {
    const token = { id: "t1", name: "old", clientId: "x.access", enabled: true };
    expect((await find({ tokens: [token] })).adoptable).toEqual([]);
    const byName = await find({ tokens: [token], tokensOf: new Map([["backend", "old"]]) });
    expect(idsOf(byName)).toEqual([["slm-token-backend", `accounts/${accountId}/t1`]]);
    expect(byName.adoptable[0]?.means.join()).toContain("npm run rotate -- backend");
    expect(idsOf(await find({ tokens: [{ ...token, name: `${hostname} backend` }] }))).toEqual(idsOf(byName));
    const wrong = await find({
      tokens: [token],
      tokensOf: new Map([
        ["backend", "x"],
        ["nobody", "old"],
      ]),
    });
    expect(wrong.adoptable).toEqual([]);
    expect(wrong.left.join("\n")).toMatch(/no such service token[\s\S]*no server "nobody"/);
  });

  it("is a database user that signs in at admin", async () => {
    const user = { username: "slm-relay", databaseName: "admin", roles: ["readWrite@slm"], clusters: [] };
    const found = await find({ users: [user, { ...user, username: "slm-schema", databaseName: "$external" }] });
    expect(idsOf(found)).toEqual([["slm-user-relay", `${"c".repeat(24)}/slm-relay/admin`]]);
  });

  it("is what a lost state left under the stack's exact names, unless a name is ambiguous", async () => {
    const policy = { id: "p1", name: `${hostname} servers`, decision: "non_identity" };
    const alert = { id: "n1", name: `${hostname}: tunnel down or back` };
    const found = await find({ policies: [policy], notifications: [alert, { ...alert, id: "n2", name: "else" }] });
    expect(idsOf(found)).toEqual([
      ["slm-policy-servers", `${accountId}/p1`],
      ["slm-alert-tunnel", `${accountId}/n1`],
    ]);
    expect((await find({ policies: [policy, { ...policy, id: "p2" }] })).adoptable).toEqual([]);
  });
});

describe("the import file", () => {
  const urn = (type: string, name: string) => `urn:pulumi:prod::slm-network::${type}::${name}`;

  it("imports a component with its children, under the program's names", async () => {
    const { adoptable } = await find({ tunnels: [tunnel], records: [record] });
    const file = importFile(adoptable, [], { cloudflare: "6.22.1" });
    expect(file.nameTable).toEqual({});
    expect(file.resources).toMatchObject([
      { type: "slm-network:tunnel:Tunnel", name: "tunnel", logicalName: programName, component: true },
      { type: "slm-network:route:Route", name: "route", logicalName: programName, component: true },
      { name: "slm-tunnel", parent: "tunnel", version: "6.22.1" },
      { name: "slm-ingress", parent: "tunnel" },
      { name: "slm-dns", parent: "route" },
    ]);
  });

  it("puts children under an existing component, and leaves out what the stack has", async () => {
    const { adoptable } = await find({ tunnels: [tunnel], records: [record] });
    const component = { urn: urn("slm-network:tunnel:Tunnel", "slm"), type: "slm-network:tunnel:Tunnel" };
    const type = adoptable[0]?.type ?? "";
    const deployed: Deployed[] = [component, { urn: urn(`slm-network:tunnel:Tunnel$${type}`, "slm-tunnel"), type }];
    const left = notYetOurs(adoptable, deployed);
    expect(left.map(({ name }) => name)).toEqual(["slm-ingress", "slm-dns"]);
    expect(importFile(left, deployed, {}).nameTable).toEqual({ tunnel: component.urn });
  });
});
