import { describe, expect, it } from "vitest";
import type { Answer } from "../../../commands/doctor/finding.ts";
import {
  autoLoginFinding,
  bootsFinding,
  fileVaultFinding,
  readBoots,
  readPmset,
  restartFinding,
  sleepFinding,
  updatesFinding,
  upsFinding,
} from "../../../commands/doctor/power.ts";
import { lastStudio, pmsetImac, pmsetLive, pmsetMini, softwareUpdate } from "./recorded.ts";

const said = (stdout: string, exitCode = 0): Answer => ({ exitCode, stdout, stderr: "" });

describe("does it come back by itself", () => {
  it("reads FileVault by exit code and word", () => {
    expect(fileVaultFinding(said("false\n", 1)).level).toBe("ok");
    expect(fileVaultFinding(said("true\n"))).toMatchObject({
      level: "fail",
      means: expect.stringContaining("password"),
    });
    expect(fileVaultFinding(said("", 127)).found).toMatch(/^not known/);
  });

  it("reads names with spaces and values with a note", () => {
    expect(readPmset(pmsetMini).get("Sleep On Power Button")).toBe("1");
    expect(readPmset(pmsetLive, "Currently in use").get("sleep")).toBe("15");
    expect(readPmset(`Battery Power:\n sleep 1\n${pmsetMini}`).get("sleep")).toBe("0");
  });

  it("accepts either key that switches the Mac on", () => {
    expect(restartFinding(said(pmsetMini))).toMatchObject({ level: "ok", found: /\(autorestart\)/ });
    const always = pmsetMini
      .replace("autorestartatconnect 0", "autorestartatconnect 1")
      .replace(/( autorestart +)1/, "$10");
    expect(restartFinding(said(always))).toMatchObject({ level: "ok", found: /\(autorestartatconnect\)/ });
    expect(restartFinding(said(pmsetImac))).toMatchObject({ level: "fail", todo: /pmset -a autorestart 1/ });
    expect(restartFinding(said("")).found).toMatch(/^not known/);
  });

  it("does not take disksleep or displaysleep for sleep", () => {
    expect(sleepFinding(said(pmsetMini))).toMatchObject({ level: "ok", found: "never" });
    expect(sleepFinding(said(pmsetImac))).toMatchObject({ level: "fail", found: /^after 15 min/ });
  });

  it("warns of a UPS that shuts the Mac down", () => {
    expect(upsFinding(said("")).level).toBe("ok");
    const off = "UPS settings:\n  haltlevel\toff\t20\n  haltafter\toff\t5\n  haltremain\toff\t10\n";
    expect(upsFinding(said(off)).level).toBe("ok");
    expect(upsFinding(said(off.replace("haltlevel\toff", "haltlevel\ton")))).toMatchObject({
      level: "warn",
      found: "shuts the Mac down by haltlevel 20",
      means: expect.stringContaining("may stay off for good"),
    });
  });

  it("tells orderly starts from those after a cut; what was before the oldest is not known", () => {
    expect(readBoots(lastStudio)).toEqual([
      { at: "Mon Aug 24 08:17", clean: false },
      { at: "Mon Aug 24 07:40", clean: false },
      { at: "Sun Aug 23 21:35", clean: false },
      { at: "Thu Aug 13 11:14", clean: true },
      { at: "Sat Aug  8 15:09", clean: false },
    ]);
    expect(bootsFinding(said(lastStudio), said(""))).toMatchObject({
      level: "ok",
      found: expect.stringMatching(/^Mon Aug 24 08:17 \(power lost\);.*Aug 13 11:14 \(restarted\)/),
    });
    expect(bootsFinding(said("wtmp begins Tue Jan 13\n"), said("")).found).toMatch(/^not known/);
  });

  it("blames macOS for a start with a panic's report", () => {
    const panics = "panic-full-2026-08-24-081802.0002.panic\npanic-full-2026-08-23-120000.0002.panic\n";
    const found = bootsFinding(said(lastStudio), said(panics));
    expect(found).toMatchObject({ level: "warn", todo: expect.stringContaining("DiagnosticReports") });
    expect(found.found).toMatch(/^Mon Aug 24 08:17 \(a crash of macOS\); Mon Aug 24 07:40 \(power lost\)/);
  });

  it("warns of updates that restart the Mac, and of a session that opens by itself", () => {
    expect(updatesFinding(said(softwareUpdate))).toMatchObject({ level: "warn", found: "on" });
    expect(updatesFinding(said(softwareUpdate.replace("MacOSUpdates = 1", "MacOSUpdates = 0"))).level).toBe("ok");
    expect(updatesFinding(said("", 1)).found).toMatch(/not set/);
    expect(autoLoginFinding(said("", 1)).level).toBe("ok");
    expect(autoLoginFinding(said("director\n"))).toMatchObject({ level: "warn", found: "as director" });
  });
});
