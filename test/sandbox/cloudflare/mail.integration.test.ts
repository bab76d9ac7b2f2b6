import { readdirSync, readFileSync, rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { ConnectorConnection } from "../../../sandbox/cloudflare/edge-view.ts";
import { tokenMails, tunnelMails } from "../../../sandbox/cloudflare/mail.ts";
import { account_id, type Harness, secret, startHarness } from "./harness.ts";

let h: Harness;
let folder: string;
const mails = () =>
  readdirSync(folder)
    .toSorted()
    .map((name) => readFileSync(join(folder, name), "utf8"));
const connection: ConnectorConnection = {
  connectorId: "11111111-1111-4111-8111-111111111111",
  clientVersion: "2026.7.2",
  arch: "darwin_arm64",
  coloName: "icn01",
  openedAt: "2026-11-22T00:00:00Z",
  originIp: "203.0.113.7",
  isPendingReconnect: false,
};
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "slm-mail-"));
  h = await startHarness({ mailDir: folder });
});
afterEach(async () => {
  await h.close();
  rmSync(folder, { recursive: true, force: true });
});

const tunnel = (name: string) =>
  h.client.zeroTrust.tunnels.cloudflared.create({ account_id, name, tunnel_secret: secret });

test("a tunnel's outage and recovery are mailed to that tunnel's policies", async () => {
  const { id } = await tunnel("office");
  const { id: other } = await tunnel("elsewhere");
  const policy = {
    account_id,
    name: "down or back",
    alert_type: "tunnel_health_event" as const,
    enabled: true,
    mechanisms: { email: [{ id: "ops@example.com" }, { id: "boss@example.com" }] },
    filters: { tunnel_id: [id!] },
  };
  await h.client.alerting.policies.create(policy);
  h.account.setConnections(other!, [connection]);
  expect(mails()).toEqual([]);
  h.account.setConnections(id!, [connection, connection]);
  h.account.setConnections(id!, [connection]); // still up
  h.account.setConnections(id!, []);
  const [up, down, ...more] = mails().toSorted((a) => (a.includes("degraded") ? -1 : 1));
  expect(more).toEqual([]);
  expect(up).toMatch(/^To: ops@example\.com, boss@example\.com\r\n/m);
  expect(up).toMatch(/^Subject: Tunnel office is degraded\r\n/m);
  expect(down).toMatch(/^Subject: Tunnel office is down\r\n/m);
});

test.each([
  ["one that is switched off", { enabled: false }, 0],
  ["one for another state", { filters: { new_status: ["TUNNEL_STATUS_TYPE_HEALTHY"] } }, 0],
  ["one for this state", { filters: { new_status: ["TUNNEL_STATUS_TYPE_DOWN"] } }, 1],
  ["one of another kind", { alert_type: "expiring_service_token_alert" }, 0],
  ["one without an address", { mechanisms: {} }, 0],
])("a policy's mails: %s", (_what, change, count) => {
  const policy = {
    name: "p",
    alert_type: "tunnel_health_event",
    enabled: true,
    mechanisms: { email: [{ id: "a@example.com" }] },
    ...change,
  };
  expect(tunnelMails([policy], { id: "t", name: "office" }, "down", new Date())).toHaveLength(count);
});

test("a token is mailed about once, in the week before its expiry", async () => {
  await h.client.alerting.policies.create({
    account_id,
    name: "ends",
    alert_type: "expiring_service_token_alert",
    enabled: true,
    mechanisms: { email: [{ id: "ops@example.com" }] },
  });
  const token = await h.client.zeroTrust.access.serviceTokens.create({ account_id, name: "backend", duration: "240h" });
  const end = h.account.state.serviceTokens[token.id!]?.expires_at ?? "";
  const days = (count: number) => new Date(Date.parse(end) - count * 86_400_000);
  h.account.tellEndingTokens(days(8));
  expect(mails()).toEqual([]);
  h.account.tellEndingTokens(days(6));
  h.account.tellEndingTokens(days(5));
  expect(mails()).toHaveLength(1);
  expect(mails()[0]).toMatch(/Subject: Access service token backend ends soon/);
  expect(tokenMails([], [{ id: "1", name: "n", expires_at: null }], new Date())).toEqual([]);
});
