import { describe, expect, it } from "vitest";
import type { Answer } from "../../../commands/doctor/finding.ts";
import { size } from "../../../commands/doctor/finding.ts";
import {
  chipFinding,
  clockFinding,
  diskFinding,
  macosFinding,
  metalFinding,
  remoteLoginFinding,
  sudoFinding,
} from "../../../commands/doctor/machine.ts";
import { jobsSchema } from "../../../runtime/config.ts";
import { df, displaysM2, swVers } from "./recorded.ts";

const said = (stdout: string, exitCode = 0): Answer => ({ exitCode, stdout, stderr: "" });
const refusedBy = (stderr: string): Answer => ({ exitCode: 1, stdout: "", stderr });

describe("the machine", () => {
  it("reads macOS' version and refuses one that is too old", () => {
    expect(macosFinding(said(swVers))).toEqual({ check: "macOS", level: "ok", found: "14.2.1 (23C71)" });
    expect(macosFinding(said(swVers.replace("14.2.1", "26.5"))).level).toBe("ok");
    expect(macosFinding(said(swVers.replace("14.2.1", "13.4"))).level).toBe("fail");
    expect(macosFinding(said(swVers.replace("14.2.1", "12.7.6")))).toMatchObject({
      level: "fail",
      means: expect.stringContaining("13.5"),
    });
  });

  it("reads the chip, and says what an Intel Mac needs", () => {
    expect(chipFinding(said("arm64\nApple M4 Max\n137438953472\n"))).toEqual({
      check: "chip",
      level: "ok",
      found: "Apple M4 Max, 128 GiB of memory",
    });
    const intel = chipFinding(said("x86_64\nIntel(R) Core(TM) i9-9900K CPU @ 3.60GHz\n34359738368\n"));
    expect(intel).toMatchObject({ level: "fail", todo: expect.stringContaining("artifacts.node") });
  });

  it("compares the free disk with what jobs need", () => {
    const jobs = jobsSchema.parse({});
    expect(diskFinding(said(df), { jobs })).toEqual({ check: "disk", level: "ok", found: "417 GiB free of 926 GiB" });
    expect(diskFinding(said(df.replace("437412032", " 10485760")), { jobs }).level).toBe("warn");
    expect(diskFinding(said(df.replace("437412032", "  1048576")), { jobs })).toMatchObject({
      level: "fail",
      found: "1 GiB free of 926 GiB",
      means: expect.stringContaining("disk_low"),
    });
    expect([size(512), size(1536), size(1024 ** 4)]).toEqual(["512 KiB", "1.5 MiB", "1024 TiB"]);
  });

  it("compares the clock with the operator's, and counts the time of asking as no difference", () => {
    const at = (from: number, to: number) => ({ asked: { from: from * 1000, to: to * 1000 } });
    expect(clockFinding(said("1000\n"), at(1000.9, 1001.2))).toMatchObject({ level: "ok", found: "as the one here" });
    expect(clockFinding(said("1000\n"), at(995, 1004))).toMatchObject({ level: "ok", found: "as the one here" });
    expect(clockFinding(said("1000\n"), at(990, 991))).toMatchObject({ level: "warn", found: /^9 s ahead/ });
    expect(clockFinding(said("1000\n"), at(1100, 1101))).toMatchObject({ level: "fail", found: /^99 s behind/ });
  });

  it("sees Metal, and its absence", () => {
    expect(metalFinding(said(displaysM2))).toEqual({
      check: "Metal",
      level: "ok",
      found: "Apple M2 Pro, 16 cores, Metal 3",
    });
    expect(metalFinding(said("Graphics/Displays:\n\n"))).toMatchObject({ level: "fail", found: /no graphics/ });
  });

  it("sees Remote Login and sudo", () => {
    expect(remoteLoginFinding(said("Remote Login: On\n")).level).toBe("ok");
    expect(remoteLoginFinding(said("Remote Login: Off\n"))).toMatchObject({ level: "fail", todo: /Sharing/ });
    expect(remoteLoginFinding(refusedBy("sudo: a password is required"))).toMatchObject({
      level: "warn",
      found: "not known (sudo: a password is required)",
    });
    expect(sudoFinding(said(""), "deploy").level).toBe("ok");
    expect(sudoFinding(refusedBy("sudo: a password is required"), "deploy")).toMatchObject({
      level: "fail",
      todo: expect.stringContaining("--prepare"),
    });
  });

  it.each([macosFinding, chipFinding, metalFinding])("takes an answer that says nothing for not known", (check) => {
    for (const answer of [undefined, { unanswered: "no answer in time" }, refusedBy("command not found"), said("")]) {
      const { level, found } = check(answer);
      expect(level === "warn" ? found : `${level}: ${found}`).toMatch(/^not known|^fail: no graphics/);
    }
  });
});
