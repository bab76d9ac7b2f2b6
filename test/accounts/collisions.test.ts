import { expect, it } from "vitest";
import type { Tunnel } from "../../accounts/cloudflare.ts";
import { deletedTunnelFindings } from "../../accounts/collisions.ts";

const tunnel = { id: "t1", name: "slm-network-prod" } as Tunnel;

it("finds the state's tunnel that the account no longer lists", () => {
  expect(deletedTunnelFindings([], ["t1"])).toMatchObject([
    { level: "fail", id: "cloudflare.tunnel", says: expect.stringContaining("t1 was deleted in the dashboard") },
  ]);
  expect(deletedTunnelFindings([tunnel], ["t1"])).toEqual([]);
  expect(deletedTunnelFindings([], undefined)).toEqual([]);
});
