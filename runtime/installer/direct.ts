/** Direct lines: a LaunchDaemon with macOS's own `ssh` for each, which forwards a port of the caller's server to the relay. */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { type DirectLine, directLabel, directLineSchema } from "../direct-config.ts";
import { explainLine, readLineState } from "../direct-log.ts";
import { run, waitUntil } from "./commands.ts";
import { ensureLineFiles, pruneLineFiles, writeLines } from "./direct-files.ts";
import { probeServer } from "./direct-probe.ts";
import { readIfExists } from "./files.ts";
import { isLoaded, plistPath, reload, removeDaemon, writePlist } from "./launchd.ts";
import type { Layout } from "./layout.ts";
import { daemonLog, ensureLog } from "./logs.ts";
import { type Daemon, directDaemon, removedDirectDaemon } from "./plists.ts";

/** State of a line, as the installer and doctor report it. */
export interface LineReport {
  server: string;
  host: string;
  port: number;
  user: string;
  listen: string;
  /** For `authorized_keys` on the server. */
  publicKey: string;
  connected: boolean;
  /** Why not, with the fix. */
  problem?: string;
  /** Weaknesses of the server's sshd configuration; absent if it was not checked. */
  serverProblems?: string[];
}

/** Time for the first connection after a start, in milliseconds: ConnectTimeout and a moment. */
const connectWithinMs = 12_000;
/** `ssh` reports the sign-in before the server has answered whether it listens: only one that is this old counts, in milliseconds. */
const listensAfterMs = 1_000;

const prefix = directLabel("");

/** @returns servers of the installed daemons */
export async function installedLines(paths: Layout): Promise<string[]> {
  const names = await readdir(paths.launchDaemons).catch(() => []);
  return names.flatMap((name) =>
    name.startsWith(prefix) && name.endsWith(".plist") ? [name.slice(prefix.length, -".plist".length)] : [],
  );
}

/**
 * Installs the lines and removes all others. A line is restarted only if its configuration changed. A line that does not
 * connect is a warning: the relay serves without it, and launchd keeps trying.
 * @param warnings receives a sentence for each problem
 * @returns state of each line, and labels of restarted daemons
 */
export async function ensureLines(
  paths: Layout,
  lines: readonly DirectLine[] = [],
  warnings: string[],
): Promise<{ lines: LineReport[]; restarted: string[] }> {
  const servers = new Set(lines.map(({ server }) => server));
  for (const server of await installedLines(paths)) {
    if (!servers.has(server)) await removeDaemon(paths, removedDirectDaemon(paths, server));
  }
  await pruneLineFiles(paths, servers);
  if (lines.length === 0) return { lines: [], restarted: [] };
  await writeLines(paths, lines);
  const restarted: string[] = [];
  /** Sizes of the logs before a restart: older messages say nothing about the new connection. */
  const logSizes = new Map<string, number>();
  for (const line of lines) {
    const { hasChanged } = await ensureLineFiles(paths, line);
    const daemon = directDaemon(paths, line);
    const replaced = await ensureLog(paths, daemon.logFile, daemonLog);
    if (replaced !== undefined) warnings.push(replaced);
    const isSame =
      (await readIfExists(plistPath(paths, daemon))) === daemon.plist && !hasChanged && replaced === undefined;
    await writePlist(paths, daemon);
    await run("launchctl", ["enable", `system/${daemon.label}`]);
    if (isSame && (await isLoaded(daemon))) continue;
    logSizes.set(line.server, (await stat(daemon.logFile)).size);
    await reload(paths, daemon);
    restarted.push(daemon.label);
  }
  const reports = await checkLines(paths, lines, logSizes);
  warnings.push(...reports.flatMap(lineWarnings));
  return { lines: reports, restarted };
}

/** @returns a sentence for each problem of a line */
export function lineWarnings({ server, connected, problem, serverProblems = [] }: LineReport): string[] {
  const paste = `run the paste of \`npm run direct -- --prepare ${server}\` as root on that server`;
  return [
    ...(connected
      ? []
      : [`the direct line of ${server} is not connected, and its calls have to go through Cloudflare: ${problem}`]),
    ...serverProblems.map((weakness) => `the direct line of ${server}: ${weakness}; ${paste}`),
  ];
}

/** Waits for a connection, then checks the server's sshd configuration. All lines at once. */
export function checkLines(
  paths: Layout,
  lines: readonly DirectLine[],
  logSizes: ReadonlyMap<string, number> = new Map(),
): Promise<LineReport[]> {
  return Promise.all(lines.map((line) => checkLine(paths, line, logSizes.get(line.server) ?? -1)));
}

async function checkLine(paths: Layout, line: DirectLine, logSize: number): Promise<LineReport> {
  const { relayPort: _, hostKey: _hostKey, ...shown } = line;
  const daemon: Daemon = directDaemon(paths, line);
  const isNew = logSize >= 0;
  let state = await readLineState(daemon.logFile);
  // An attempt that failed is final here; no attempt yet is not.
  const settled = async () => {
    const { size } = await stat(daemon.logFile).catch(() => ({ size: 0 }));
    if (size <= logSize) return false;
    state = await readLineState(daemon.logFile);
    if (state.connected) return !isNew || Date.now() - Date.parse(state.since ?? "") >= listensAfterMs;
    return state.reason !== undefined && !isPending(state.reason);
  };
  await waitUntil(settled, connectWithinMs, 200);
  const publicKey = ((await readIfExists(join(paths.direct, `${line.server}.key.pub`))) ?? "").trim();
  const serverProblems = state.connected ? await probeServer(paths, line) : [];
  // The probe takes seconds: a server that refused to listen has said so by now.
  if (state.connected && isNew) state = await readLineState(daemon.logFile);
  const report = { ...shown, publicKey, connected: state.connected };
  if (!state.connected) return { ...report, problem: explainLine(state.reason ?? "", line) };
  return { ...report, serverProblems };
}

/** The former process' last message, or none yet. */
const isPending = (reason: string): boolean =>
  /^(no connection yet|the connection ended|there is no log)$/.test(reason);

/** @returns the lines of the installation; empty without any */
export async function readLines(paths: Layout): Promise<DirectLine[]> {
  const text = await readIfExists(paths.directLines);
  return text === undefined ? [] : z.array(directLineSchema).parse(JSON.parse(text));
}
