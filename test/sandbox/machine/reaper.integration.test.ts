import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect, it } from "vitest";
import { startReaper } from "../../../sandbox/machine/reaper.ts";

const sleeper = () => {
  const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000); console.log('up')"], {
    detached: true,
    stdio: ["ignore", "pipe", "ignore"],
  });
  return { child, ended: once(child, "exit") };
};

it("kills what it watches when the sandbox dies without a chance to", async () => {
  const { child, ended } = sleeper();
  await once(child.stdout, "data");
  // A process of its own, which is killed as a crash would.
  const sandbox = spawn(
    process.execPath,
    [
      "--input-type=module",
      "-e",
      `const { startReaper } = await import("./sandbox/machine/reaper.ts");
      startReaper().watch(${child.pid}); console.log("watching"); setInterval(() => {}, 1000);`,
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  await once(sandbox.stdout, "data");
  sandbox.kill("SIGKILL");
  expect((await ended)[1]).toBe("SIGKILL");
});

it("leaves alone what it was told to forget", async () => {
  const [kept, killed] = [sleeper(), sleeper()];
  await Promise.all([once(kept.child.stdout, "data"), once(killed.child.stdout, "data")]);
  const reaper = startReaper();
  reaper.watch(kept.child.pid!);
  reaper.watch(killed.child.pid!);
  reaper.forget(kept.child.pid!);
  await reaper.close();
  await killed.ended;
  expect(kept.child.exitCode ?? kept.child.signalCode).toBeNull();
  process.kill(kept.child.pid!, "SIGKILL");
  await kept.ended;
});
