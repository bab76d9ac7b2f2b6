/** `npm run ssh` and `npm run doctor` on a running network, and the script that the macOS workflow runs. */
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { z } from "zod";
import type { Ready } from "../../../sandbox/ready.ts";
import { project, ready, run } from "../harness.ts";

let here: Ready;
const reportSchema = z.object({
  exitCode: z.int(),
  findings: z.array(z.object({ check: z.string(), level: z.enum(["ok", "warn", "fail"]), found: z.string() })),
});
const node = (...args: string[]) => run(process.execPath, args, here.environment);
const ssh = (...args: string[]) => node("commands/ssh/main.ts", "studio", ...args);

/** Registers the tests of the doctor. The power settings are in order again afterwards. */
export function doctor(): void {
  beforeAll(async () => {
    here = await ready();
  });

  it("the doctor reports power settings that prevent recovery, and nothing once they are corrected", async () => {
    await ssh("sudo", "-n", "pmset", "-a", "sleep", "5", "autorestart", "0", "autorestartatconnect", "0");
    const sick = await node("commands/doctor/main.ts", "studio", "--json");
    expect(sick.code, sick.stderr).toBe(1);
    const before = reportSchema.parse(JSON.parse(sick.stdout));
    const failed = before.findings.filter(({ level }) => level === "fail");
    expect(failed.map(({ check }) => check)).toEqual(["power returns", "sleep"]);

    // As the installation left them, so that a later `pulumi up` finds no difference.
    const installed = ["sleep", "0", "autorestart", "1", "autorestartatconnect", "1"];
    expect((await ssh("sudo", "-n", "pmset", "-a", ...installed)).code).toBe(0);
    const well = await node("commands/doctor/main.ts", "studio", "--json");
    expect(well.code, well.stderr).toBe(0);
    const { findings } = reportSchema.parse(JSON.parse(well.stdout));
    const levels = Object.fromEntries(findings.map(({ check, level, found }) => [check, `${level}: ${found}`]));
    expect(levels).toMatchObject({
      relay: expect.stringMatching(/^ok: ready, up for/),
      tunnel: expect.stringMatching(/^ok: \d connections, at ICN$/),
      "model server": expect.stringContaining(here.embeddingModel),
      Atlas: "ok: 1 of its servers answer",
      FileVault: "ok: off: the Mac starts unattended",
    });

    const shown = await node("commands/doctor/main.ts");
    expect(shown.stdout).toMatch(/^studio: \d+ ok, \d to look at, 0 to fix\. Nothing was changed\.$/m);
  });

  it("the doctor reports that it cannot sign in", async () => {
    const { SSH_AUTH_SOCK: _, ...withoutAgent } = here.environment;
    const ran = await run(process.execPath, ["commands/doctor/main.ts"], { ...withoutAgent, SSH_AUTH_SOCK: "" });
    expect([ran.code, ran.stdout]).toEqual([2, ""]);
    expect(ran.stderr).toMatch(/^there is no SSH agent .*ssh-add/);
  });

  it("the script that CI runs on a real Mac accepts what was installed", async () => {
    const ran = await run("/bin/sh", [join(project, ".github/scripts/installed.sh")], here.environment);
    expect(ran.code, ran.stdout + ran.stderr).toBe(0);
    expect(ran.stdout).toContain("== all checks passed");
  });
}
