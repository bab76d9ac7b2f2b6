/** The calls of docs/routes.md, sent as they stand there to the emulated API. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { z } from "zod";
import { account_id, type Harness, raw, secret, startHarness } from "../sandbox/cloudflare/harness.ts";

const text = readFileSync(join(import.meta.dirname, "../../docs/routes.md"), "utf8");
const calls = [
  ...text.matchAll(/^\s*(\w+)=\$\(curl -sX (\w+) "\$API([^"]+)" -H "\$AUTH" --json '(.*)' \|.*jq -r \.result\.id\)$/gm),
].map(([, variable = "", method = "", path = "", body = ""]) => ({ variable, method, path, body }));

let h: Harness;
beforeAll(async () => {
  h = await startHarness();
});
afterAll(() => h.close());

it("the recipe's calls are taken one after the other, each with what the ones before gave", async () => {
  expect(calls.map(({ variable }) => variable)).toEqual(["TOKEN_ID", "POLICY_ID", "APP_ID", "ROUTE_ID"]);
  const tunnel = await h.client.zeroTrust.tunnels.cloudflared.create({
    account_id,
    name: "office",
    tunnel_secret: secret,
  });
  const values: Record<string, string> = { ACCOUNT: account_id, TUNNEL_ID: tunnel.id! };
  // As the shell does: '…'$NAME'…' and $NAME.
  const filled = (part: string) => part.replace(/'?\$(\w+)'?/g, (_, name: string) => values[name] ?? `no ${name}`);
  for (const { variable, method, path, body } of calls) {
    const answer = await raw(h.url, method, filled(path), filled(body));
    expect(answer.errors, variable).toEqual([]);
    values[variable] = z.object({ id: z.string() }).parse(answer.result).id;
  }
  const warp = await h.client.zeroTrust.access.applications.get(values.APP_ID!, { account_id });
  expect(warp).toMatchObject({ type: "warp", policies: [{ id: values.POLICY_ID, decision: "non_identity" }] });
  const route = await h.client.zeroTrust.networks.hostnameRoutes.get(values.ROUTE_ID!, { account_id });
  expect(route).toMatchObject({ tunnel_id: tunnel.id });
});
