/** How the model server is started, and whether its parallelism matches the relay's. Read-only. */

import { join } from "node:path";
import type { InstallInput } from "../install-input-schema.ts";
import { isLoopback } from "../loopback.ts";
import { type ModelServer, modelServer } from "../model-servers.ts";
import { run } from "./commands.ts";
import type { Layout } from "./layout.ts";

/** The process at the model server's port. */
export type ModelServerReport =
  /** Started by the LaunchDaemon with this label: it restarts after a power cut. */
  | { startedBy: "launchd"; label: string }
  /** Started in some other way. */
  | { startedBy: "another"; program: string }
  | { startedBy: "nobody" }
  /** On another machine, or detection failed. */
  | { startedBy: "unknown" };

const howTo =
  "Set model.service in the stack config to have launchd start it at boot (quit the running one and remove it from the login items)";

/** @param warnings receives a sentence for each problem */
export async function inspectModelServer(
  paths: Layout,
  { relay, modelService }: InstallInput,
  warnings: string[],
): Promise<ModelServerReport> {
  const { kind, url } = relay.model;
  const { hostname, port, protocol } = new URL(url);
  if (!isLoopback(hostname)) return { startedBy: "unknown" };
  const number = port || (protocol === "https:" ? "443" : "80");
  const found = await listenerOf(number).catch((error: Error): ModelServerReport => {
    warnings.push(`how the model server is started could not be determined (${error.message})`);
    return { startedBy: "unknown" };
  });
  if (found.startedBy === "nobody" && !modelService) {
    warnings.push(
      `nothing listens at the model server's address ${url}, and the config does not say how it is started: it may not restart after a power cut. ${howTo}`,
    );
  } else if (found.startedBy === "another") {
    warnings.push(
      `the model server at ${url} (${found.program}) was not started by launchd as a daemon: after a power cut it does not restart until someone logs in. ${howTo}`,
    );
  }
  const server = modelServer(kind);
  if (server.parallel !== undefined && found.startedBy !== "unknown") {
    const { variable } = server.parallel;
    const env = modelService ? modelService.env[variable] : await environmentOf(paths, found, variable);
    if (env !== undefined || modelService || found.startedBy === "launchd") {
      warnAboutParallel(env, server.title, server.parallel, relay.limits.chat, warnings);
    }
  }
  return found;
}

function warnAboutParallel(
  env: string | undefined,
  title: string,
  { variable, unset }: NonNullable<ModelServer["parallel"]>,
  chat: number,
  warnings: string[],
): void {
  const atOnce = env === undefined ? unset : Number(env);
  if (atOnce >= chat) return;
  const said = env === undefined ? `${variable} is not set, so ${unset}` : `${variable} is ${env}`;
  warnings.push(
    `${title} runs fewer requests at once than the relay sends (${said}; limits.chat is ${chat}): the rest waits inside ${title}, where its queue position is not visible and its waiting time counts as model time. Set both to the same value`,
  );
}

/** @returns the value in the daemon's plist; undefined if it cannot be read */
async function environmentOf(paths: Layout, found: ModelServerReport, variable: string): Promise<string | undefined> {
  if (found.startedBy !== "launchd") return undefined;
  const plist = join(paths.launchDaemons, `${found.label}.plist`);
  const read = ["-extract", `EnvironmentVariables.${variable}`, "raw", "-o", "-", plist];
  const ran = await run("plutil", read, [1]);
  return ran.exitCode === 0 ? ran.stdout.trim() : undefined;
}

/** The listening process, and whether it or one of its ancestors is a LaunchDaemon. */
async function listenerOf(port: string): Promise<ModelServerReport> {
  // lsof exits with 1 if it finds none.
  const listeners = (await run("lsof", ["-nP", `-iTCP:${port}`, "-sTCP:LISTEN", "-t"], [1])).stdout.match(/^\d+$/gm);
  const [first] = listeners ?? [];
  if (first === undefined) return { startedBy: "nobody" };
  const [processes, jobs] = await Promise.all([
    run("ps", ["-axo", "pid=,ppid=,comm="]),
    run("launchctl", ["list"]), // as root: only daemons, not the agents of user sessions
  ]);
  const parents = new Map<number, { parent: number; program: string }>();
  for (const [, pid, parent, program] of processes.stdout.matchAll(/^\s*(\d+)\s+(\d+)\s+(.*)$/gm)) {
    parents.set(Number(pid), { parent: Number(parent), program: program!.trim() });
  }
  const labels = new Map<number, string>();
  for (const [, pid, label] of jobs.stdout.matchAll(/^(\d+)\t\S+\t(.+)$/gm)) labels.set(Number(pid), label!);
  for (let pid = Number(first), steps = 0; pid > 1 && steps < 64; steps++) {
    const label = labels.get(pid);
    if (label !== undefined) return { startedBy: "launchd", label };
    pid = parents.get(pid)?.parent ?? 0;
  }
  return { startedBy: "another", program: parents.get(Number(first))?.program ?? `process ${first}` };
}
