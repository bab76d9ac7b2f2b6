import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type Action, AlreadyRunning, ask, BadRequest, findRunning, takeControl } from "../../sandbox/control.ts";

let folder: string;
let lockFile: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "slm-control-"));
  lockFile = join(folder, "lock.json");
});
afterEach(() => rm(folder, { recursive: true, force: true }));

it("passes actions with their body to the running sandbox, and says what it refuses", async () => {
  const asked: [Action, unknown][] = [];
  const { control, close } = await takeControl(lockFile, async (action, body) => {
    if (action === "fault" && body === undefined) throw new BadRequest("no such fault");
    asked.push([action, body]);
  });
  try {
    expect((await stat(lockFile)).mode & 0o777).toBe(0o600);
    await ask(control, "power-cut");
    await ask(control, "fault", { api: "atlas", path: "/", status: 503 });
    expect(asked).toEqual([
      ["power-cut", undefined],
      ["fault", { api: "atlas", path: "/", status: 503 }],
    ]);
    await expect(ask(control, "fault")).rejects.toThrow("400: no such fault");
    await expect(ask({ ...control, token: "guessed" }, "stop")).rejects.toThrow("403");
    const broken = await fetch(`${control.url}/fault`, {
      method: "POST",
      headers: { authorization: `Bearer ${control.token}` },
      body: "{",
    });
    expect(broken.status).toBe(400);
    expect(asked).toHaveLength(2);
    await expect(takeControl(lockFile, async () => {})).rejects.toThrow(AlreadyRunning);
  } finally {
    await close();
  }
  expect(await findRunning(lockFile)).toBeUndefined();
});
