import { randomUUID } from "node:crypto";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { ConnectorConnection } from "../../../sandbox/cloudflare/edge-view.ts";
import { account_id, type Harness, raw, refusalOf, secret, startHarness } from "./harness.ts";

let h: Harness;
beforeEach(async () => {
  h = await startHarness();
});
afterEach(() => h.close());

const tunnels = () => h.client.zeroTrust.tunnels.cloudflared;
const create = (name = "office") =>
  tunnels().create({ account_id, name, config_src: "cloudflare", tunnel_secret: secret });

function connections(count: number): ConnectorConnection[] {
  const connectorId = randomUUID();
  return Array.from({ length: count }, () => ({
    connectorId,
    clientVersion: "2026.11.0",
    arch: "darwin_arm64",
    coloName: "icn01",
    openedAt: new Date().toISOString(),
    originIp: "203.0.113.7",
    isPendingReconnect: false,
  }));
}

test("a tunnel is created, read, listed, renamed; the edge sees its secret", async () => {
  const made = await create();
  expect(made).toMatchObject({ name: "office", account_tag: account_id, status: "inactive", config_src: "cloudflare" });
  expect(made.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/);
  expect(JSON.stringify(made)).not.toContain(secret);
  expect(await tunnels().get(made.id!, { account_id })).toEqual(made);
  await create("second");
  const found = [];
  for await (const one of tunnels().list({ account_id, name: "office", is_deleted: false })) found.push(one.id);
  expect(found).toEqual([made.id]);
  expect((await tunnels().edit(made.id!, { account_id, name: "hq" })).name).toBe("hq");
  expect(h.account.tunnel(made.id!)?.secret).toEqual(Buffer.alloc(32, 7));
});

test("lists come in pages", async () => {
  for (const name of ["a", "b", "c"]) await create(name);
  const first = await tunnels().list({ account_id, per_page: 2 });
  expect(first.result.map((one) => one.name)).toEqual(["a", "b"]);
  expect(first.result_info).toMatchObject({ page: 1, per_page: 2, count: 2, total_count: 3, total_pages: 2 });
  expect((await first.getNextPage()).result.map((one) => one.name)).toEqual(["c"]);
});

test("the connector's token carries account, tunnel and secret", async () => {
  const made = await create();
  const token = await tunnels().token.get(made.id!, { account_id });
  expect(JSON.parse(Buffer.from(token, "base64").toString())).toEqual({ a: account_id, t: made.id, s: secret });
});

test("a taken name is refused with 1013, a short secret and an unknown field with their names", async () => {
  await create();
  expect(await refusalOf(create())).toMatchObject({ status: 409, code: 1013 });
  const short = Buffer.alloc(31).toString("base64");
  const refusal = await refusalOf(tunnels().create({ account_id, name: "x", tunnel_secret: short }));
  expect(refusal).toMatchObject({ status: 400, message: expect.stringMatching(/tunnel_secret.*32 bytes/) });
  const path = `/accounts/${account_id}/cfd_tunnel`;
  const unknown = await raw(h.url, "POST", path, { name: "x", config_source: "cloudflare" });
  expect(unknown).toMatchObject({ status: 400, errors: [{ source: { pointer: "/config_source" } }] });
  const mistyped = await raw(h.url, "POST", path, { name: 7, config_src: "cloud" });
  expect(mistyped.errors.map((one) => one.source?.pointer)).toEqual(["/name", "/config_src"]);
});

test("a tunnel with live connections is not deleted; afterwards it is marked as deleted, its name free", async () => {
  const made = await create();
  h.account.setConnections(made.id!, connections(4));
  expect((await tunnels().get(made.id!, { account_id })).status).toBe("healthy");
  const [connector] = (await tunnels().connections.get(made.id!, { account_id })).result;
  expect(connector).toMatchObject({ version: "2026.11.0", arch: "darwin_arm64" });
  expect(connector?.conns?.map((one) => one.colo_name)).toEqual(["icn01", "icn01", "icn01", "icn01"]);
  expect(await refusalOf(tunnels().delete(made.id!, { account_id }))).toMatchObject({ status: 400, code: 1022 });
  h.account.setConnections(made.id!, connections(1));
  expect((await tunnels().get(made.id!, { account_id })).status).toBe("degraded");
  await tunnels().connections.delete(made.id!, { account_id });
  expect((await tunnels().get(made.id!, { account_id })).status).toBe("down");
  expect((await tunnels().delete(made.id!, { account_id })).id).toBe(made.id);
  expect(await tunnels().get(made.id!, { account_id })).toMatchObject({ deleted_at: expect.any(String) });
  expect(await refusalOf(tunnels().delete(made.id!, { account_id }))).toMatchObject({ status: 404 });
  expect(h.account.tunnel(made.id!)).toBeUndefined();
  const gone = (await tunnels().list({ account_id, is_deleted: true })).result;
  expect(gone.map((one) => one.id)).toEqual([made.id]);
  expect(gone[0]?.deleted_at).toBeTruthy();
  await create();
});

const rule = {
  hostname: "slm.example.com",
  service: "http://127.0.0.1:8080",
  originRequest: { access: { audTag: ["x"], teamName: "acme", required: true }, keepAliveTimeout: 120 },
};
const catchAll = { service: "http_status:404" };

test("a configuration is put and read; its version rises, and the edge is told", async () => {
  const made = await create();
  expect(await refusalOf(tunnels().configurations.get(made.id!, { account_id }))).toMatchObject({ status: 404 });
  const told: (string | undefined)[] = [];
  const stop = h.account.onChange((id) => told.push(id));
  const path = `/accounts/${account_id}/cfd_tunnel/${made.id}/configurations`;
  const first = await raw(h.url, "PUT", path, { config: { ingress: [rule, catchAll] } });
  expect(first.result).toMatchObject({
    account_id,
    tunnel_id: made.id,
    version: 1,
    source: "cloudflare",
    config: { ingress: [rule, catchAll] },
  });
  await raw(h.url, "PUT", path, { config: { ingress: [catchAll] } });
  stop();
  await raw(h.url, "PUT", path, { config: { ingress: [rule, catchAll] } });
  expect(told).toEqual([made.id, made.id]);
  expect((await tunnels().configurations.get(made.id!, { account_id })).version).toBe(3);
  expect(h.account.configuration(made.id!)).toEqual({ version: 3, config: { ingress: [rule, catchAll] } });
});

test("a configuration without a catch-all at its end, or with an unknown origin setting, is refused", async () => {
  const made = await create();
  const path = `/accounts/${account_id}/cfd_tunnel/${made.id}/configurations`;
  const put = (ingress: unknown[]) => raw(h.url, "PUT", path, { config: { ingress } });
  expect((await put([rule])).errors[0]?.message).toMatch(/last ingress rule must match all URLs/);
  expect((await put([catchAll, rule, catchAll])).errors[0]?.message).toMatch(/Rule #1 is matching all URLs/);
  const setting = await put([{ ...rule, originRequest: { keepAliveTimeout: "120s" } }, catchAll]);
  expect(setting.errors[0]?.source?.pointer).toBe("/config/ingress/0/originRequest/keepAliveTimeout");
  const access = await put([{ ...rule, originRequest: { access: { audTags: ["x"], teamName: "a" } } }, catchAll]);
  expect(access.status).toBe(400);
  expect(access.errors.map((one) => one.message).join()).toMatch(/audTag/);
  expect((await put([{ service: "127.0.0.1:8080" }])).status).toBe(400);
});
