/** Output of a command: captured for the state and errors, and logged line by line while it runs. */
import type { Call } from "../plugin/definition.ts";

/** The streams that go to the engine's log. @default both, as upstream */
export const loggingChoices = ["stdout", "stderr", "stdoutAndStderr", "none"] as const;

/** Collects both streams of one run. */
export interface Capture {
  stdout(chunk: Buffer): void;
  stderr(chunk: Buffer): void;
  /**
   * Logs the last, unterminated line.
   * @throws Error for a line on which the official provider would hang
   * @returns both outputs without their last newline, and all output in order of arrival
   */
  finish(): { stdout: string; stderr: string; all: string };
}

/** The line limit of Go's bufio.Scanner, which upstream uses. Beyond it nothing empties the command's pipe. */
const longestLineBytes = 64 * 1024;

function checkLength(line: string): void {
  if (Buffer.byteLength(line) < longestLineBytes) return;
  throw new Error(
    `the command wrote a line of over ${longestLineBytes} bytes while its output is logged: the official provider hangs here forever. Set logging: "none", or have it write shorter lines`,
  );
}

/** Logs complete lines; bytes of a split character wait for the rest. */
function lineLogger(log: ((line: string) => void) | undefined): { feed(chunk: Buffer): void; end(): void } {
  if (!log) return { feed: () => {}, end: () => {} };
  const decoder = new TextDecoder();
  let rest = "";
  let longest = "";
  return {
    feed(chunk) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        if (line.length > longest.length) longest = line;
        log(line);
      }
    },
    end() {
      rest += decoder.decode();
      checkLength(rest.length > longest.length ? rest : longest);
      if (rest !== "") log(rest);
      rest = "";
    },
  };
}

const trimmed = (chunks: Buffer[]) => Buffer.concat(chunks).toString().replace(/\n$/, "");

/** @param logging the resource's `logging` input */
export function capture<Client>(call: Call<Client>, logging: unknown): Capture {
  const show = (line: string) => call.log("info", line, true);
  const choice = typeof logging === "string" ? logging : "stdoutAndStderr";
  const outLog = lineLogger(choice === "stdout" || choice === "stdoutAndStderr" ? show : undefined);
  const errLog = lineLogger(choice === "stderr" || choice === "stdoutAndStderr" ? show : undefined);
  const [out, err, all]: Buffer[][] = [[], [], []];
  return {
    stdout(chunk) {
      out?.push(chunk);
      all?.push(chunk);
      outLog.feed(chunk);
    },
    stderr(chunk) {
      err?.push(chunk);
      all?.push(chunk);
      errLog.feed(chunk);
    },
    finish() {
      outLog.end();
      errLog.end();
      return { stdout: trimmed(out ?? []), stderr: trimmed(err ?? []), all: Buffer.concat(all ?? []).toString() };
    },
  };
}

/** The error of a failed run: reason, whole command and all its output, in upstream's format (regardless of `logging`). */
export function runError(why: string, command: string, output: string): Error {
  return new Error(`${why}: running ${JSON.stringify(command)}:\n${output}`);
}

/** The variables that carry an earlier run's outputs, empty ones left out. */
export function previousOutputs(state: { [key: string]: unknown }): Record<string, string> {
  if (state.addPreviousOutputInEnv === false) return {};
  const variables: Record<string, string> = {};
  if (typeof state.stdout === "string" && state.stdout !== "") variables.PULUMI_COMMAND_STDOUT = state.stdout;
  if (typeof state.stderr === "string" && state.stderr !== "") variables.PULUMI_COMMAND_STDERR = state.stderr;
  return variables;
}

/** A map input as strings. */
export function environmentOf(value: unknown): Record<string, string> {
  if (typeof value !== "object" || value === null) return {};
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, String(item)]));
}
