import { statSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import { CloudflareAccount } from "../../../sandbox/cloudflare/account.ts";
import { account_id, type Harness, raw, refusalOf, secret, startHarness, zone_id } from "./harness.ts";

let h: Harness;
const readOnly = ["Cloudflare Tunnel Read", "DNS Read", "Zone Read", "Access: Apps and Policies Read"];
beforeEach(async () => {
  h = await startHarness({
    apiTokens: [
      { value: "all-token", permissions: "all" },
      { value: "read-token", permissions: readOnly },
    ],
  });
});
afterEach(() => h.close());

const makeTunnel = (client = h.client, name = "office") =>
  client.zeroTrust.tunnels.cloudflared.create({ account_id, name, config_src: "cloudflare", tunnel_secret: secret });

test("the API listens on loopback, with and without /client/v4", async () => {
  expect(h.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/client\/v4$/);
  const bare = h.url.replace("/client/v4", "");
  expect(await raw(bare, "GET", `/zones/${zone_id}`)).toMatchObject({ status: 200, result: { name: "example.com" } });
  expect(await raw(h.url, "GET", `/zones/${zone_id}`)).toMatchObject({ status: 200, result: { name: "example.com" } });
});

test("a missing, malformed or unknown token is refused in the envelope", async () => {
  const path = `/zones/${zone_id}`;
  expect(await raw(h.url, "GET", path, undefined, {})).toMatchObject({
    status: 401,
    success: false,
    result: null,
    errors: [{ code: 10000 }],
  });
  expect(await raw(h.url, "GET", path, undefined, { authorization: "Basic x" })).toMatchObject({ status: 400 });
  expect(await refusalOf(h.clientFor("wrong").user.tokens.verify())).toMatchObject({ status: 401, code: 9109 });
  expect(await h.clientFor("read-token").user.tokens.verify()).toMatchObject({ status: "active" });
});

test("a global API key beside a good token is refused", async () => {
  const path = `/zones/${zone_id}`;
  const with_ = (headers: Record<string, string>) =>
    raw(h.url, "GET", path, undefined, { authorization: "Bearer all-token", ...headers });
  expect(await with_({})).toMatchObject({ status: 200 });
  const pair = { "x-auth-email": "ops@example.com", "x-auth-key": "0".repeat(37) };
  expect(await with_(pair)).toMatchObject({ status: 403, errors: [{ code: 9103 }] });
  expect(await with_({ "x-auth-user-service-key": "v1.0-a" })).toMatchObject({ status: 403, errors: [{ code: 9103 }] });
  expect(await with_({ "x-auth-key": "" })).toMatchObject({ status: 400, errors: [{ code: 6003 }] });
  expect(await with_({ "x-auth-email": "nobody" })).toMatchObject({ status: 400, errors: [{ code: 6003 }] });
});

test("a read-only token can read; a missing permission is named", async () => {
  const made = await makeTunnel();
  const reader = h.clientFor("read-token");
  const tunnels = reader.zeroTrust.tunnels.cloudflared;
  expect((await tunnels.get(made.id!, { account_id })).id).toBe(made.id);
  const refused = {
    status: 403,
    code: 10000,
    message: expect.stringMatching(/lacks the permission "Cloudflare Tunnel Write"/),
  };
  expect(await refusalOf(makeTunnel(reader, "other"))).toMatchObject(refused);
  expect(await refusalOf(tunnels.delete(made.id!, { account_id }))).toMatchObject(refused);
  expect(await refusalOf(tunnels.token.get(made.id!, { account_id }))).toMatchObject({ ...refused, status: 401 });
  expect(await refusalOf(reader.zeroTrust.access.serviceTokens.list({ account_id }))).toMatchObject({
    status: 403,
    message: expect.stringMatching(/Access: Service Tokens Read/),
  });
  expect((await h.client.zeroTrust.tunnels.cloudflared.list({ account_id })).result).toHaveLength(1);
});

test("another account or zone, an unknown path, a wrong method and broken JSON are refused", async () => {
  expect(await raw(h.url, "GET", `/accounts/${"c".repeat(32)}/cfd_tunnel`)).toMatchObject({ status: 403 });
  expect(await raw(h.url, "GET", "/zones/example.com/dns_records")).toMatchObject({
    status: 404,
    errors: [{ code: 7003 }],
  });
  expect(await raw(h.url, "GET", `/accounts/${account_id}/workers`)).toMatchObject({
    status: 404,
    errors: [{ code: 7003 }],
  });
  expect(await raw(h.url, "DELETE", `/zones/${zone_id}`)).toMatchObject({ status: 405 });
  expect(await raw(h.url, "POST", `/accounts/${account_id}/cfd_tunnel`, "{")).toMatchObject({ status: 400 });
  expect(await raw(h.url, "POST", `/accounts/${account_id}/cfd_tunnel`)).toMatchObject({ status: 400 });
});

test("zones and accounts are found by name", async () => {
  expect((await h.client.zones.list({ name: "example.com" })).result).toMatchObject([
    { id: zone_id, status: "active" },
  ]);
  expect((await h.client.zones.list({ name: "example.org" })).result).toEqual([]);
  expect((await h.client.accounts.list()).result).toMatchObject([{ id: account_id }]);
});

test("faults on demand: a status, a 429 with Retry-After, and no answer at all, each as often as asked", async () => {
  h.account.faults.add({ method: "GET", path: "^/zones/", status: 503 });
  h.account.faults.add({ path: "^/zones/", status: 429, retryAfterSeconds: 7 });
  h.account.faults.add({ path: "^/zones/", status: "timeout" });
  const path = `/zones/${zone_id}`;
  expect((await raw(h.url, "GET", path)).status).toBe(503);
  const limited = await raw(h.url, "GET", path);
  expect([limited.status, limited.headers.get("retry-after")]).toEqual([429, "7"]);
  const impatient = h.client.withOptions({ timeout: 100 });
  await expect(impatient.zones.get({ zone_id })).rejects.toThrow(/timed out/);
  expect((await raw(h.url, "GET", path)).status).toBe(200);
  expect(h.account.faults.left).toEqual([]);
});

test("a lost answer: the call is carried out, and only its caller does not know", async () => {
  h.account.faults.add({ method: "POST", path: "/cfd_tunnel$", status: "lost" });
  await expect(makeTunnel()).rejects.toThrow(/connection error/i);
  expect(Object.values(h.account.state.tunnels)).toHaveLength(1);
  expect((await refusalOf(makeTunnel())).code).toBe(1013); // who tries again finds the name taken
});

test("a restart keeps ids, secrets and versions; the file is private", async () => {
  const tunnel = await makeTunnel();
  const path = `/accounts/${account_id}/cfd_tunnel/${tunnel.id}/configurations`;
  const config = { ingress: [{ service: "http_status:404" }] };
  await raw(h.url, "PUT", path, { config });
  await raw(h.url, "PUT", path, { config });
  const token = await h.client.zeroTrust.access.serviceTokens.create({ account_id, name: "backend" });
  const content = `${tunnel.id}.cfargotunnel.com`;
  await h.client.dns.records.create({
    zone_id,
    type: "CNAME",
    name: "slm.example.com",
    content,
    proxied: true,
    ttl: 1,
  });
  await h.client.addressing.regionalHostnames.create({ zone_id, hostname: "slm.example.com", region_key: "kr" });
  await h.restart();
  expect(statSync(h.statePath).mode & 0o777).toBe(0o600);
  expect(h.account.tunnel(tunnel.id!)?.secret).toEqual(Buffer.from(secret, "base64"));
  expect(h.account.configuration(tunnel.id!)).toEqual({ version: 2, config });
  expect(h.account.verifyServiceToken(token.client_id!, token.client_secret!)).toBe(token.id);
  expect(h.account.tunnelFor("slm.example.com")).toBe(tunnel.id);
  expect((await h.client.addressing.regionalHostnames.list({ zone_id })).result).toHaveLength(1);
  const again = await raw(h.url, "PUT", path, { config });
  expect(again.result).toMatchObject({ version: 3 });
});

test("a broken state file is refused with its path", async () => {
  h.account.close();
  writeFileSync(h.statePath, '{"format": 2}');
  const options = {
    accountId: account_id,
    zone: { id: zone_id, name: "example.com" },
    teamDomain: "acme.cloudflareaccess.com",
    apiTokens: [],
    statePath: h.statePath,
  };
  expect(() => new CloudflareAccount(options)).toThrow(/account\.json cannot be used.*format/s);
  expect(() => new CloudflareAccount({ ...options, accountId: "mine" })).toThrow(/accountId is "mine".*32 hex digits/);
});

test("the log names calls that change something, and no secret", async () => {
  await makeTunnel();
  await h.client.zones.get({ zone_id });
  expect(h.lines).toEqual([`cloudflare: POST /client/v4/accounts/${account_id}/cfd_tunnel → 200`]);
});
