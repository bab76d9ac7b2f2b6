/** The installer's lock: what earlier installers left, killed at any moment. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, expect, it, onTestFinished } from "vitest";
import { withLock } from "../../../runtime/installer/lock.ts";

let path: string;
beforeEach(async () => {
  const folder = await mkdtemp(join(tmpdir(), "slm-lock-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  path = join(folder, "install.lock");
});

/** A process that holds the lock until it is killed. */
async function holder() {
  const module = new URL("../../../runtime/installer/lock.ts", import.meta.url).href;
  const text = `const { withLock } = await import(${JSON.stringify(module)});
await withLock(${JSON.stringify(path)}, () => { console.log("holds"); return new Promise((r) => setInterval(r, 2 ** 30)); });`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", text], { stdio: ["ignore", "pipe", "inherit"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  await once(child.stdout, "data");
  return child;
}

it("is free at once after its holder was killed, and names the holder until then", async () => {
  const child = await holder();
  expect(await readFile(path, "utf8")).toBe(`${child.pid}\n`);
  await expect(withLock(path, async () => "ran", 0)).rejects.toThrow(`(process ${child.pid})`);
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
  // The note is still there, and its number may be another process' by now: this one's.
  await writeFile(path, `${process.pid}\n`);
  expect(await withLock(path, async () => "ran", 0)).toBe("ran");
});

it("runs one at a time", async () => {
  const order: string[] = [];
  const work = (name: string) => async () => {
    order.push(`${name} begins`);
    await new Promise((resolve) => setImmediate(resolve));
    order.push(`${name} ends`);
  };
  await Promise.all(["a", "b", "c"].map((name) => withLock(path, work(name), 60_000)));
  expect(order).toHaveLength(6);
  for (let at = 0; at < 6; at += 2) {
    expect(order[at + 1]).toBe(order[at]!.replace("begins", "ends"));
  }
});

it("is free again after work that failed", async () => {
  await expect(withLock(path, () => Promise.reject(new Error("failed")))).rejects.toThrow("failed");
  expect(await withLock(path, async () => "ran", 0)).toBe("ran");
});

it("of an earlier version counts while its process runs, and not after", async () => {
  await writeFile(path, String(process.pid));
  await expect(withLock(path, async () => "ran", 0)).rejects.toThrow(`(process ${process.pid})`);
  await writeFile(path, "999999999");
  expect(await withLock(path, async () => "ran", 0)).toBe("ran");
});

it("of an earlier version that was killed before it wrote its number does not block until a restart", async () => {
  await writeFile(path, "");
  await expect(withLock(path, async () => "ran", 0)).rejects.toThrow("another installation");
  const before = new Date(Date.now() - 60_000);
  await utimes(path, before, before);
  expect(await withLock(path, async () => "ran", 0)).toBe("ran");
});
