/** Runs a program of a build, with a line now and then about how far it is. */
import { spawn } from "node:child_process";

/** Time between two lines about how far it is. */
const progressMs = 30_000;
/** What is kept of its output, for the error. */
const TAIL = 4000;

/** How it is run. */
export interface RunOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Told every half minute: seconds so far, and the last line of the output. */
  readonly onProgress?: (seconds: number, lastLine: string) => void;
}

/**
 * Runs `command` to its end.
 * @returns its standard output, at most the last 4,000 characters
 * @throws Error with the end of its output when it fails or is missing
 */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { cwd, env = process.env, onProgress } = options;
  return new Promise((resolve, reject) => {
    // Nice: a build in the background must not slow down what is tested beside it.
    const child = spawn("nice", ["-n", "10", command, ...args], { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
    const started = Date.now();
    let [out, both] = ["", ""];
    child.stdout.on("data", (chunk: Buffer) => {
      out = (out + chunk.toString("utf8")).slice(-TAIL);
      both = (both + chunk.toString("utf8")).slice(-TAIL);
    });
    child.stderr.on("data", (chunk: Buffer) => {
      both = (both + chunk.toString("utf8")).slice(-TAIL);
    });
    const lastLine = () => both.trimEnd().split("\n").at(-1) ?? "";
    const beat = setInterval(() => onProgress?.(Math.round((Date.now() - started) / 1000), lastLine()), progressMs);
    child.on("error", (error) => {
      clearInterval(beat);
      reject(error);
    });
    child.on("close", (code) => {
      clearInterval(beat);
      if (code === 0) resolve(out);
      else
        reject(
          new Error(`${command} ${args[0] ?? ""} ended with ${code}: ${both.trim().split("\n").slice(-5).join(" | ")}`),
        );
    });
  });
}
