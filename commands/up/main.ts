/**
 * `npm run up`: the cheap part of preflight, then `pulumi up` as it is, with its own arguments and its own output; while it
 * runs, why something takes long; after a failure, what to do about each error that is known. What is made is the same as
 * with `pulumi up`.
 */
import { spawn } from "node:child_process";
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { explain, renderExplanations } from "../explain/explain.ts";
import { allFindings } from "../preflight/checks.ts";
import { exitCode, render } from "../preflight/report.ts";
import { type EngineEvent, errorsOf, madeAnything, Patience, readEvents } from "./events.ts";
import { splitArgs, usage } from "./options.ts";
import { Silence } from "./silence.ts";

const project = join(import.meta.dirname, "../..");

/** Reads the engine's log while it is written. */
async function follow(
  path: string,
  ended: Promise<unknown>,
  tell: (events: EngineEvent[]) => void,
): Promise<EngineEvent[]> {
  const all: EngineEvent[] = [];
  let position = 0;
  let rest = "";
  const read = async (): Promise<void> => {
    const file = await open(path).catch(() => undefined); // the engine has not made it yet
    if (!file) return;
    try {
      const { bytesRead, buffer } = await file.read({ buffer: Buffer.alloc(1 << 20), position });
      position += bytesRead;
      const lines = (rest + buffer.toString("utf8", 0, bytesRead)).split("\n");
      rest = lines.pop() ?? "";
      const events = readEvents(lines.join("\n"));
      all.push(...events);
      tell(events);
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

async function engine(args: readonly string[]): Promise<{ code: number; events: EngineEvent[] }> {
  const folder = await mkdtemp(join(tmpdir(), "slm-up-"));
  try {
    const log = join(folder, "events.jsonl");
    const child = spawn("pulumi", ["up", ...args, "--event-log", log], {
      cwd: project,
      stdio: "inherit",
      // As Pulumi's own Automation API does: the option is hidden otherwise.
      env: { ...process.env, PULUMI_DEBUG_COMMANDS: "true" },
    });
    // Ctrl-C reaches the engine from the terminal, and it brings what is under way to its end; this waits for it.
    process.on("SIGINT", () => {});
    process.on("SIGTERM", () => child.kill("SIGTERM"));
    const ended = new Promise<number>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code) => resolve(code ?? 1));
    });
    const patience = new Patience();
    const silence = new Silence();
    // On a terminal the engine repaints its own lines, with the time that each has taken.
    const tell = (events: EngineEvent[]) => {
      for (const note of silence.notes(events, performance.now())) console.log(`\n${note}`);
      if (process.stdout.isTTY) return;
      // The engine may be in the middle of a line of dots.
      for (const note of patience.notes(events)) console.log(`\n${note}`);
    };
    const events = await follow(log, ended, tell);
    return { code: await ended, events };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function main(): Promise<number> {
  const { help, preflight, stack, args } = splitArgs(process.argv.slice(2));
  if (help) {
    console.log(usage);
    return 0;
  }
  if (preflight) {
    const { findings } = await allFindings({ project, stack, readOnly: false, cheap: true });
    const inTheWay = exitCode(findings) !== 0;
    console.log(`Preflight (\`npm run preflight\` looks at more):\n${render(findings, true)}\n`);
    if (inTheWay) {
      console.log("Nothing was declared. Mend that first; `npm run up -- --no-preflight` goes on all the same.");
      return 1;
    }
  }
  if (process.stdout.isTTY) {
    console.log(
      "The first time takes some minutes: Atlas lets a new user in after up to three, and the Mac downloads about 100 MB.\n",
    );
  }
  const { code, events } = await engine(args);
  if (code === 0) return 0;
  const errors = errorsOf(events);
  const known = renderExplanations(explain(errors));
  if (known) console.log(`\n${known}`);
  if (errors.length > 0 && madeAnything(events)) {
    console.log("\nWhat was made so far is noted in the stack's state: `npm run up` goes on from there.");
  }
  return code;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(error);
  process.exitCode = 2;
}
