/** The system's own commands, called without a shell. */
import { execFile } from "node:child_process";
import { connect } from "node:net";

/** A command that ended with a code nobody expected. Its arguments hold no secrets: those go through files. */
export class CommandError extends Error {
  override name = "CommandError";
  readonly exitCode: number;
  constructor(command: string, args: readonly string[], exitCode: number, said: string) {
    super(`\`${[command, ...args].join(" ")}\` ended with ${exitCode}${said ? `: ${said}` : ""}`);
    this.exitCode = exitCode;
  }
}

/** What a command said. */
export interface CommandResult {
  exitCode: number;
  stdout: string;
  stderr: string;
}

/**
 * Runs a command and waits, at most two minutes.
 * @param tolerate exit codes besides 0 that are no error
 * @throws CommandError for any other exit code, also when the command is not there (127)
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

/** Asks `question` every `everyMs` until it says yes. @returns whether it did within `withinMs` */
export async function waitUntil(question: () => Promise<boolean>, withinMs: number, everyMs = 100): Promise<boolean> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    if (await question()) return true;
    if (performance.now() >= deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

/** @returns whether a GET to this address answers 200 within two seconds */
export async function respondsOk(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(2_000) });
    await response.body?.cancel();
    return response.status === 200;
  } catch {
    return false;
  }
}

/** @returns whether somebody listens there */
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
