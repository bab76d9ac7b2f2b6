import { describe, expect, it } from "vitest";
import { deployedSecrets, endOfLifeWarning, rotationProblem } from "../../accounts/rotation.ts";

const now = Date.parse("2026-11-22T10:00:00Z");
const at = (minutes: number) => new Date(now + minutes * 60_000).toISOString();
const to = (secretVersion: number, minutes?: number) => ({
  name: "backend",
  secretVersion,
  ...(minutes !== undefined && { previousSecretExpiresAt: at(minutes) }),
});

const at1 = { version: 1 };
/** Version 2, whose overlap ends in so many minutes. */
const at2 = (minutes: number) => ({ version: 2, previousExpiresAt: at(minutes) });

describe("the guard of the overlap", () => {
  it.each([
    ["an hour is left", at1, to(2, 60)],
    ["nothing rotates, in the overlap", at2(60), to(2, 60)],
    ["nothing rotates, long after the overlap", at2(-9999), to(2, -9999)],
    ["the end of the overlap is moved", at2(20), to(2, 1)],
    ["the last overlap is over", at2(-1), to(3, 600)],
    ["the token is new", undefined, to(3, -60)],
    ["nothing was ever rotated", at1, to(1)],
  ])("lets through when %s", (_what, deployed, wanted) => {
    expect(rotationProblem(wanted, deployed, now)).toBeUndefined();
  });

  it.each([
    ["59 minutes are left", at1, to(2, 59), /: the overlap .* ends in 59 min.*rotate -- backend --extend/],
    ["the overlap is over", at2(-600), to(3, -60), /has ended, at 2026-11-22T09:00.*rotate -- backend --extend/],
    ["there is no end", at1, to(2), /has no end.*rotate -- backend --extend/],
    [
      "the last rotation's overlap runs",
      at2(90),
      to(3, 600),
      /works until 2026-11-22T11:30:00.000Z.*becomes possible then/,
    ],
    [
      "it goes backwards",
      at2(-600),
      to(1),
      /is 1, and 2 is deployed: put secretVersion: 2 and previousSecretExpiresAt: "2026-11-22T00:00/,
    ],
  ])("stops when %s, and says how to go on", (_what, deployed, wanted, reason) => {
    const fault = rotationProblem(wanted, deployed, now);
    expect(fault).toMatch(/"backend" is not rotated.*SLM_NETWORK_FORCE_ROTATION=1 pulumi up/);
    expect(fault).toMatch(reason);
  });

  it("knows what is deployed by the stack's own state", () => {
    const type = "cloudflare:index/zeroTrustAccessServiceToken:ZeroTrustAccessServiceToken";
    const token = (name: string, outputs: Record<string, unknown>) => ({
      urn: "",
      type,
      name: `slm-token-${name}`,
      outputs,
    });
    const state = [
      token("a", { clientSecretVersion: 2, previousClientSecretExpiresAt: at(1) }),
      token("b", { clientSecretVersion: 1 }),
      { urn: "", type: "another", name: "slm-token-c", outputs: { clientSecretVersion: 7 } },
    ];
    expect(deployedSecrets(["a", "b", "c"], (server) => `slm-token-${server}`, state)).toEqual(
      new Map([
        ["a", { version: 2, previousExpiresAt: at(1) }],
        ["b", { version: 1 }],
      ]),
    );
  });
});

describe("the token's own life", () => {
  it("is spoken of only when it ends soon", () => {
    const day = 24 * 60;
    expect(endOfLifeWarning("backend", at(61 * day), now)).toBeUndefined();
    expect(endOfLifeWarning("backend", "", now)).toBeUndefined();
    expect(endOfLifeWarning("backend", at(59 * day), now)).toMatch(
      /ends in 59 days.*npm run rotate -- backend --prolong/,
    );
    expect(endOfLifeWarning("backend", at(-1), now)).toMatch(/has ended/);
  });
});
