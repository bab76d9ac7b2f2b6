/** What a soak measures the relay by sees what is held, and no garbage; and descriptors by kind. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { portOf } from "../runtime/relay/harness.ts";
import { connectionsIn, descriptorKinds, SUITE } from "./faults/descriptors.ts";
import { HEAP_MODULE, heldMiB } from "./measure/held.ts";

let folder: string;
let child: ChildProcess | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "slm-heap-"));
});
afterEach(() => {
  child?.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

it("measures what is held, and no garbage", async () => {
  const file = join(folder, "heap");
  // Keeps 20 MiB at the message "keep", and drops 20 MiB at any other.
  const program = `
    const kept = [];
    process.on("message", (what) => {
      const some = Array.from({ length: 20 }, () => "a".repeat(1024) + Math.random()).map((text) => Buffer.alloc(2 ** 20, text));
      if (what === "keep") kept.push(some);
      process.send("done");
    });`;
  child = spawn(process.execPath, ["--expose-gc", "--import", HEAP_MODULE, "-e", program], {
    env: { ...process.env, PROVE_HEAP: file },
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  const held = async (message: string): Promise<number> => {
    child?.send(message);
    await once(child!, "message");
    return (await heldMiB(file)) ?? expect.fail("no collection");
  };
  const first = await held("drop");
  expect((await held("drop")) - first).toBeLessThan(2);
  expect((await held("keep")) - first).toBeGreaterThan(19);
});

it.runIf(process.platform === "linux")("counts descriptors by what they are", async () => {
  const server = createServer();
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const port = portOf(server);
  const program = `
    const net = require("node:net");
    require("node:fs").openSync(process.execPath);
    let left = 3;
    for (let time = 0; time < 3; time += 1) net.connect(${port}, "127.0.0.1", () => --left || process.send("open"));`;
  child = spawn(process.execPath, ["-e", program], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  await once(child, "message");
  const kinds = descriptorKinds(child.pid ?? 0, { [port]: "the server" });
  expect(kinds).toMatchObject({ "to the server": 3, node: 1 });
  expect(connectionsIn({ ...kinds, [`from ${SUITE}`]: 2 })).toBe(3);
  expect(descriptorKinds(2 ** 30, {})).toEqual({});
  child.kill("SIGKILL");
  server.close();
});
