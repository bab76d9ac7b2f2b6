import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type Action, AlreadyRunning, ask, findRunning, takeControl } from "../../sandbox/control.ts";

let folder: string;
let lock: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "slm-control-"));
  lock = join(folder, "lock.json");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

it("lets one run at a time, and the next one after it has ended", async () => {
  const first = await takeControl(lock, async () => {});
  expect(statSync(lock).mode & 0o777).toBe(0o600);
  await expect(takeControl(lock, async () => {})).rejects.toThrow(AlreadyRunning);
  await first.close();
  const second = await takeControl(lock, async () => {});
  await second.close();
});

it("takes a lock that a crash left, even when its process number is alive", async () => {
  writeFileSync(lock, JSON.stringify({ pid: process.pid, url: "http://127.0.0.1:9", token: "x" }));
  expect(await findRunning(lock)).toBeUndefined();
  const taken = await takeControl(lock, async () => {});
  expect(await findRunning(lock)).toEqual(taken.control);
  await taken.close();
});

it("does what is asked with the token, nothing without it, and passes failures on", async () => {
  const asked: Action[] = [];
  const running = await takeControl(lock, async (action) => {
    asked.push(action);
    if (action === "boot") throw new Error("no power");
  });
  await ask(running.control, "power-cut");
  await expect(ask(running.control, "boot")).rejects.toThrow(/500.*no power/);
  await expect(ask({ ...running.control, token: "guess" }, "stop")).rejects.toThrow(/403/);
  expect(asked).toEqual(["power-cut", "boot"]);
  await running.close();
});
