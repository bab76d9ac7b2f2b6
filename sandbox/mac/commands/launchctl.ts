/** `launchctl`, the subcommands of launchctl(1) that a daemon's installer needs, on the system domain. */
import { constants } from "node:os";
import { LaunchdError } from "../launchd.ts";
import type { Job } from "../launchd-job.ts";
import { type Answer, type Call, type Command, fail, type Machine, ok, pathOf } from "./command.ts";

/** launchctl [bootstrap|bootout|enable|disable|kickstart|kill|print|print-disabled|list] */
export const launchctl: Command = (call, mac) => {
  const [subcommand = "", ...rest] = call.argv;
  switch (subcommand) {
    case "print":
      return print(rest[0] ?? "", mac);
    case "print-disabled":
      return printDisabled(mac);
    case "list":
      return list(rest[0], mac);
    case "bootstrap":
      return asRoot(call, "Bootstrap failed", 5, () => bootstrap(rest, call, mac));
    case "bootout":
      return asRoot(call, "Boot-out failed", 5, () => bootout(rest, call, mac));
    case "enable":
    case "disable":
      return asRoot(call, `Could not ${subcommand} service`, 1, () => {
        mac.launchd.override(labelOf(rest[0]), subcommand === "enable" ? "enabled" : "disabled");
        return ok();
      });
    case "kickstart":
      return asRoot(call, "Could not kickstart service", 1, () => kickstart(rest, mac));
    case "kill":
      return asRoot(call, "Could not kill service", 1, () => kill(rest, mac));
    default:
      return fail(
        64,
        `Unrecognized subcommand: ${subcommand}`,
        "The sandbox's launchctl knows the system domain only.",
      );
  }
};

/** The label of `system/<label>`. */
function labelOf(target: string | undefined): string {
  const [domain, label, ...more] = (target ?? "").split("/");
  if (domain !== "system" || !label || more.length > 0) {
    throw new Error(`Unrecognized target specifier: ${target ?? ""}. The sandbox's launchd has system/<label>.`);
  }
  return label;
}

async function asRoot(call: Call, what: string, code: 1 | 5, run: () => Answer | Promise<Answer>): Promise<Answer> {
  if (call.user !== "root") {
    return code === 5
      ? fail(5, `${what}: 5: Input/output error`, "Try re-running the command as root for richer errors.")
      : fail(1, `${what}: 1: Operation not permitted`);
  }
  try {
    return await run();
  } catch (error) {
    if (error instanceof LaunchdError) return fail(error.code, `${what}: ${error.code}: ${error.message}`);
    throw error;
  }
}

function bootstrap([domain, ...plists]: string[], call: Call, mac: Machine): Answer {
  if (domain !== "system" || plists.length === 0) return fail(64, "Usage: launchctl bootstrap system <plist path> ...");
  for (const plist of plists) mac.launchd.bootstrap(pathOf(call, mac, plist));
  return ok();
}

function bootout([target = "", ...plists]: string[], call: Call, mac: Machine): Answer {
  if (target !== "system") {
    mac.launchd.bootout(labelOf(target));
    return ok();
  }
  if (plists.length === 0) return fail(64, "Usage: launchctl bootout system/<label> | system <plist path> ...");
  for (const plist of plists) {
    const path = pathOf(call, mac, plist);
    const job = mac.launchd.jobs().find((one) => one.path === path);
    mac.launchd.bootout(job?.definition.label ?? "");
  }
  return ok();
}

async function kickstart(argv: string[], mac: Machine): Promise<Answer> {
  const flags = argv.filter((arg) => arg.startsWith("-")).join("");
  const label = labelOf(argv.find((arg) => !arg.startsWith("-")));
  const job = mac.launchd.job(label);
  if (job === undefined) return notFound(label);
  await mac.launchd.kickstart(label, flags.includes("k"));
  return flags.includes("p") && job.pid !== undefined ? ok(String(job.pid)) : ok();
}

function kill([name = "", target]: string[], mac: Machine): Answer {
  const label = labelOf(target);
  const job = mac.launchd.job(label);
  if (job === undefined) return notFound(label);
  const signals = Object.entries(constants.signals) as [NodeJS.Signals, number][];
  const wanted = name.toUpperCase().replace(/^SIG/, "");
  const signal = signals.find(([full, number]) => full === `SIG${wanted}` || String(number) === wanted)?.[0];
  if (signal === undefined) return fail(64, `Unknown signal: ${name}`);
  return job.signal(signal) ? ok() : fail(3, "No process to signal.");
}

const notFound = (label: string): Answer => fail(113, `Could not find service "${label}" in domain for system`);

function print(target: string, mac: Machine): Answer {
  if (target === "system") {
    const rows = mac.launchd.jobs().map((job) => `\t\t${job.pid ?? 0}\t${status(job)}\t${job.definition.label}`);
    return ok("system = {", "\ttype = system", "\tservices = {", ...rows, "\t}", "}");
  }
  const label = labelOf(target);
  const job = mac.launchd.job(label);
  if (job === undefined) return { ...notFound(label), stderr: `Bad request.\n${notFound(label).stderr}` };
  const { definition, lastExit } = job;
  const isRunning = job.pid !== undefined;
  return ok(
    `system/${label} = {`,
    `\tactive count = ${isRunning ? 1 : 0}`,
    `\tpath = ${job.path}`,
    "\ttype = LaunchDaemon",
    `\tstate = ${job.state === "ending" ? "SIGTERMed" : job.state === "throttled" ? "spawn scheduled" : isRunning ? "running" : "not running"}`,
    "",
    `\tprogram = ${definition.program}`,
    "\targuments = {",
    ...[definition.argv0, ...definition.args].map((arg) => `\t\t${arg}`),
    "\t}",
    "",
    `\tusername = ${definition.userName}`,
    `\tminimum runtime = ${definition.throttleSeconds}`,
    `\texit timeout = ${definition.exitTimeOutSeconds}`,
    `\truns = ${job.runs}`,
    ...(isRunning ? [`\tpid = ${job.pid}`] : []),
    `\tlast exit code = ${lastExit === undefined ? "(never exited)" : (lastExit.code ?? status(job))}`,
    ...(lastExit?.signal ? [`\tlast terminating signal = ${lastExit.signal}`] : []),
    "}",
  );
}

/** As `launchctl list`: the exit code, or minus the signal. */
function status(job: Job): number {
  const exit = job.lastExit;
  if (exit === undefined) return 0;
  return exit.signal === null ? (exit.code ?? 0) : -constants.signals[exit.signal];
}

function printDisabled(mac: Machine): Answer {
  const rows = Object.entries(mac.launchd.overrides()).map(([label, value]) => `\t\t"${label}" => ${value}`);
  return ok("", "\tdisabled services = {", ...rows, "\t}");
}

function list(label: string | undefined, mac: Machine): Answer {
  if (label === undefined) {
    const rows = mac.launchd.jobs().map((job) => `${job.pid ?? "-"}\t${status(job)}\t${job.definition.label}`);
    if (mac.outside) rows.push(`${mac.outside.pid}\t0\t${mac.outside.label}`);
    return ok("PID\tStatus\tLabel", ...rows);
  }
  const job = mac.launchd.job(label);
  if (job === undefined) return notFound(label);
  return ok(
    "{",
    `\t"Label" = "${label}";`,
    `\t"LastExitStatus" = ${Math.abs(status(job))};`,
    ...(job.pid === undefined ? [] : [`\t"PID" = ${job.pid};`]),
    `\t"Program" = "${job.definition.program}";`,
    "};",
  );
}
