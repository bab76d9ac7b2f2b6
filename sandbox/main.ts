/**
 * `npm run sandbox [-- --detach | --stop | --reset | --env]`: the whole network on this machine, without an account.
 */
import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { mkdir, open, rm } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { AlreadyRunning, actions, ask, findRunning } from "./control.ts";
import { type Instance, thisInstance } from "./instance.ts";
import { FolderRefused, requireOwnFolder } from "./machine/folder.ts";
import { isCurlProxied, loopbackWithoutProxy, reachLoopbackDirectly } from "./machine/no-proxy.ts";
import { PortTaken } from "./machine/ports.ts";
import { straysIn } from "./providers/environment.ts";
import { ProvidersChanged } from "./providers/stack-origin.ts";
import { readReady } from "./ready.ts";
import { SettingsError } from "./settings-error.ts";
import { EngineError } from "./stack.ts";
import { MissingTool } from "./tools/tools.ts";

const usage = `npm run sandbox              runs in the foreground until Ctrl-C
npm run sandbox -- --detach  returns when it is ready
npm run sandbox -- --no-up   declares nothing: accounts and a Mac as a new user has them
npm run sandbox -- --model real   with a real model server (SANDBOX_MODEL; the first time it is built, which takes minutes)
npm run sandbox -- --stop    ends it
npm run sandbox -- --reset   destroys the stack and clears the state
npm run sandbox -- --env     prints the variables for the plain pulumi command, for eval
npm run sandbox -- --do ACTION [JSON]   one of ${actions.join(", ")} (docs/sandbox.md)`;

/** Set for the process that `--detach` leaves behind. */
const detachedMark = "SANDBOX_DETACHED";
/** Also set for it, where the shell's curl would use a proxy for loopback. */
const curlMark = "SANDBOX_CURL_PROXIED";

const started = performance.now();
const log = (message: string): void =>
  console.log(`[${((performance.now() - started) / 1000).toFixed(1).padStart(6)} s] ${message}`);

async function main(): Promise<void> {
  const curlOptions = isCurlProxied(process.env) || process.env[curlMark] ? "--noproxy '*' " : "";
  reachLoopbackDirectly();
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      do: { type: "string" },
      detach: { type: "boolean" },
      "no-up": { type: "boolean", default: false },
      stop: { type: "boolean" },
      reset: { type: "boolean" },
      env: { type: "boolean" },
      model: { type: "string" },
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.model !== undefined) process.env.SANDBOX_MODEL = values.model;
  const instance = thisInstance();
  if (values.do === undefined && positionals.length > 0)
    throw new MissingTool(`what is "${positionals.join(" ")}"?\n${usage}`);
  // What only a start needs is loaded only then: the other commands take a tenth of a second instead of one.
  const loadRun = () => import("./run.ts");
  if (values.help) console.log(usage);
  else if (values.env) await printEnvironment(instance);
  else if (values.do !== undefined) await tell(instance, values.do, positionals[0]);
  else if (values.stop) await stop(instance);
  else if (values.reset) {
    await stop(instance);
    await (await loadRun()).reset(instance, log);
  } else if (values.detach) await detach(instance, values["no-up"], curlOptions !== "");
  else
    await (await loadRun()).run(instance, log, interruption(), {
      stopHint: process.env[detachedMark] ? "`npm run sandbox -- --stop` ends it." : "Ctrl-C stops it.",
      curlOptions,
      up: !values["no-up"],
    });
}

/** The first Ctrl-C (or SIGTERM) requests an orderly stop. */
function interruption(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => resolve());
  });
}

