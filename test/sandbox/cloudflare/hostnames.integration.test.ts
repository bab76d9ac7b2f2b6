import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { account_id, type Harness, raw, refusalOf, secret, startHarness, zone_id } from "./harness.ts";

let h: Harness;
beforeEach(async () => {
  h = await startHarness();
});
afterEach(() => h.close());

test("a regional hostname accepts only regions of the account's list", async () => {
  const regional = h.client.addressing.regionalHostnames;
  const keys = (await regional.regions.list({ account_id })).result.map((one) => one.key);
  expect(keys).toContain("kr");
  const made = await regional.create({ zone_id, hostname: "slm.example.com", region_key: "kr", routing: "dns" });
  expect(made).toMatchObject({ hostname: "slm.example.com", region_key: "kr", routing: "dns" });
  expect(made.created_on).toBeTruthy();
  const edited = await regional.edit("slm.example.com", { zone_id, region_key: "jp" });
  expect(edited).toMatchObject({ hostname: "slm.example.com", region_key: "jp", created_on: made.created_on });
  const twice = regional.create({ zone_id, hostname: "slm.example.com", region_key: "kr" });
  expect(await refusalOf(twice)).toMatchObject({ status: 409 });
  const unknown = regional.create({ zone_id, hostname: "b.example.com", region_key: "seoul" });
  expect(await refusalOf(unknown)).toMatchObject({
    status: 400,
    message: expect.stringMatching(/region_key: "seoul" is unknown/),
  });
  const elsewhere = regional.create({ zone_id, hostname: "b.example.org", region_key: "kr" });
  expect(await refusalOf(elsewhere)).toMatchObject({ status: 400, message: expect.stringMatching(/not in the zone/) });
  await regional.delete("slm.example.com", { zone_id });
  expect(await refusalOf(regional.get("slm.example.com", { zone_id }))).toMatchObject({ status: 404 });
});

test("an account without the add-on has no region", async () => {
  const plain = await startHarness({ regions: [] });
  try {
    const regional = plain.client.addressing.regionalHostnames;
    expect((await regional.regions.list({ account_id })).result).toEqual([]);
    const made = regional.create({ zone_id, hostname: "slm.example.com", region_key: "kr" });
    expect(await refusalOf(made)).toMatchObject({ status: 400, message: expect.stringMatching(/add-on/) });
  } finally {
    await plain.close();
  }
});

test("a custom hostname is pending until its owner proves it; the fallback origin is of the zone", async () => {
  const custom = h.client.customHostnames;
  const ssl = { bundle_method: "ubiquitous", method: "txt", type: "dv", settings: { min_tls_version: "1.2" } } as const;
  const made = await custom.create({ zone_id, hostname: "slm.customer.org", ssl });
  expect(made).toMatchObject({ hostname: "slm.customer.org", status: "pending", ssl: { ...ssl, wildcard: false } });
  expect(made.ownership_verification).toMatchObject({ type: "txt", name: "_cf-custom-hostname.slm.customer.org" });
  expect(await refusalOf(custom.create({ zone_id, hostname: "slm.customer.org", ssl }))).toMatchObject({ code: 1406 });
  const edited = await custom.edit(made.id, { zone_id, custom_origin_server: "origin.example.com" });
  expect(edited).toMatchObject({ id: made.id, custom_origin_server: "origin.example.com", ssl: { method: "txt" } });
  expect((edited.ssl as { id?: string }).id).toBe(made.ssl?.id);
  expect(await refusalOf(custom.fallbackOrigin.get({ zone_id }))).toMatchObject({ status: 404 });
  expect(await custom.fallbackOrigin.update({ zone_id, origin: "slm.example.com" })).toMatchObject({
    status: "active",
  });
  expect(await refusalOf(custom.fallbackOrigin.update({ zone_id, origin: "slm.example.org" }))).toMatchObject({
    status: 400,
  });
  await custom.fallbackOrigin.delete({ zone_id });
  expect(await refusalOf(custom.fallbackOrigin.get({ zone_id }))).toMatchObject({ status: 404 });
  expect(await custom.delete(made.id, { zone_id })).toMatchObject({ id: made.id });
  expect((await custom.list({ zone_id })).result).toEqual([]);
});

