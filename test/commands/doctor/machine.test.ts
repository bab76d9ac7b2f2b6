import { describe, expect, it } from "vitest";
import { chip } from "../../../commands/doctor/checks/chip.ts";
import { clock } from "../../../commands/doctor/checks/clock.ts";
import { disk } from "../../../commands/doctor/checks/disk.ts";
import { macos } from "../../../commands/doctor/checks/macos.ts";
import { metal } from "../../../commands/doctor/checks/metal.ts";
import { remoteLogin } from "../../../commands/doctor/checks/remote-login.ts";
import { sudo } from "../../../commands/doctor/checks/sudo.ts";
import { size } from "../../../commands/doctor/units.ts";
import { evaluate, refusedBy, said } from "./evaluate.ts";
import { df, displaysM2, swVers } from "./recorded.ts";

describe("the machine", () => {
  it("reads the version of macOS and refuses one that is too old", () => {
    const version = (text: string) => evaluate(macos, { version: said(text) });
    expect(version(swVers)).toEqual({ level: "ok", found: "14.2.1 (23C71)" });
    expect(version(swVers.replace("14.2.1", "26.5")).level).toBe("ok");
    expect(version(swVers.replace("14.2.1", "13.4")).level).toBe("fail");
    expect(version(swVers.replace("14.2.1", "12.7.6"))).toMatchObject({
      level: "fail",
      means: expect.stringContaining("13.5"),
    });
  });

  it("reads the chip, and says what an Intel Mac needs", () => {
    expect(evaluate(chip, { chip: said("arm64\nApple M4 Max\n137438953472\n") })).toEqual({
      level: "ok",
      found: "Apple M4 Max, 128 GiB of memory",
    });
    const intel = evaluate(chip, { chip: said("x86_64\nIntel(R) Core(TM) i9-9900K CPU @ 3.60GHz\n34359738368\n") });
    expect(intel).toMatchObject({ level: "fail", todo: expect.stringContaining("artifacts.node") });
  });

  it("compares the free disk space with jobs.minFreeMiB", () => {
    const free = (text: string) => evaluate(disk, { df: said(text) });
    expect(free(df)).toEqual({ level: "ok", found: "417 GiB free of 926 GiB" });
    expect(free(df.replace("437412032", " 10485760")).level).toBe("warn");
    expect(free(df.replace("437412032", "  1048576"))).toMatchObject({
      level: "fail",
      found: "1 GiB free of 926 GiB",
      means: expect.stringContaining("disk_low"),
    });
    expect([size(512), size(1536), size(1024 ** 4)]).toEqual(["512 KiB", "1.5 MiB", "1024 TiB"]);
  });

  it("compares the clock with this machine's, tolerating the time that the question took", () => {
    const at = (from: number, to: number) =>
      evaluate(clock, { date: { ...said("1000\n"), startedAt: from * 1000, endedAt: to * 1000 } });
    expect(at(1000.9, 1001.2)).toMatchObject({ level: "ok", found: "same as this machine's" });
    expect(at(995, 1004)).toMatchObject({ level: "ok", found: "same as this machine's" });
    expect(at(990, 991)).toMatchObject({ level: "warn", found: /^9 s ahead/ });
    expect(at(1100, 1101)).toMatchObject({ level: "fail", found: /^99 s behind/ });
  });

  it("detects Metal, and its absence", () => {
    expect(evaluate(metal, { displays: said(displaysM2) })).toEqual({
      level: "ok",
      found: "Apple M2 Pro, 16 cores, Metal 3",
    });
    expect(evaluate(metal, { displays: said("Graphics/Displays:\n\n") })).toMatchObject({
      level: "fail",
      found: /no graphics/,
    });
  });

  it("detects Remote Login and sudo", () => {
    const login = (answer: ReturnType<typeof said>) => evaluate(remoteLogin, { remoteLogin: answer });
    expect(login(said("Remote Login: On\n")).level).toBe("ok");
    expect(login(said("Remote Login: Off\n"))).toMatchObject({ level: "fail", todo: /Sharing/ });
    expect(login(refusedBy("sudo: a password is required"))).toMatchObject({
      level: "warn",
      found: "unknown (sudo: a password is required)",
    });
    expect(evaluate(sudo, { sudo: said("") }).level).toBe("ok");
    expect(evaluate(sudo, { sudo: refusedBy("sudo: a password is required") })).toMatchObject({
      level: "fail",
      todo: expect.stringContaining("--prepare"),
    });
  });
});