async function printEnvironment(instance: Instance): Promise<void> {
  const ready = (await findRunning(instance.lockFile)) && (await readReady(instance));
  if (!ready) throw new MissingTool("no sandbox is ready here: start it with `npm run sandbox -- --detach`");
  const unset = new Set([...ready.unset, ...straysIn(process.env)]);
  for (const name of Object.keys(ready.environment)) unset.delete(name);
  if (unset.size > 0) console.log(`unset ${[...unset].join(" ")}`);
  // This shell's proxy may differ from the one at the start.
  const environment = { ...ready.environment, ...loopbackWithoutProxy(process.env) };
  for (const [name, value] of Object.entries(environment)) {
    console.log(`export ${name}='${value.replaceAll("'", "'\\''")}'`);
  }
}

async function tell(instance: Instance, wanted: string, json: string | undefined): Promise<void> {
  const action = actions.find((name) => name === wanted);
  if (!action) throw new MissingTool(`--do is "${wanted}": it must be one of ${actions.join(", ")}`);
  const running = await findRunning(instance.lockFile);
  if (!running) throw new MissingTool("no sandbox runs here: start it with `npm run sandbox -- --detach`");
  await ask(running, action, await bodyOf(json));
}

/** @param json the action's body; `-`: `{ "run": … }` with the standard input */
async function bodyOf(json: string | undefined): Promise<unknown> {
  if (json === "-") return { run: await text(process.stdin) };
  return json === undefined ? undefined : JSON.parse(json);
}

async function stop(instance: Instance): Promise<void> {
  const running = await findRunning(instance.lockFile);
  if (!running) {
    log("no sandbox runs here");
    return;
  }
  await ask(running, "stop");
  for (let waited = 0; await findRunning(instance.lockFile); waited += 200) {
    if (waited > 90_000) throw new Error(`process ${running.pid} does not end; its log is ${instance.logFile}`);
    await delay(200);
  }
  log("stopped: nothing of it runs any more");
}

/** Starts the sandbox as a separate process and prints its log until it is ready. */
async function detach(instance: Instance, noUp: boolean, isCurlProxied: boolean): Promise<void> {
  const running = await findRunning(instance.lockFile);
  if (running) throw new AlreadyRunning(running);
  await requireOwnFolder(instance);
  (await import("./settings.ts")).readSettings(process.env); // here rather than in a log file
  await mkdir(instance.folder, { recursive: true, mode: 0o700 });
  await rm(instance.readyFile, { force: true }); // of one that crashed
  const output = openSync(instance.logFile, "w", 0o600);
  const child = spawn(process.execPath, [import.meta.filename, ...(noUp ? ["--no-up"] : [])], {
    detached: true,
    stdio: ["ignore", output, output],
    env: { ...process.env, [detachedMark]: "1", [curlMark]: isCurlProxied ? "1" : "" },
  });
  closeSync(output);
  const ended = new Promise<number>((resolve) => child.once("exit", (code) => resolve(code ?? 1)));
  const show = await follow(instance.logFile);
  for (;;) {
    const code = await Promise.race([ended, delay(200, undefined)]);
    await show();
    if (code !== undefined) process.exit(code || 1);
    if (await readReady(instance)) break;
  }
  await show.close();
  child.unref();
}

/** @returns a function that prints what was appended to the file since the last call */
async function follow(path: string) {
  const file = await open(path);
  let position = 0;
  const show = async (): Promise<void> => {
    for (;;) {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(1 << 16), 0, 1 << 16, position);
      if (bytesRead === 0) return;
      position += bytesRead;
      process.stdout.write(buffer.subarray(0, bytesRead));
    }
  };
  return Object.assign(show, { close: () => file.close() });
}

try {
  await main();
} catch (error) {
  const expected = [
    AlreadyRunning,
    FolderRefused,
    MissingTool,
    EngineError,
    SettingsError,
    PortTaken,
    ProvidersChanged,
  ].some((kind) => error instanceof kind);
  console.error(expected ? (error as Error).message : error);
  // `eval "$(… --env)" && pulumi up` must not continue with the shell's variables for a real stack.
  if (process.argv.includes("--env")) console.log("false");
  process.exitCode = 1;
}
