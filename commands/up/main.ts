/**
 * `npm run up`: the cheap part of preflight, then `pulumi up` with its own arguments and output. While it runs, explains what
 * takes long; after a failure, how to fix each known error. Deploys the same as `pulumi up`.
 */
import { spawn } from "node:child_process";
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { runCommand } from "../cli.ts";
import { explain, renderExplanations } from "../explain/explain.ts";
import { allFindings } from "../preflight/checks.ts";
import { exitCode, render } from "../preflight/report.ts";
import { notInstalled, project } from "../pulumi-cli.ts";
import { type EngineEvent, errorsOf, madeAnything, Patience, readEvents } from "./events.ts";
import { command, splitArgs } from "./options.ts";
import { Silence } from "./silence.ts";

/** Reads the engine's log while it is written. */
async function follow(
  path: string,
  ended: Promise<unknown>,
  onEvents: (events: EngineEvent[]) => void,
): Promise<EngineEvent[]> {
  const all: EngineEvent[] = [];
  let position = 0;
  let rest = "";
  const read = async (): Promise<void> => {
    const file = await open(path).catch(() => undefined); // the engine has not created it yet
    if (!file) return;
    try {
      const { bytesRead, buffer } = await file.read({ buffer: Buffer.alloc(1 << 20), position });
      position += bytesRead;
      const lines = (rest + buffer.toString("utf8", 0, bytesRead)).split("\n");
      rest = lines.pop() ?? "";
      const events = readEvents(lines.join("\n"));
      all.push(...events);
      onEvents(events);
      if (bytesRead === buffer.length) await read();
    } finally {
      await file.close();
    }
  };
  for (let over = false; !over; ) {
    over = await Promise.race([ended.then(() => true), delay(300, false)]);
    await read();
  }
  return all;
}

async function pulumiUp(args: readonly string[]): Promise<{ code: number; events: EngineEvent[] }> {
  const folder = await mkdtemp(join(tmpdir(), "slm-up-"));
  try {
    const log = join(folder, "events.jsonl");
    const child = spawn("pulumi", ["up", ...args, "--event-log", log], {
      cwd: project,
      stdio: "inherit",
      // As Pulumi's own Automation API does: the option is hidden otherwise.
      env: { ...process.env, PULUMI_DEBUG_COMMANDS: "true" },
    });
    // Ctrl-C reaches the engine from the terminal; it finishes what is in progress, and this process waits for it.
    process.on("SIGINT", () => {});
    process.on("SIGTERM", () => child.kill("SIGTERM"));
    const ended = new Promise<number>((resolve, reject) => {
      child.once("error", () => reject(notInstalled()));
      child.once("close", (code) => resolve(code ?? 1));
    });
    const patience = new Patience();
    const silence = new Silence();
    // On a terminal the engine repaints its own lines, with the time each has taken.
    const onEvents = (events: EngineEvent[]) => {
      for (const note of silence.notes(events, performance.now())) console.log(`\n${note}`);
      if (process.stdout.isTTY) return;
      // The engine may be in the middle of a line of dots.
      for (const note of patience.notes(events)) console.log(`\n${note}`);
    };
    const events = await follow(log, ended, onEvents);
    return { code: await ended, events };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

await runCommand(command, async (given) => {
  const { preflight, stack, args } = splitArgs(given);
  if (preflight) {
    const { findings } = await allFindings({ stack, readOnly: false, cheap: true });
    console.log(`Preflight (\`npm run preflight\` checks more):\n${render(findings, true)}\n`);
    if (exitCode(findings) !== 0) {
      console.log("Nothing was deployed. Fix the above first, or skip this check: `npm run up -- --no-preflight`.");
      return 1;
    }
  }
  if (process.stdout.isTTY) {
    console.log(
      "The first time takes some minutes: Atlas admits a new user after up to three, and the Mac downloads about 100 MB.\n",
    );
  }
  const { code, events } = await pulumiUp(args);
  if (code === 0) return 0;
  const errors = errorsOf(events);
  const known = renderExplanations(explain(errors));
  if (known) console.log(`\n${known}`);
  if (errors.length > 0 && madeAnything(events)) {
    console.log("\nWhat was created so far is recorded in the stack's state: `npm run up` continues from there.");
  }
  return code;
});
