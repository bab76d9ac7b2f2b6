import { describe, expect, it } from "vitest";
import { durationMs, inWords, rfc3339 } from "../../../scripts/rotate/durations.ts";
import { plan, type Wish } from "../../../scripts/rotate/plan.ts";

const now = Date.parse("2026-11-22T10:00:00Z");
const day = 86_400_000;
const wish: Wish = { what: "rotate", overlapMs: 7 * day, force: false, now, endOfLife: now + 300 * day };

describe("a rotation", () => {
  it("is one version more and a fixed end of the overlap, nothing else", () => {
    const expected = { secretVersion: 2, previousSecretExpiresAt: "2026-11-29T10:00:00Z" };
    expect(plan("backend", {}, wish)).toEqual(expected);
    expect(plan("backend", { secretVersion: 1 }, { ...wish, endOfLife: undefined })).toEqual(expected);
  });

  it("is refused inside an overlap with the time at which it becomes possible, and possible from then on", () => {
    const inside = { secretVersion: 2, previousSecretExpiresAt: "2026-11-25T12:00:00Z" };
    expect(() => plan("backend", inside, wish)).toThrow(/becomes possible in 3 days, at 2026-11-25T12:00:00Z/);
    expect(plan("backend", inside, { ...wish, force: true }).secretVersion).toBe(3);
    const later = { ...wish, now: Date.parse("2026-11-25T12:00:00Z") };
    expect(plan("backend", inside, later)).toMatchObject({ secretVersion: 3 });
  });

  it("is refused with an overlap that `pulumi up` would stop, unless forced", () => {
    expect(() => plan("backend", {}, { ...wish, overlapMs: 59 * 60_000 })).toThrow(/--overlap is 59 minutes/);
    const forced = plan("backend", {}, { ...wish, overlapMs: 60_000, force: true });
    expect(forced.previousSecretExpiresAt).toBe("2026-11-22T10:01:00Z");
  });

  it("prolongs a token that would end soon, or before the overlap does", () => {
    expect(plan("backend", {}, { ...wish, endOfLife: now + 89 * day }).duration).toBe("17520h");
    expect(plan("backend", { duration: "100h30m" }, { ...wish, endOfLife: now - day }).duration).toBe("8861h");
    expect(plan("backend", {}, { ...wish, overlapMs: 200 * day, endOfLife: now + 150 * day }).duration).toBe("17520h");
    expect(plan("backend", {}, { ...wish, what: "prolong" })).toEqual({ duration: "17520h" });
    expect(() => plan("backend", { duration: "forever" }, { ...wish, what: "prolong" })).toThrow(
      /"forever", which is no length/,
    );
  });

  it("moves only the end of an overlap when asked to extend it", () => {
    const pending = { secretVersion: 2, previousSecretExpiresAt: "2026-11-22T10:20:00Z" };
    expect(plan("backend", pending, { ...wish, what: "extend" })).toEqual({
      previousSecretExpiresAt: "2026-11-29T10:00:00Z",
    });
    expect(() => plan("backend", {}, { ...wish, what: "extend" })).toThrow(/never been rotated/);
  });
});

describe("lengths of time", () => {
  it.each([
    ["7d", 7 * day],
    ["1d12h", 1.5 * day],
    ["90s", 90_000],
    ["8760h", 365 * day],
    ["2w", 14 * day],
    ["", undefined],
    ["7", undefined],
    ["-7d", undefined],
    ["7 d", undefined],
  ])("%j", (text, ms) => {
    expect(durationMs(text)).toBe(ms);
  });

  it("are told in the unit that fits, and times to the second", () => {
    expect([7 * day, 2 * 3_600_000, 90 * 60_000, 60_000].map(inWords)).toEqual([
      "7 days",
      "2 hours",
      "90 minutes",
      "1 minute",
    ]);
    expect(rfc3339(now + 1)).toBe("2026-11-22T10:00:01Z");
  });
});
