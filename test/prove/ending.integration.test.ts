/** A run of the proving suite that is ended in the middle leaves no process and no folder. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { expect, it } from "vitest";
import { isAlive, until } from "../sandbox/mac/fixture.ts";

const ENDING = pathToFileURL(join(import.meta.dirname, "ending.ts")).href;

/** As sshd does it: a leader of its own group, and below it a session of its own, which is stopped. */
const SESSION = "console.log(process.pid); setInterval(() => {}, 1000)";
const LEADER = `${SESSION}; require("node:child_process").spawn(process.execPath, ["-e", ${JSON.stringify(SESSION)}], { detached: true, stdio: "inherit" })`;
const runOf = (folder: string) => `
  import { spawn } from "node:child_process";
  import { rmSync } from "node:fs";
  const { atExit, endEverythingAtExit } = await import(${JSON.stringify(ENDING)});
  endEverythingAtExit();
  atExit(() => rmSync(${JSON.stringify(folder)}, { recursive: true }));
  spawn(process.execPath, ["-e", ${JSON.stringify(LEADER)}], { detached: true, stdio: "inherit" });
`;

it.for(["SIGTERM", "SIGINT"] as const)(
  "%s ends processes in sessions of their own, stopped ones too",
  async (signal) => {
    const folder = mkdtempSync(join(tmpdir(), "slm-ending-"));
    const run = spawn(process.execPath, ["--input-type=module", "-e", runOf(folder)], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const pids: number[] = [];
    createInterface({ input: run.stdout }).on("line", (line) => pids.push(Number(line)));
    await until(() => pids.length === 2, "both processes");
    process.kill(pids[1]!, "SIGSTOP");
    expect(pids.map(isAlive)).toEqual([true, true]);
    const exit = once(run, "exit");
    run.kill(signal);
    expect(await exit).toEqual([2, null]);
    await until(() => !pids.some(isAlive), "their end");
    expect(existsSync(folder)).toBe(false);
  },
);
