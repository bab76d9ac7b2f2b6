/** `sudo`: its options, and the environment of the command (env_reset), sudo(8) and macOS' sudoers. */
import { spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { constants as osConstants } from "node:os";
import { delimiter, isAbsolute, join, resolve } from "node:path";

/** A parsed call of sudo. */
export interface SudoCall {
  /** User to run as. */
  user: string;
  /** Program (a full path if found) and its arguments; empty for `sudo -v`. */
  command: string[];
  /** NAME=value given before the program. */
  variables: Record<string, string>;
  /** -H: HOME of that user. */
  setsHome: boolean;
}

/**
 * Parses sudo's arguments. Refused without `-n` even if no password is needed: nobody can type one, and calls that work
 * only with a fresh timestamp must not work here.
 */
export function parseSudo(argv: string[]): SudoCall | { refusal: string } {
  const call: SudoCall = { user: "root", command: [], variables: {}, setsHome: false };
  let isNonInteractive = false;
  let asksNothing = false;
  let i = 0;
  for (; i < argv.length; i++) {
    const arg = argv[i] ?? "";
    if (arg === "--") {
      i++;
      break;
    }
    if (!arg.startsWith("-")) break;
    if (arg === "--non-interactive") isNonInteractive = true;
    else if (arg === "-u" || arg === "--user") call.user = argv[++i] ?? "";
    else if (/^-[nHkvS]+$/.test(arg)) {
      isNonInteractive ||= arg.includes("n");
      call.setsHome ||= arg.includes("H");
      asksNothing ||= arg.includes("v") || arg.includes("k");
    } else return { refusal: `sudo: the sandbox's sudo does not know ${arg}` };
  }
  if (!isNonInteractive) {
    return { refusal: "sudo: a terminal is required to read the password\nsudo: a password is required" };
  }
  for (; i < argv.length; i++) {
    const [, name, value] = /^([A-Za-z_]\w*)=(.*)$/s.exec(argv[i] ?? "") ?? [];
    if (name === undefined || value === undefined) break;
    call.variables[name] = value;
  }
  const [program, ...rest] = argv.slice(i);
  if (program === undefined) return asksNothing ? call : { refusal: "usage: sudo -n [-u user] command" };
  const found = find(program);
  if (found === undefined) return { refusal: `sudo: ${program}: command not found` };
  return { ...call, command: [found, ...rest] };
}

function find(program: string): string | undefined {
  const candidates =
    isAbsolute(program) || program.includes("/")
      ? [resolve(program)]
      : (process.env.PATH ?? "").split(delimiter).map((folder) => join(folder, program));
  return candidates.find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Variables kept by env_reset and macOS' env_keep, and those the sandbox needs. */
const kept =
  /^(PATH|HOME|MAIL|TERM|TZ|LANG|LANGUAGE|LC_\w+|COLORTERM|COLUMNS|LINES|SSH_AUTH_SOCK|TMPDIR|SLM_NETWORK_ROOT|SLM_NETWORK_TIME_SCALE)$/;

/** Environment of the command. */
export function environmentOf(call: SudoCall, from: NodeJS.ProcessEnv): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const [name, value] of Object.entries(from)) {
    if (value !== undefined && kept.test(name)) environment[name] = value;
  }
  const root = from.SLM_NETWORK_ROOT ?? "";
  return {
    ...environment,
    ...(call.setsHome ? { HOME: join(root, call.user === "root" ? "/var/root" : "/var/empty") } : {}),
    USER: call.user,
    LOGNAME: call.user,
    SHELL: "/bin/sh",
    SUDO_USER: from.SLM_SANDBOX_USER ?? from.USER ?? "",
    SUDO_UID: "501",
    SUDO_GID: "20",
    SUDO_COMMAND: call.command.join(" "),
    SLM_SANDBOX_USER: call.user,
    ...call.variables,
  };
}

/** Runs the command with this process's standard streams and exits with its code. */
export function runAs(call: SudoCall): void {
  const [program = "", ...args] = call.command;
  const child = spawn(program, args, { stdio: "inherit", env: environmentOf(call, process.env) });
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, () => child.kill(signal));
  child.on("error", (error) => {
    process.stderr.write(`sudo: unable to execute ${program}: ${error.message}\n`);
    process.exitCode = 1;
  });
  child.on("exit", (code, signal) => {
    process.exitCode = code ?? 128 + (signal === null ? 0 : osConstants.signals[signal]);
  });
}
