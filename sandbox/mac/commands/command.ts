/** The shape of an emulated macOS command: a function that runs in the sandbox's own process. */

import type { Log } from "../../log.ts";
import type { Directory } from "../directory.ts";
import type { Hardware } from "../hardware.ts";
import type { Launchd } from "../launchd.ts";
import type { OutsideDaemon } from "../outside-daemon.ts";
import type { Owners } from "../owners.ts";
import type { PowerSettings } from "../power-settings.ts";
import type { RootPaths } from "../root-path.ts";
import type { StateFile } from "../state-file.ts";
import type { Wtmp } from "../wtmp.ts";

/** The Mac, as passed to a command. */
export interface Machine {
  /** Name of the administrator's account. */
  admin: string;
  /** Its version of macOS, e.g. `26.5.1`. */
  macos: string;
  hardware: Hardware;
  paths: RootPaths;
  owners: Owners;
  directory: Directory;
  launchd: Launchd;
  power: StateFile<PowerSettings>;
  wtmp: Wtmp;
  log: Log;
  /** A daemon that this machine's launchd did not start, listed all the same. */
  outside?: OutsideDaemon | undefined;
}

/** One call of a command. */
export interface Call {
  /** Arguments after the command's name. */
  argv: string[];
  /** Real path of the caller's working folder. */
  cwd: string;
  /** The calling user: the administrator, or root under `sudo`. */
  user: string;
  /** Standard input when the arguments request it (`-`), else empty. */
  stdin: Buffer;
}

/** Exit code and output. */
export interface Answer {
  code: number;
  stdout: string;
  stderr: string;
}

/** An emulated command. A thrown Error is printed as `name: message` with exit code 1. */
export type Command = (call: Call, mac: Machine) => Answer | Promise<Answer>;

/** Exit 0, printing lines. */
export function ok(...lines: string[]): Answer {
  return { code: 0, stdout: lines.map((line) => `${line}\n`).join(""), stderr: "" };
}

/** Exit with `code`, printing lines to standard error. */
export function fail(code: number, ...lines: string[]): Answer {
  return { code, stdout: "", stderr: lines.map((line) => `${line}\n`).join("") };
}

/** BSD's error for the first option outside of `letters`; undefined when all are known. Long options are GNU-only. */
export function illegalOption(
  name: string,
  argv: readonly string[],
  letters: string,
  usage: string,
): Answer | undefined {
  for (const arg of argv) {
    if (arg === "--") break;
    if (!/^-./.test(arg)) continue;
    const wrong = [...arg.slice(1)].find((letter) => !letters.includes(letter));
    if (wrong !== undefined) return fail(1, `${name}: illegal option -- ${wrong}`, `usage: ${usage}`);
  }
  return undefined;
}

/** Real path of a command's argument. */
export function pathOf(call: Call, mac: Machine, path: string): string {
  return mac.paths.real(path, call.cwd);
}
