import { expect, it } from "vitest";
import { exportSchema, orphans, searches } from "../../../commands/recover/orphans.ts";

const token = "cloudflare:index/zeroTrustAccessServiceToken:ZeroTrustAccessServiceToken";
const creating = (type: string, name: string, inputs: Record<string, unknown>) => ({
  type: "creating",
  resource: { urn: `urn:pulumi:prod::slm-network::${type}::${name}`, type, inputs },
});
const stack = (pending: unknown[], resources: { type: string; id: string; inputs?: unknown }[] = []) =>
  exportSchema.parse({ deployment: { resources, pending_operations: pending } });

it("finds the second service token that a killed run created, never the one in the state", () => {
  const state = stack(
    [creating(token, "slm-token", { accountId: "a1", name: "backend" })],
    [{ type: token, id: "known" }],
  );
  const [search] = searches(state);
  expect(search).toMatchObject({ api: "cloudflare", path: "/accounts/a1/access/service_tokens?per_page=1000" });
  const listed = [
    { id: "known", name: "backend" },
    { id: "lost", name: "backend" },
    { id: "other", name: "backend-2" },
  ];
  expect(orphans(search!, listed, state)).toEqual([{ id: "lost", name: "backend" }]);
});

it("matches a DNS record only with the same type and target", () => {
  const inputs = { zoneId: "z1", name: "slm.example.com", type: "CNAME", content: "t1.cfargotunnel.com" };
  const state = stack([creating("cloudflare:index/dnsRecord:DnsRecord", "slm-dns", inputs)]);
  const [search] = searches(state);
  const ours = { id: "1", name: "slm.example.com", type: "CNAME", content: "t1.cfargotunnel.com" };
  const byHand = { ...ours, id: "2", content: "elsewhere.example.net" };
  expect(orphans(search!, [ours, byHand], state)).toEqual([ours]);
});

it("matches nothing without a name, and searches only for unfinished creations of known kinds", () => {
  const nameless = stack([creating(token, "slm-token", { accountId: "a1" })]);
  expect(orphans(searches(nameless)[0]!, [{ id: "1" }, { id: "2", name: "backend" }], nameless)).toEqual([]);
  const others = stack([
    { ...creating(token, "t", { accountId: "a1", name: "x" }), type: "updating" },
    creating("mongodbatlas:index/flexCluster:FlexCluster", "c", { projectId: "p", name: "main" }),
    creating("pulumi-nodejs:dynamic/mac:Installation", "install", {}),
  ]);
  expect(searches(others)).toEqual([]);
});

it("lists what refers to others first, and a database user by name", () => {
  const state = stack([
    creating("cloudflare:index/zeroTrustTunnelCloudflared:ZeroTrustTunnelCloudflared", "t", {
      accountId: "a",
      name: "n",
    }),
    creating("mongodbatlas:index/databaseUser:DatabaseUser", "u", { projectId: "p1", username: "slm-relay" }),
    creating("cloudflare:index/dnsRecord:DnsRecord", "d", { zoneId: "z", name: "n", type: "A", content: "192.0.2.1" }),
  ]);
  expect(searches(state).map(({ urn }) => urn.split("::").at(-1))).toEqual(["d", "t", "u"]);
  const user = searches(state).at(-1)!;
  expect(orphans(user, [{ username: "slm-relay" }, { username: "other" }], state)).toEqual([{ username: "slm-relay" }]);
  const inputs = { username: "slm-relay" };
  const known = stack([], [{ type: "mongodbatlas:index/databaseUser:DatabaseUser", id: "ZW5j:b2Rl", inputs }]);
  expect(orphans(user, [{ username: "slm-relay" }], known)).toEqual([]);
});
