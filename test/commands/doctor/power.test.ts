import { describe, expect, it } from "vitest";
import { autoLogin } from "../../../commands/doctor/checks/auto-login.ts";
import { fileVault } from "../../../commands/doctor/checks/file-vault.ts";
import { lastStarts, readBoots } from "../../../commands/doctor/checks/last-starts.ts";
import { powerRestart } from "../../../commands/doctor/checks/power-restart.ts";
import { sleep } from "../../../commands/doctor/checks/sleep.ts";
import { updates } from "../../../commands/doctor/checks/updates.ts";
import { ups } from "../../../commands/doctor/checks/ups.ts";
import { readPmset } from "../../../commands/doctor/pmset.ts";
import { evaluate, said } from "./evaluate.ts";
import { lastStudio, pmsetImac, pmsetLive, pmsetMini, softwareUpdate } from "./recorded.ts";

describe("unattended recovery", () => {
  it("reads FileVault from exit code and output", () => {
    expect(evaluate(fileVault, { active: said("false\n", 1) }).level).toBe("ok");
    expect(evaluate(fileVault, { active: said("true\n") })).toMatchObject({
      level: "fail",
      means: expect.stringContaining("password"),
    });
    expect(evaluate(fileVault, { active: said("", 127) }).found).toMatch(/^unknown/);
  });

  it("reads names with spaces and values with a note", () => {
    expect(readPmset(pmsetMini).get("Sleep On Power Button")).toBe("1");
    expect(readPmset(pmsetLive, "Currently in use").get("sleep")).toBe("15");
    expect(readPmset(`Battery Power:\n sleep 1\n${pmsetMini}`).get("sleep")).toBe("0");
  });

  it("accepts either setting that switches the Mac on", () => {
    expect(evaluate(powerRestart, { power: said(pmsetMini) })).toMatchObject({ level: "ok", found: /\(autorestart\)/ });
    const always = pmsetMini
      .replace("autorestartatconnect 0", "autorestartatconnect 1")
      .replace(/( autorestart +)1/, "$10");
    expect(evaluate(powerRestart, { power: said(always) })).toMatchObject({
      level: "ok",
      found: /\(autorestartatconnect\)/,
    });
    expect(evaluate(powerRestart, { power: said(pmsetImac) })).toMatchObject({
      level: "fail",
      todo: /pmset -a autorestart 1/,
    });
    expect(evaluate(powerRestart, { power: said("") }).found).toMatch(/^unknown/);
  });

  it("does not mistake disksleep or displaysleep for sleep", () => {
    expect(evaluate(sleep, { power: said(pmsetMini) })).toMatchObject({ level: "ok", found: "never" });
    expect(evaluate(sleep, { power: said(pmsetImac) })).toMatchObject({ level: "fail", found: /^after 15 min/ });
  });

  it("warns of a UPS that shuts the Mac down", () => {
    expect(evaluate(ups, { ups: said("") }).level).toBe("ok");
    const off = "UPS settings:\n  haltlevel\toff\t20\n  haltafter\toff\t5\n  haltremain\toff\t10\n";
    expect(evaluate(ups, { ups: said(off) }).level).toBe("ok");
    expect(evaluate(ups, { ups: said(off.replace("haltlevel\toff", "haltlevel\ton")) })).toMatchObject({
      level: "warn",
      found: "shuts the Mac down by haltlevel 20",
      means: expect.stringContaining("may stay off"),
    });
  });

  it("distinguishes orderly starts from power cuts; the oldest start has no known cause", () => {
    expect(readBoots(lastStudio)).toEqual([
      { at: "Mon Aug 24 08:17", clean: false },
      { at: "Mon Aug 24 07:40", clean: false },
      { at: "Sun Aug 23 21:35", clean: false },
      { at: "Thu Aug 13 11:14", clean: true },
      { at: "Sat Aug  8 15:09", clean: false },
    ]);
    expect(evaluate(lastStarts, { boots: said(lastStudio), panics: said("") })).toMatchObject({
      level: "ok",
      found: expect.stringMatching(/^Mon Aug 24 08:17 \(power lost\);.*Aug 13 11:14 \(restarted\)/),
    });
    expect(evaluate(lastStarts, { boots: said("wtmp begins Tue Jan 13\n"), panics: said("") }).found).toMatch(
      /^unknown/,
    );
  });

  it("attributes a start with a panic report to macOS", () => {
    const panics = "panic-full-2026-08-24-081802.0002.panic\npanic-full-2026-08-23-120000.0002.panic\n";
    const found = evaluate(lastStarts, { boots: said(lastStudio), panics: said(panics) });
    expect(found).toMatchObject({ level: "warn", todo: expect.stringContaining("DiagnosticReports") });
    expect(found.found).toMatch(/^Mon Aug 24 08:17 \(macOS crashed\); Mon Aug 24 07:40 \(power lost\)/);
  });

  it("warns of automatic updates and automatic login", () => {
    expect(evaluate(updates, { updates: said(softwareUpdate) })).toMatchObject({ level: "warn", found: "on" });
    expect(
      evaluate(updates, { updates: said(softwareUpdate.replace("MacOSUpdates = 1", "MacOSUpdates = 0")) }).level,
    ).toBe("ok");
    expect(evaluate(updates, { updates: said("", 1) }).found).toMatch(/not set/);
    expect(evaluate(autoLogin, { user: said("", 1) }).level).toBe("ok");
    expect(evaluate(autoLogin, { user: said("director\n") })).toMatchObject({ level: "warn", found: "as director" });
  });
});
