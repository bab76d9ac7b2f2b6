/**
 * A real model server with a real small model, as a process of the sandbox: llama-server (the engine that current Ollama is,
 * too) or Ollama. The model is there to be real, not to be good; it speaks little Korean.
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Log } from "../log.ts";
import { claimPort } from "../machine/ports.ts";
import type { Reaper } from "../machine/reaper.ts";
import { ensureServer, ensureWeights, type RealServer } from "../tools/real/ensure.ts";

/** Name of the real model, for both servers. */
export const REAL_MODEL = "smollm2:135m";

/** Tokens of an answer to a request that sets no bound: so small a model may not find its end. */
const DEFAULT_ANSWER = 48;

/** How long a server may take until it answers, with its model loaded. */
const startsWithinMs = 180_000;

/** How it is started. */
export interface RealModelOptions {
  readonly kind: RealServer;
  readonly log: Log;
  /** On 127.0.0.1. @default a claimed one */
  readonly port?: number;
  /** Requests that compute at once. @default 2 */
  readonly slots?: number;
  /** Tokens of context that each slot has. @default 4096 */
  readonly context?: number;
  /** Memory in MiB for prompts that no slot holds any more (llama-server's `--cache-ram`); 0 turns the pool off. @default the server's */
  readonly promptPoolMiB?: number;
  /** Kills the server when this process dies without a chance to. */
  readonly reaper?: Reaper;
}

/** A running real model server. */
export interface RealModel {
  readonly url: string;
  readonly kind: RealServer;
  readonly model: string;
  /** The last lines of its own log. */
  output(): string;
  /** Ends it. Resolves when the process is gone. */
  close(): Promise<void>;
}

/**
 * Starts the server and waits until it has loaded the model. Obtains both first when they are not there, which takes minutes.
 * @throws MissingTool when they are not available
 * @throws Error with the server's own output when it does not start
 */
export async function startRealModel(options: RealModelOptions): Promise<RealModel> {
  const { kind, log } = options;
  const weights = await ensureWeights(log);
  const program = await ensureServer(kind, log);
  const port = options.port ?? (await claimPort());
  const folder = mkdtempSync(join(tmpdir(), "slm-network-real-"));
  const command = kind === "ollama" ? ollamaCommand(options, port, folder) : llamaCommand(options, port, weights);
  const child = spawn(program, command.args, { detached: true, stdio: ["ignore", "pipe", "pipe"], env: command.env });
  const { pid } = child;
  if (pid !== undefined) options.reaper?.watch(pid);
  let output = "";
  const file = join(folder, "server.log");
  const keep = (chunk: Buffer) => {
    output = (output + chunk.toString("utf8")).slice(-8000);
    if (process.env.SANDBOX_VERBOSE === "1") appendFileSync(file, chunk);
  };
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  const ended = once(child, "exit").then(
    () => true,
    () => true,
  );
  const close = async (): Promise<void> => {
    if (pid !== undefined && child.exitCode === null && child.signalCode === null) {
      child.kill("SIGTERM");
      if (!(await Promise.race([ended, delay(10_000, false, { ref: false })]))) process.kill(-pid, "SIGKILL");
      await ended;
      options.reaper?.forget(pid);
    }
    rmSync(folder, { recursive: true, force: true });
  };
  const url = `http://127.0.0.1:${port}`;
  try {
    await answers(`${url}${kind === "ollama" ? "/api/version" : "/health"}`, ended, () => output);
    if (kind === "ollama") await createModel(program, url, folder, weights, options.context ?? 4096, command.env);
  } catch (error) {
    await close();
    throw error;
  }
  return { url, kind, model: REAL_MODEL, output: () => output, close };
}

interface Command {
  readonly args: string[];
  readonly env: NodeJS.ProcessEnv;
}

function llamaCommand(
  { slots = 2, context = 4096, promptPoolMiB }: RealModelOptions,
  port: number,
  weights: string,
): Command {
  const args = ["--model", weights, "--alias", REAL_MODEL, "--host", "127.0.0.1", "--port", String(port)];
  args.push("--parallel", String(slots), "--ctx-size", String(slots * context));
  // One server for chat and for vectors, as Ollama is.
  args.push("--embeddings", "--pooling", "mean", "--metrics", "--slots");
  args.push("--predict", String(DEFAULT_ANSWER));
  // Its threads wait for each other by spinning: with one for each core, whatever else runs slows it down many times over.
  args.push("--threads", String(Math.max(1, Math.floor(availableParallelism() / 2))));
  if (promptPoolMiB !== undefined) args.push("--cache-ram", String(promptPoolMiB));
  return { args, env: process.env };
}

function ollamaCommand({ slots = 2 }: RealModelOptions, port: number, folder: string): Command {
  const env = {
    ...process.env,
    HOME: folder,
    OLLAMA_HOST: `127.0.0.1:${port}`,
    OLLAMA_MODELS: join(folder, "models"),
    OLLAMA_NUM_PARALLEL: String(slots),
    OLLAMA_KEEP_ALIVE: "-1",
  };
  mkdirSync(env.OLLAMA_MODELS, { recursive: true });
  return { args: ["serve"], env };
}

async function createModel(
  program: string,
  url: string,
  folder: string,
  weights: string,
  context: number,
  env: NodeJS.ProcessEnv,
): Promise<void> {
  const file = join(folder, "Modelfile");
  writeFileSync(file, `FROM ${weights}\nPARAMETER num_ctx ${context}\nPARAMETER num_predict ${DEFAULT_ANSWER}\n`);
  const made = spawnSync(program, ["create", REAL_MODEL, "-f", file], {
    env,
    encoding: "utf8",
    timeout: startsWithinMs,
  });
  if (made.status !== 0) throw new Error(`ollama create ended with ${made.status}: ${made.stderr.slice(-500)}`);
  // Loaded now rather than within the first caller's request.
  const loaded = await fetch(`${url}/api/generate`, {
    method: "POST",
    body: JSON.stringify({ model: REAL_MODEL, keep_alive: -1 }),
    signal: AbortSignal.timeout(startsWithinMs),
  });
  if (!loaded.ok) throw new Error(`ollama could not load the model: ${loaded.status} ${await loaded.text()}`);
}

async function answers(url: string, ended: Promise<boolean>, output: () => string): Promise<void> {
  const deadline = performance.now() + startsWithinMs;
  while (performance.now() < deadline) {
    const response = await fetch(url, { signal: AbortSignal.timeout(2000) }).catch(() => undefined);
    await response?.body?.cancel();
    if (response?.ok) return;
    if (await Promise.race([ended, delay(200, false)])) {
      throw new Error(`the model server ended before it answered:\n${output().slice(-1500)}`);
    }
  }
  throw new Error(`${url} did not answer within ${startsWithinMs / 1000} s:\n${output().slice(-1500)}`);
}
