import { afterEach, beforeEach, expect, test } from "vitest";
import { type CloudflareLookups, cloudflareLookups } from "../../accounts/cloudflare.ts";
import type { LookupFailure, LookupResult } from "../../accounts/lookup-result.ts";
import { account_id, type Harness, secret, startHarness, zone_id } from "../sandbox/cloudflare/harness.ts";

let h: Harness;
let all: CloudflareLookups;
const as = (apiToken: string | undefined) => cloudflareLookups({ apiToken, baseUrl: h.url });

beforeEach(async () => {
  h = await startHarness({
    apiTokens: [
      { value: "all-token", permissions: "all" },
      { value: "few-token", permissions: ["Zone Read", "API Tokens Read"] },
      { value: "account-token", permissions: "all", owner: "account" },
    ],
  });
  all = as("all-token");
});
afterEach(() => h.close());

function value<T>(answer: LookupResult<T>): T {
  if (!answer.ok) throw new Error(`expected an answer: ${JSON.stringify(answer.failure)}`);
  return answer.value;
}
function failure(answer: LookupResult<unknown>): LookupFailure {
  if (answer.ok) throw new Error(`expected a failure: ${JSON.stringify(answer.value)}`);
  return answer.failure;
}

test("what is there from the start: account, zone, organisation, bot settings", async () => {
  expect(value(await all.accounts())).toEqual([{ id: account_id, name: "sandbox" }]);
  const zone = { id: zone_id, name: "example.com", status: "active", paused: false, plan: "Free Website" };
  expect(value(await all.zones())).toMatchObject([zone]);
  expect(value(await all.zones("f".repeat(32)))).toEqual([]);
  expect(value(await all.zone(zone_id))).toMatchObject({ ...zone, account: { id: account_id } });
  expect(value(await all.zoneByName("example.com"))).toMatchObject({ id: zone_id });
  expect(value(await all.zoneByName("example.org"))).toBeUndefined();
  expect(value(await all.zeroTrustOrganization(account_id))).toEqual({
    name: "acme",
    authDomain: "acme.cloudflareaccess.com",
    sessionDuration: "24h",
  });
  expect(value(await all.botManagement(zone_id))).toMatchObject({ fightMode: false });
  h.account.conditions.fightMode = true;
  h.account.conditions.zoneStatus = "pending";
  expect(value(await all.botManagement(zone_id))).toMatchObject({ fightMode: true });
  expect(value(await all.zone(zone_id))).toMatchObject({ status: "pending" });
});

test("what was made by hand is found by name, and nothing else of a like name", async () => {
  const tunnels = h.client.zeroTrust.tunnels.cloudflared;
  await tunnels.create({ account_id, name: "office", config_src: "local", tunnel_secret: secret });
  await tunnels.create({ account_id, name: "office-2", config_src: "cloudflare", tunnel_secret: secret });
  expect(value(await all.tunnels(account_id, "office"))).toMatchObject([
    { name: "office", configuredBy: "local", status: "inactive" },
  ]);
  expect(value(await all.tunnels(account_id))).toHaveLength(2);

  await h.client.dns.records.create({ zone_id, type: "A", name: "slm.example.com", content: "192.0.2.1", ttl: 1 });
  await h.client.dns.records.create({ zone_id, type: "A", name: "a.slm.example.com", content: "192.0.2.1", ttl: 1 });
  expect(value(await all.dnsRecordsOf(zone_id, "slm.example.com"))).toMatchObject([
    { type: "A", content: "192.0.2.1", proxied: false },
  ]);

  const { access } = h.client.zeroTrust;
  const token = await access.serviceTokens.create({ account_id, name: "backend" });
  expect(value(await all.serviceTokens(account_id))).toMatchObject([{ name: "backend", clientId: token.client_id }]);
  const app = (name: string, ...uris: string[]) =>
    access.applications.create({
      account_id,
      type: "self_hosted",
      name,
      destinations: uris.map((uri) => ({ type: "public" as const, uri })),
    });
  await app("whole", "slm.example.com");
  await app("path", "slm.example.com/status", "other.example.com");
  await app("wild", "*.example.com");
  await app("other", "another.example.com");
  const on = value(await all.accessApplications(account_id, "slm.example.com"));
  expect(on.map(({ name }) => name).sort()).toEqual(["path", "whole", "wild"]);
  expect(on.find(({ name }) => name === "path")?.destinations).toEqual(["slm.example.com/status", "other.example.com"]);
  expect(value(await all.accessApplications(account_id))).toHaveLength(4);
});

