/** What the Mac says of itself, and that each kind of drift is seen and set right. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Report } from "../../../runtime/installer/install.ts";
import { driftOf, type MacExpected } from "../../../runtime/installer/mac-state.ts";
import { type Installation, installation, prepareInstallation } from "./installation.ts";

let here: Installation;
let expected: MacExpected;

beforeAll(async () => {
  here = await prepareInstallation();
  await here.upload(here.release);
}, 300_000);
afterAll(() => here?.end());

async function installed(): Promise<Report> {
  const ran = await here.install();
  expect(ran.code, ran.stderr).toBe(0);
  return JSON.parse(ran.stdout) as Report;
}

describe("a Mac's state", { timeout: 240_000 }, () => {
  it("without an installation is empty but for which machine it is", async () => {
    expect(await here.inspect()).toMatchObject({
      hardwareUuid: here.mac.mac.hardwareUuid,
      installation: null,
      release: null,
      files: {},
      findings: ["the inspect command is not installed on this Mac"],
    });
  });

  it("after an installation is what the installation expects", async () => {
    const report = await installed();
    expected = report.expected;
    expect(report).toMatchObject({ installation, hardwareUuid: here.mac.mac.hardwareUuid, notes: [] });
    const state = await here.inspect();
    expect(driftOf(expected, state)).toEqual([]);
    expect(state).toMatchObject({
      installation,
      release: here.release.sha256,
      node: here.artifacts.node.sha256,
      cloudflared: here.artifacts.cloudflared.sha256,
      account: true,
      findings: [],
      daemons: { "local.slm-network.relay": { loaded: true, running: true } },
    });
    expect(state.files["/etc/slm-network/secrets.json"]).toMatchObject({ owner: "root:_slmnetwork", mode: "640" });
    expect(Object.keys(state.files)).toContain(`/usr/local/slm-network/releases/${here.release.sha256}/relay.mjs`);
    expect(JSON.stringify(state)).not.toMatch(/very-secret/);
  });

  it("is read by a command that changes nothing", async () => {
    const files = () =>
      here.mac.run(`find '${here.at("usr/local/slm-network")}' '${here.at("private/etc")}' -newermt now`);
    const before = [here.pids(), await here.inspect()];
    expect([here.pids(), await here.inspect()]).toEqual(before);
    expect((await files()).stdout).toBe("");
  });
});
