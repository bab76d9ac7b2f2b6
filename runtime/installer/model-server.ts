/** Who starts the model server, and whether it takes as much at once as the relay sends. Only looks. */
import { join } from "node:path";
import type { InstallInput } from "../config.ts";
import { type ModelServer, modelServer } from "../model-servers.ts";
import type { Layout } from "./layout.ts";
import { run } from "./system.ts";

/** What was found at the model server's port. */
export type ModelServerReport =
  /** Label of the LaunchDaemon that started it: it is back after a power cut. */
  | { startedBy: "launchd"; label: string }
  /** Somebody else did. */
  | { startedBy: "another"; program: string }
  | { startedBy: "nobody" }
  /** On another machine, or it could not be found out. */
  | { startedBy: "unknown" };

const howTo =
  "Set model.service in the stack's config, and launchd starts it with the Mac (quit the one that runs now, and take it out of the login items)";
/** @param warnings gets a sentence for each thing that is not as it should be */
export async function lookAtModelServer(
  paths: Layout,
  { relay, modelService }: InstallInput,
  warnings: string[],
): Promise<ModelServerReport> {
  const { kind, url } = relay.model;
  const { hostname, port, protocol } = new URL(url);
  if (!/^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname)) return { startedBy: "unknown" };
  const number = port || (protocol === "https:" ? "443" : "80");
  const found = await startedBy(number).catch((error: Error): ModelServerReport => {
    warnings.push(`who starts the model server could not be found out (${error.message})`);
    return { startedBy: "unknown" };
  });
  if (found.startedBy === "nobody" && !modelService) {
    warnings.push(
      `nothing listens at the model server's address ${url}, and the config does not say who starts it: after a power cut it may not be back. ${howTo}`,
    );
  } else if (found.startedBy === "another") {
    warnings.push(
      `the model server at ${url} (${found.program}) was not started by launchd as a daemon: after a power cut it is not back until somebody signs in. ${howTo}`,
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
    `${title} takes fewer at once than the relay sends (${said}; limits.chat is ${chat}): the rest waits inside ${title}, where its place in the queue is not seen and its time counts as the model's. Make them the same`,
  );
}

/** @returns what the daemon's plist sets; undefined without one that can be read */
async function environmentOf(paths: Layout, found: ModelServerReport, variable: string): Promise<string | undefined> {
  if (found.startedBy !== "launchd") return undefined;
  const plist = join(paths.launchDaemons, `${found.label}.plist`);
  const read = ["-extract", `EnvironmentVariables.${variable}`, "raw", "-o", "-", plist];
  const ran = await run("plutil", read, [1]);
  return ran.exitCode === 0 ? ran.stdout.trim() : undefined;
}

/** Who listens, and whether it or one of those that started it is a daemon that launchd knows. */
async function startedBy(port: string): Promise<ModelServerReport> {
  // lsof ends with 1 when it finds none.
  const listeners = (await run("lsof", ["-nP", `-iTCP:${port}`, "-sTCP:LISTEN", "-t"], [1])).stdout.match(/^\d+$/gm);
  const [first] = listeners ?? [];
  if (first === undefined) return { startedBy: "nobody" };
  const [processes, jobs] = await Promise.all([
    run("ps", ["-axo", "pid=,ppid=,comm="]),
    run("launchctl", ["list"]), // as root: the daemons; those of people's sessions are not among them
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
