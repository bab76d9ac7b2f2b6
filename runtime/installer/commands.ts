/** Runs system commands without a shell, and probes local ports. */
import { execFile } from "node:child_process";
import { connect } from "node:net";

/** A command with an unexpected exit code. Arguments never contain secrets: those are passed in files. */
export class CommandError extends Error {
  override name = "CommandError";
  readonly exitCode: number;
  constructor(command: string, args: readonly string[], exitCode: number, said: string) {
    super(`\`${[command, ...args].join(" ")}\` exited with ${exitCode}${said ? `: ${said}` : ""}`);
    this.exitCode = exitCode;
  }
}

/** Output and exit code of a command. */
export interface CommandResult {
  exitCode: number;
  stdout: string;
  stderr: string;
}

/**
 * Runs a command for at most two minutes.
 * @param tolerate exit codes besides 0 that are not errors
 * @throws CommandError for any other exit code, and if the command does not exist (127)
 */
export function run(
  command: string,
  args: readonly string[],
  tolerate: readonly number[] = [],
): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    execFile(command, [...args], { timeout: 120_000, maxBuffer: 8 << 20 }, (error, stdout, stderr) => {
      const exitCode = !error ? 0 : typeof error.code === "number" ? error.code : 127;
      if (exitCode === 0 || tolerate.includes(exitCode)) return resolve({ exitCode, stdout, stderr });
      const said = (stderr || stdout || (error?.message ?? "")).trim().split("\n").slice(-5).join(" | ");
      reject(new CommandError(command, args, exitCode, said));
    });
  });
}

/** Polls `condition` every `everyMs`. @returns whether it became true within `withinMs` */
export async function waitUntil(condition: () => Promise<boolean>, withinMs: number, everyMs = 100): Promise<boolean> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    if (await condition()) return true;
    if (performance.now() >= deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

/** @returns whether a GET of this URL returns 200 within two seconds */
export async function respondsOk(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(2_000) });
    await response.body?.cancel();
    return response.status === 200;
  } catch {
    return false;
  }
}

/** @returns whether something listens there */
export function isListening(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: host.replace(/^\[|\]$/g, ""), port, timeout: 2_000 });
    const end = (is: boolean) => {
      socket.destroy();
      resolve(is);
    };
    socket
      .once("connect", () => end(true))
      .once("error", () => end(false))
      .once("timeout", () => end(false));
  });
}