test("a custom hostname is served once the other domain's DNS leads here, by the tunnel of the fallback origin", async () => {
  const folder = mkdtempSync(join(tmpdir(), "slm-outside-"));
  const outsideDnsPath = join(folder, "outside-dns.json");
  const outside = await startHarness({ outsideDnsPath });
  const publish = (...records: object[]) => writeFileSync(outsideDnsPath, JSON.stringify(records));
  try {
    const { client, account } = outside;
    const tunnel = await client.zeroTrust.tunnels.cloudflared.create({
      account_id,
      name: "office",
      tunnel_secret: secret,
    });
    const content = `${tunnel.id}.cfargotunnel.com`;
    await client.dns.records.create({
      zone_id,
      type: "CNAME",
      name: "slm.example.com",
      content,
      proxied: true,
      ttl: 1,
    });
    await client.customHostnames.fallbackOrigin.update({ zone_id, origin: "slm.example.com" });
    const made = await client.customHostnames.create({
      zone_id,
      hostname: "slm.customer.org",
      ssl: { method: "http", type: "dv" },
    });
    const state = async () => {
      const { status, ssl } = await client.customHostnames.get(made.id, { zone_id });
      return [status, ssl?.status, account.tunnelFor("slm.customer.org")];
    };
    expect(await state()).toEqual(["pending", "pending_validation", undefined]);
    publish({ type: "CNAME", name: "slm.customer.org", content: "slm.elsewhere.org" });
    expect(await state()).toEqual(["pending", "pending_validation", undefined]);
    const { name, value } = made.ownership_verification!;
    publish({ type: "TXT", name, content: value });
    expect(await state()).toEqual(["active", "pending_validation", undefined]);
    publish({ type: "CNAME", name: "SLM.customer.org.", content: "slm.example.com." });
    expect(await state()).toEqual(["active", "active", tunnel.id]);
    expect(account.tunnelFor("slm.example.com")).toBe(tunnel.id);
    await client.customHostnames.fallbackOrigin.delete({ zone_id });
    expect(account.tunnelFor("slm.customer.org")).toBeUndefined();
  } finally {
    await outside.close();
    rmSync(folder, { recursive: true, force: true });
  }
});

test("an Access application accepts an external name only as an active custom hostname", async () => {
  const dir = mkdtempSync(join(tmpdir(), "slm-outside-"));
  const outsideDnsPath = join(dir, "outside-dns.json");
  const own = await startHarness({ outsideDnsPath });
  try {
    const app = {
      account_id,
      type: "self_hosted",
      name: "servers",
      destinations: [{ type: "public", uri: "slm.customer.org" }],
    } as const;
    const { client } = own;
    expect(await refusalOf(client.zeroTrust.access.applications.create(app))).toMatchObject({ status: 400 });
    await client.customHostnames.create({ zone_id, hostname: "slm.customer.org", ssl: { method: "http", type: "dv" } });
    expect(await refusalOf(client.zeroTrust.access.applications.create(app))).toMatchObject({ status: 400 });
    writeFileSync(
      outsideDnsPath,
      JSON.stringify([{ type: "CNAME", name: "slm.customer.org", content: "slm.example.com" }]),
    );
    expect(await client.zeroTrust.access.applications.create(app)).toMatchObject({ domain: "slm.customer.org" });
  } finally {
    await own.close();
    rmSync(dir, { recursive: true, force: true });
  }
});

test("a private hostname route needs a tunnel that is there", async () => {
  const routes = h.client.zeroTrust.networks.hostnameRoutes;
  const tunnel = await h.client.zeroTrust.tunnels.cloudflared.create({
    account_id,
    name: "office",
    tunnel_secret: secret,
  });
  const made = await routes.create({ account_id, hostname: "slm.internal.lan", tunnel_id: tunnel.id!, comment: "c" });
  expect(made).toMatchObject({
    hostname: "slm.internal.lan",
    tunnel_id: tunnel.id,
    tunnel_name: "office",
    comment: "c",
  });
  expect(await routes.edit(made.id!, { account_id, comment: "d" })).toMatchObject({ id: made.id, comment: "d" });
  const unknown = routes.create({ account_id, hostname: "b.lan", tunnel_id: "00000000-0000-4000-8000-000000000000" });
  expect(await refusalOf(unknown)).toMatchObject({ status: 400, message: expect.stringMatching(/tunnel_id/) });
  const twice = routes.create({ account_id, hostname: "slm.internal.lan", tunnel_id: tunnel.id! });
  expect(await refusalOf(twice)).toMatchObject({ status: 409 });
  await routes.delete(made.id!, { account_id });
  expect(await refusalOf(routes.get(made.id!, { account_id }))).toMatchObject({ status: 404 });
});

test("a notification policy is checked, replaced and deleted", async () => {
  const policies = h.client.alerting.policies;
  const body = {
    account_id,
    name: "tunnel down",
    alert_type: "tunnel_health_event" as const,
    enabled: true,
    mechanisms: { email: [{ id: "ops@example.com" }] },
    filters: { tunnel_id: ["x"] },
  };
  const { id } = (await policies.create(body)) as { id: string };
  expect(await policies.get(id, { account_id })).toMatchObject({
    id,
    name: "tunnel down",
    mechanisms: body.mechanisms,
  });
  await policies.update(id, { ...body, enabled: false });
  expect(await policies.get(id, { account_id })).toMatchObject({ id, enabled: false });
  const path = `/accounts/${account_id}/alerting/v3/policies`;
  const { account_id: _, ...sent } = body;
  expect((await raw(h.url, "POST", path, { ...sent, alert_type: "tunnel_down" })).status).toBe(400);
  expect((await raw(h.url, "POST", path, { ...sent, filters: { tunnel: ["x"] } })).status).toBe(400);
  expect((await raw(h.url, "POST", path, { ...sent, mechanisms: { email: [{ id: "ops" }] } })).status).toBe(400);
  await policies.delete(id, { account_id });
  expect(await refusalOf(policies.get(id, { account_id }))).toMatchObject({ status: 404 });
});
