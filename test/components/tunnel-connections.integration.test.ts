import { randomUUID } from "node:crypto";
import { describe, expect, it } from "vitest";
import { cloudflareLookups } from "../../accounts/cloudflare.ts";
import { failure, type LookupResult, success } from "../../accounts/lookup-result.ts";
import { diff, remove } from "../../components/tunnel-connections-provider.ts";
import { account_id, refusalOf, secret, startHarness } from "../sandbox/cloudflare/harness.ts";

const state = { accountId: "a", tunnelId: "t" };
const counts = (...results: LookupResult<number>[]) => {
  const asked: number[] = [];
  const lookups = { tunnelConnections: async () => results[asked.push(1) - 1] ?? success(0) };
  return { asked, lookups };
};

describe("before the tunnel is deleted", () => {
  it("waits until Cloudflare counts no connection, and says once for what", async () => {
    const said: string[] = [];
    const { asked, lookups } = counts(success(4), success(1), success(0));
    await remove(state, { lookups, pauseMs: 1, log: (text) => said.push(text) });
    expect(asked).toHaveLength(3);
    expect(said).toEqual([expect.stringMatching(/waiting up to 180 s until Cloudflare counts no connection/)]);
  });

  it("goes on at the end of its time: the deletion then reports the connections", async () => {
    const lookups = { tunnelConnections: async () => success(4) };
    await remove(state, { lookups, withinMs: 5, pauseMs: 1, log: () => {} });
  });

  it.each([
    [
      "says why it did not wait",
      failure({ kind: "no-credentials", subject: "the connections", reason: "no token" }),
      1,
    ],
    [
      "is silent for a tunnel that is gone",
      failure({ kind: "not-found", subject: "the connections", reason: "none" }),
      0,
    ],
  ] as const)("%s", async (_what, result, lines) => {
    const said: string[] = [];
    await remove(state, { ...counts(result), log: (text) => said.push(text) });
    expect(said).toHaveLength(lines);
  });

  it("is an update in place for another tunnel, and asks nothing in a preview", async () => {
    expect(await diff(state, state)).toMatchObject({ changes: false, replaces: [] });
    expect(await diff(state, { ...state, tunnelId: "u" })).toMatchObject({ changes: true, replaces: [] });
  });

  it("lets the deletion through that Cloudflare refuses while an ended connection still counts", async () => {
    const h = await startHarness({ connectionLagMs: 300 });
    try {
      const tunnels = h.client.zeroTrust.tunnels.cloudflared;
      const { id = "" } = await tunnels.create({ account_id, name: "office", tunnel_secret: secret });
      const connection = {
        connectorId: randomUUID(),
        clientVersion: "2026.7.2",
        arch: "darwin_arm64",
        coloName: "icn01",
        openedAt: new Date().toISOString(),
        originIp: "192.0.2.1",
        isPendingReconnect: false,
      };
      h.account.setConnections(id, [connection]);
      h.account.setConnections(id, []);
      expect(await refusalOf(tunnels.delete(id, { account_id }))).toMatchObject({ status: 400, code: 1022 });
      const lookups = cloudflareLookups({ apiToken: "all-token", baseUrl: h.url });
      await remove({ accountId: account_id, tunnelId: id }, { lookups, pauseMs: 20, log: () => {} });
      await tunnels.delete(id, { account_id });
    } finally {
      await h.close();
    }
  });
});