test("lists are read to their last page", async () => {
  const names = Array.from({ length: 230 }, (_, index) => `token-${index}`);
  for (const name of names) await h.client.zeroTrust.access.serviceTokens.create({ account_id, name });
  expect(value(await all.serviceTokens(account_id)).map(({ name }) => name)).toEqual(names);
});

test("a missing permission is named", async () => {
  const few = as("few-token");
  expect(failure(await few.tunnels(account_id))).toMatchObject({
    kind: "permission",
    permission: "Cloudflare Tunnel Read",
    subject: "the tunnels",
    status: 403,
    codes: [10000],
  });
  expect(failure(await few.zeroTrustOrganization(account_id))).toMatchObject({
    kind: "permission",
    permission: "Access: Organizations, Identity Providers, and Groups Read",
  });
  expect(failure(await few.dnsRecordsOf(zone_id, "slm.example.com"))).toMatchObject({ permission: "DNS Read" });
  expect(failure(await few.zone("c".repeat(32)))).toMatchObject({ kind: "no-access", status: 403 });
});

test("an account that has not set up Zero Trust is distinguished from one that the token may not see", async () => {
  h.account.conditions.zeroTrust = false;
  expect(failure(await all.zeroTrustOrganization(account_id))).toMatchObject({ kind: "not-enabled", codes: [9999] });
  expect(failure(await all.serviceTokens(account_id))).toMatchObject({ kind: "not-enabled" });
  expect(failure(await as("few-token").serviceTokens(account_id))).toMatchObject({ kind: "permission" });
  expect(value(await all.tunnels(account_id))).toEqual([]);
});

test("the token itself: a user's, an account's, an unknown one, none at all", async () => {
  const token = value(await all.token(account_id));
  expect(token).toMatchObject({ status: "active", owner: "user" });
  expect(failure(await all.tokenPolicies(token))).toMatchObject({ kind: "permission", permission: "API Tokens Read" });

  const few = as("few-token");
  expect(value(await few.tokenPolicies(value(await few.token())))).toEqual([
    {
      effect: "allow",
      permissions: ["Zone Read", "API Tokens Read"],
      resources: [`com.cloudflare.api.account.${account_id}`, `com.cloudflare.api.account.zone.${zone_id}`],
    },
  ]);

  const account = as("account-token");
  expect(value(await account.token(account_id))).toMatchObject({ owner: "account" });
  expect(failure(await account.token())).toMatchObject({ kind: "credentials" });
  expect(failure(await as("wrong").token(account_id))).toMatchObject({ kind: "credentials" });
  expect(failure(await as(undefined).zones())).toMatchObject({ kind: "no-credentials" });
});

test("a missing answer is distinguished from a refusal", async () => {
  const nobody = cloudflareLookups({ apiToken: "t", baseUrl: "http://127.0.0.1:9/client/v4" });
  expect(failure(await nobody.accounts())).toMatchObject({ kind: "unreachable" });
  h.account.faults.add({ path: "tokens/verify", status: 500, times: 10 });
  expect(failure(await all.token())).toMatchObject({ kind: "unreachable", status: 500 });
});

test("a custom hostname is found by its exact name, with its state", async () => {
  const made = { zone_id, hostname: "slm.customer.org", ssl: { method: "http", type: "dv" } } as const;
  await h.client.customHostnames.create(made);
  await h.client.customHostnames.create({ ...made, hostname: "x.slm.customer.org" });
  expect(value(await all.customHostname(zone_id, "slm.customer.org"))).toEqual({ status: "pending" });
  expect(value(await all.customHostname(zone_id, "customer.org"))).toBeUndefined();
});
