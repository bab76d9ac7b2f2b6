/** Starts each gateway before the origin, a process of its own; one that cannot be had is named with the reason. */
import { spawn } from "node:child_process";
import { openSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { claimPort } from "../../../sandbox/machine/ports.ts";
import { startNginx, type Target } from "../targets.ts";
import { litellm, onPath, portkey } from "./install.ts";

/** A gateway, and the headers that its callers send besides. */
export interface Peer extends Target {
  readonly headers: Readonly<Record<string, string>>;
}

/** One that is compared, or why it is not. */
export type Started = Peer | { readonly name: string; readonly unavailable: string };

/** How long a gateway may take until it answers. */
const STARTS_WITHIN_MS = 120_000;

async function launch(
  name: string,
  folder: string,
  [program, ...args]: readonly [string, ...string[]],
  port: number,
  { env = {}, headers = {} }: { env?: Record<string, string>; headers?: Record<string, string> } = {},
): Promise<Peer> {
  const log = openSync(join(folder, `${name}.log`), "w");
  const child = spawn(program, args, { stdio: ["ignore", log, log], env: { ...process.env, ...env } });
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const url = `http://127.0.0.1:${port}`;
  const stop = async () => {
    child.kill("SIGKILL");
    await ended;
  };
  const body = JSON.stringify({ model: "m", messages: [{ role: "user", content: "hi" }] });
  for (const deadline = performance.now() + STARTS_WITHIN_MS; performance.now() < deadline; await wait(250)) {
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode} at its start`);
    const answer = await fetch(`${url}/v1/chat/completions`, {
      method: "POST",
      body,
      headers: { "content-type": "application/json", ...headers },
      signal: AbortSignal.timeout(5000),
    }).catch(() => undefined);
    await answer?.arrayBuffer().catch(() => {});
    if (answer?.ok) return { name, url, pid: child.pid ?? 0, stop, headers };
  }
  await stop();
  throw new Error(`it did not answer within ${STARTS_WITHIN_MS / 1000} s`);
}

/** Starts all that are available. @param modelUrl the origin */
export async function startPeers(folder: string, modelUrl: string): Promise<Started[]> {
  const all: Record<string, () => Promise<Peer>> = {
    nginx: async () => {
      onPath("nginx", "on Debian `apt-get install nginx-light`");
      return { ...(await startNginx(folder, modelUrl))!, headers: {} };
    },
    Portkey: async () => {
      const port = await claimPort();
      const headers = {
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": `${modelUrl}/v1`,
        authorization: "Bearer none",
      };
      return launch("Portkey", folder, [process.execPath, portkey(), `--port=${port}`, "--headless"], port, {
        headers,
      });
    },
    LiteLLM: async () => {
      const port = await claimPort();
      const packages = dirname(dirname(litellm()));
      const config = join(folder, "litellm.yaml");
      await writeFile(
        config,
        `model_list:\n  - model_name: m\n    litellm_params: { model: openai/m, api_base: "${modelUrl}/v1", api_key: none }\n`,
      );
      const run = "import sys; sys.argv[0] = 'litellm'; from litellm import run_server; run_server()";
      const env = {
        PYTHONPATH: packages,
        LITELLM_LOCAL_MODEL_COST_MAP: "True",
        LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY: "true",
        NO_DOCS: "True",
      };
      const flags = ["--config", config, "--port", String(port), "--host", "127.0.0.1", "--num_workers", "1"];
      return launch("LiteLLM", folder, ["python3", "-c", run, ...flags], port, { env });
    },
    "llama-swap": async () => {
      const program = onPath("llama-swap", "https://github.com/mostlygeek/llama-swap");
      const port = await claimPort();
      const config = join(folder, "llama-swap.yaml");
      await writeFile(
        config,
        `models:\n  m:\n    cmd: sleep 100000\n    proxy: ${modelUrl}\n    checkEndpoint: none\n`,
      );
      return launch("llama-swap", folder, [program, "--config", config, "--listen", `127.0.0.1:${port}`], port);
    },
    Olla: async () => {
      const program = onPath("olla", "https://github.com/thushan/olla");
      const port = await claimPort();
      const config = join(folder, "olla.yaml");
      await writeFile(
        config,
        `server: { host: 127.0.0.1, port: ${port} }\ndiscovery:\n  type: static\n  static:\n    endpoints:\n      - { url: "${modelUrl}", name: m, type: openai-compatible }\n`,
      );
      return launch("Olla", folder, [program, "--config", config], port);
    },
  };
  const started: Started[] = [];
  for (const [name, start] of Object.entries(all)) {
    try {
      started.push(await start());
    } catch (error) {
      started.push({ name, unavailable: error instanceof Error ? error.message : String(error) });
    }
  }
  return started;
}
