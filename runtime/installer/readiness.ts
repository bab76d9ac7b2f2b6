/** Readiness checks of an installation, with the last log lines when they fail. */
import type { InstallInput } from "../install-input-schema.ts";
import { openRegular } from "../regular-file.ts";
import { isListening, respondsOk, waitUntil } from "./commands.ts";
import type { Daemon } from "./plists.ts";
import { inSeconds, timeLimits } from "./time-limits.ts";

/** Waits until the relay can serve (independent of the model server), or the connector is connected. @throws Error with the last log lines */
export async function requireReady(daemon: Daemon, key: "relay" | "connector", input: InstallInput): Promise<void> {
  const url = {
    relay: `http://127.0.0.1:${input.relay.port}/readyz`,
    connector: `http://127.0.0.1:${input.connectorPort}/ready`,
  }[key];
  const limits = timeLimits();
  const withinMs = { relay: limits.relayReady, connector: limits.connectorReady }[key];
  if (await waitUntil(() => respondsOk(url), withinMs)) return;
  const what = {
    relay: "the relay did not become ready",
    connector: "cloudflared did not connect to Cloudflare (is the Mac on the internet, and port 7844 open outwards?)",
  }[key];
  throw new Error(`${what} within ${inSeconds(withinMs)}. Its last log lines:\n${await lastLines(daemon.logFile)}`);
}

/** A started model server that does not listen is a warning, not an error: the relay waits for it. @param warnings receives the problem */
export async function waitForModelServer({ relay }: InstallInput, daemon: Daemon, warnings: string[]): Promise<void> {
  const { hostname, port } = new URL(relay.model.url);
  const withinMs = timeLimits().modelListens;
  if (await waitUntil(() => isListening(hostname, Number(port || 80)), withinMs, 200)) return;
  warnings.push(
    `the model server was started by launchd and does not listen at ${relay.model.url} after ${inSeconds(withinMs)}; the relay waits for it. Its last log lines:\n${await lastLines(daemon.logFile)}`,
  );
}

/** @returns the last ten lines of a log, indented; of what is no regular file, why it was not read */
export async function lastLines(file: string): Promise<string> {
  const handle = await openRegular(file).catch((error: NodeJS.ErrnoException) => error);
  if (handle instanceof Error) return handle.code === "ENOENT" ? "(no log)" : `(${handle.message})`;
  try {
    const { size } = await handle.stat();
    const length = Math.min(size, 4096);
    const { buffer } = await handle.read(Buffer.alloc(length), 0, length, size - length);
    return buffer
      .toString("utf8")
      .trim()
      .split("\n")
      .slice(-10)
      .map((line) => `  ${line}`)
      .join("\n");
  } finally {
    await handle.close();
  }
}
