import { describe, expect, it } from "vitest";
import { endOfLifeWarning, rotationFault } from "../../components/rotation.ts";

const now = Date.parse("2026-11-22T10:00:00Z");
const at = (minutes: number) => new Date(now + minutes * 60_000).toISOString();
const to = (secretVersion: number, minutes?: number) => ({
  name: "backend",
  secretVersion,
  ...(minutes !== undefined && { previousSecretExpiresAt: at(minutes) }),
});

describe("the guard of the overlap", () => {
  it.each([
    ["an hour is left", 1, to(2, 60)],
    ["nothing rotates, long after the overlap", 2, to(2, -9999)],
    ["the token is new", undefined, to(3, -60)],
    ["nothing was ever rotated", 1, to(1)],
  ])("lets through when %s", (_what, deployed, wanted) => {
    expect(rotationFault(wanted, deployed, now)).toBeUndefined();
  });

  it.each([
    ["59 minutes are left", 1, to(2, 59), /"backend" is not rotated.*ends in 59 min/],
    ["the overlap is over", 2, to(3, -60), /has ended, at 2026-11-22T09:00/],
    ["there is no end", 1, to(2), /has no end/],
  ])("stops when %s, and says how to go on", (_what, deployed, wanted, reason) => {
    const fault = rotationFault(wanted, deployed, now);
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
