import { describe, expect, it } from "vitest";
import { endOfLifeWarning, rotationFault } from "../../components/rotation.ts";

const now = Date.parse("2026-11-22T10:00:00Z");
const at = (minutes: number) => new Date(now + minutes * 60_000).toISOString();
const to = (version: number, minutes?: number) => ({
  clientSecretVersion: version,
  ...(minutes !== undefined && { previousClientSecretExpiresAt: at(minutes) }),
});

describe("the guard of the overlap", () => {
  it.each([
    ["an hour is left", to(1), to(2, 60)],
    ["nothing rotates, long after the overlap", to(2, -9999), to(2, -9999)],
    ["only the end of the overlap moves", to(2, 5), to(2, -5)],
    ["the version was never written", {}, to(1)],
  ])("lets through when %s", (_what, old, wanted) => {
    expect(rotationFault("backend", old, wanted, now)).toBeUndefined();
  });

  it.each([
    ["59 minutes are left", to(1), to(2, 59), /"backend" is not rotated.*ends in 59 min/],
    ["the overlap is over", to(2, -60), to(3, -60), /has ended, at 2026-11-22T09:00/],
    ["the first version was never written", {}, to(2, 1), /ends in 1 min/],
    ["there is no end", to(1), to(2), /has no end/],
  ])("stops when %s, and says how to go on", (_what, old, wanted, reason) => {
    const fault = rotationFault("backend", old, wanted, now);
    expect(fault).toMatch(reason);
    expect(fault).toMatch(/npm run rotate -- backend --extend.*SLM_NETWORK_FORCE_ROTATION=1 pulumi up/);
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
