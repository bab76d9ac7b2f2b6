/** The path of a request, in processes: edge, cloudflared, relay, model server. All but the relay serve a whole run. */
import { type ChildProcess, fork, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, rmSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectorEnvironment } from "../../../sandbox/edge/connector-environment.ts";
import { buildRelay } from "../../built-relay.ts";
import { cloudflaredBinary } from "../../sandbox/edge/harness.ts";
import { atExit } from "../ending.ts";
import type { EdgeReady, ToEdge } from "./messages.ts";
import { type RelayProcess, startRelay } from "./relay.ts";

/** A running path without a relay. */
export interface Network {
  readonly edgeUrl: string;
  /** Starts a relay with fresh files and leads the hostname to it. The caller stops it. */
  relay(): Promise<RelayProcess>;
  stop(): Promise<void>;
}

/** Starts edge, model server and cloudflared, and builds the relay. @throws when there is no cloudflared */
export async function startNetwork(): Promise<Network> {
  const folder = await mkdtemp(join(tmpdir(), "slm-prove-"));
  const children: ChildProcess[] = [];
  const removed = atExit(() => rmSync(folder, { recursive: true, force: true }));
  const stop = async () => {
    await Promise.all(children.map(ended));
    await rm(folder, { recursive: true, force: true });
    removed();
  };
  const start = async <T>(script: string, ...args: string[]): Promise<[ChildProcess, T]> => {
    const child = fork(join(import.meta.dirname, script), args, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
    children.push(child);
    return [child, await firstMessage<T>(child)];
  };
  try {
    const program = await buildRelay(folder);
    const [edge, ready] = await start<EdgeReady>("edge-process.ts", join(folder, "edge"));
    const [, { port }] = await start<{ port: number }>("model.ts");
    const modelUrl = `http://127.0.0.1:${port}`;
    children.push(startCloudflared(folder, ready));
    return {
      edgeUrl: ready.url,
      async relay() {
        const relay = await startRelay(folder, program, modelUrl, ready);
        edge.send({ relayUrl: relay.url, modelUrl } satisfies ToEdge);
        await firstMessage<"routed">(edge);
        return relay;
      },
      stop,
    };
  } catch (cause) {
    await stop();
    throw cause;
  }
}

/** The next message of a child. @throws when it ends before */
async function firstMessage<T>(child: ChildProcess): Promise<T> {
  const over = new AbortController();
  const early = once(child, "exit", { signal: over.signal }).then(([code]) => {
    throw new Error(`a process of the suite ended with ${code}`);
  });
  try {
    const [message] = (await Promise.race([once(child, "message", { signal: over.signal }), early])) as [T];
    return message;
  } finally {
    over.abort();
    early.catch(() => {});
  }
}

/** As the product's own launchd plist starts it. */
function startCloudflared(folder: string, edge: EdgeReady): ChildProcess {
  const token = join(folder, "token");
  writeFileSync(token, edge.connectorToken, { mode: 0o600 });
  const log = openSync(join(folder, "cloudflared.log"), "w");
  const args = ["tunnel", "--no-autoupdate", "--metrics", "127.0.0.1:0", "run", "--token-file", token];
  const env = { HOME: folder, ...connectorEnvironment(edge) };
  const child = spawn(cloudflaredBinary(), args, { env, stdio: ["ignore", log, log] });
  closeSync(log);
  return child;
}

/** Ends a child of ours. */
export async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, "exit");
  child.kill("SIGKILL");
  await exit;
}
