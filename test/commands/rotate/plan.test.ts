import { describe, expect, it } from "vitest";
import { rotationProblem } from "../../../accounts/rotation.ts";
import { durationMs, inWords, rfc3339 } from "../../../commands/rotate/durations.ts";
import { deployBefore, plan, type Wish } from "../../../commands/rotate/plan.ts";
import { checkWritten } from "../../../commands/rotate/validate.ts";

const now = Date.parse("2026-11-22T10:00:00Z");
const day = 86_400_000;
const wish: Wish = { what: "rotate", overlapMs: 7 * day, force: false, now, endOfLife: now + 300 * day };

describe("a rotation", () => {
  it("increments the version and sets a fixed end of the overlap, nothing else", () => {
    const expected = { secretVersion: 2, previousSecretExpiresAt: "2026-11-29T10:00:00Z" };
    expect(plan("backend", {}, wish)).toEqual(expected);
    expect(plan("backend", { secretVersion: 1 }, { ...wish, endOfLife: undefined })).toEqual(expected);
  });

  it("is refused inside an overlap, with the time from which it is possible", () => {
    const inside = { secretVersion: 2, previousSecretExpiresAt: "2026-11-25T12:00:00Z" };
    expect(() => plan("backend", inside, wish)).toThrow(/becomes possible in 3 days, at 2026-11-25T12:00:00Z/);
    expect(plan("backend", inside, { ...wish, force: true }).secretVersion).toBe(3);
    const later = { ...wish, now: Date.parse("2026-11-25T12:00:00Z") };
    expect(plan("backend", inside, later)).toMatchObject({ secretVersion: 3 });
  });

  it.each([
    ["20s", "20 seconds"],
    ["59m", "59 minutes"],
    ["1h", "60 minutes"],
    ["3600s", "60 minutes"],
    ["61m", "61 minutes"],
    ["119m59s", "119 minutes"],
  ])(
    "and an extension are refused with an overlap of %s, which a later `pulumi up` would stop, unless forced",
    (overlap, shown) => {
      const overlapMs = durationMs(overlap)!;
      const pending = { secretVersion: 2, previousSecretExpiresAt: "2026-11-22T09:00:00Z" };
      const refusal = new RegExp(`--overlap is ${shown}: .*The least is 2 hours: --overlap 2h`);
      for (const what of ["rotate", "extend"] as const) {
        expect(() => plan("backend", pending, { ...wish, what, overlapMs })).toThrow(refusal);
        const forced = plan("backend", pending, { ...wish, what, overlapMs, force: true });
        expect(forced.previousSecretExpiresAt).toBe(rfc3339(now + overlapMs));
      }
    },
  );

  it("with the shortest overlap passes the program's rule now and until `up` runs", () => {
    const overlapMs = durationMs("2h")!;
    const change = plan("backend", {}, { ...wish, overlapMs });
    const wanted = { name: "backend", secretVersion: 2, ...change };
    const upAt = (minutes: number) => rotationProblem(wanted, { version: 1 }, now + minutes * 60_000);
    expect([0, 1, 60].map(upAt)).toEqual([undefined, undefined, undefined]);
    expect(upAt(61)).toMatch(/ends in 59 min/);
    expect(deployBefore(change.previousSecretExpiresAt!)).toBe(now + 3_600_000);
  });

  it("is refused when it ends after the last time that the config accepts, with the limit", () => {
    for (const overlap of ["3000000d", "999999999999999999999d"]) {
      const overlapMs = durationMs(overlap)!;
      const limit = /after the year 9999.*at most 2912117d/;
      for (const force of [false, true])
        expect(() => plan("backend", {}, { ...wish, overlapMs, force })).toThrow(limit);
    }
    const most = plan("backend", {}, { ...wish, overlapMs: durationMs("2912117d")! });
    expect(most.previousSecretExpiresAt).toMatch(/^9999-/);
  });

  it.each([
    ["the file has lost its lines", {}, { version: 3 }, /secretVersion is 2, and 3 is deployed: put secretVersion: 3/],
    [
      "the deployed overlap still runs, whatever the file says",
      { secretVersion: 2, previousSecretExpiresAt: "2026-11-22T09:00:00Z" },
      { version: 2, previousExpiresAt: "2026-11-25T12:00:00Z" },
      /works until 2026-11-25T12:00:00Z.*becomes possible then/,
    ],
  ])("is refused as `pulumi up` would when %s, unless forced", (_what, settings, deployed, reason) => {
    expect(() => plan("backend", settings, { ...wish, deployed })).toThrow(reason);
    expect(() => plan("backend", settings, { ...wish, deployed, force: true })).not.toThrow();
    expect(plan("backend", settings, { ...wish, deployed: undefined }).secretVersion).toBeGreaterThan(1);
  });

  it("prolongs a token that expires soon, or before the overlap ends", () => {
    expect(plan("backend", {}, { ...wish, endOfLife: now + 89 * day }).duration).toBe("17520h");
    expect(plan("backend", { duration: "100h30m" }, { ...wish, endOfLife: now - day }).duration).toBe("8861h");
    expect(plan("backend", {}, { ...wish, overlapMs: 200 * day, endOfLife: now + 150 * day }).duration).toBe("17520h");
    expect(plan("backend", {}, { ...wish, what: "prolong" })).toEqual({ duration: "17520h" });
    expect(() => plan("backend", { duration: "forever" }, { ...wish, what: "prolong" })).toThrow(
      /"forever", which is not a duration/,
    );
    const endless = { duration: `${"9".repeat(30)}h` };
    expect(() => plan("backend", endless, { ...wish, what: "prolong" })).toThrow(/cannot be made longer/);
  });

  it("with --extend moves only the end of the overlap", () => {
    const pending = { secretVersion: 2, previousSecretExpiresAt: "2026-11-22T10:20:00Z" };
    expect(plan("backend", pending, { ...wish, what: "extend" })).toEqual({
      previousSecretExpiresAt: "2026-11-29T10:00:00Z",
    });
    expect(() => plan("backend", {}, { ...wish, what: "extend" })).toThrow(/never been rotated/);
  });
});

describe("the written config", () => {
  const file = (entry: string) =>
    `config:\n  slm-network:access:\n    servers:\n      - { name: other, weight: -1 }\n      - { name: backend, ${entry} }\n`;

  it("passes when the program accepts it; other problems of the file are left to `up`", () => {
    const change = { secretVersion: 2, previousSecretExpiresAt: "2026-11-29T10:00:00Z" };
    const entry = 'secretVersion: 2, previousSecretExpiresAt: "2026-11-29T10:00:00Z"';
    expect(() => checkWritten(file(entry), "backend", change)).not.toThrow();
  });

  it.each([
    ["previousSecretExpiresAt: 2026-11-29", { previousSecretExpiresAt: "x" }, /previousSecretExpiresAt /],
    ['duration: "1e+21h"', { duration: "1e+21h" }, /duration .*is not a duration/],
    ["secretVersion: 1.5", { secretVersion: 1.5 }, /secretVersion .*whole number/],
  ])("is refused when the program refuses it: %s", (entry, change, reason) => {
    expect(() => checkWritten(file(entry), "backend", change)).toThrow(reason);
  });
});

describe("durations", () => {
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

  it("are printed in the unit that fits, times to the second", () => {
    expect([7 * day, 2 * 3_600_000, 90 * 60_000, 60_000, 30_000].map(inWords)).toEqual([
      "7 days",
      "2 hours",
      "90 minutes",
      "1 minute",
      "30 seconds",
    ]);
    expect(rfc3339(now + 1)).toBe("2026-11-22T10:00:01Z");
  });
});
