/** What one check found, and what it is judged by. */
import type { CommandResult } from "../../ssh/session.ts";
import type { MacEntry, MacSettings } from "../mac-settings.ts";

/** `fail`: the service does not work, or will not come back by itself. `warn`: it may hurt one day. */
export type Level = "ok" | "warn" | "fail";

/** One check's result, in plain words. */
export interface Finding {
  /** What was looked at. */
  readonly check: string;
  readonly level: Level;
  /** What is so. */
  readonly found: string;
  /** What follows from it; with `warn` and `fail`. */
  readonly means?: string | undefined;
  /** What to do about it. */
  readonly todo?: string | undefined;
}

/** What a command on the Mac said, or why it did not. */
export type Answer = CommandResult | { readonly unanswered: string };

/** What the findings are compared with. */
export interface Expected extends Pick<MacSettings, "model" | "limits" | "jobs" | "documents"> {
  readonly mac: MacEntry;
  /** Servers in route.direct. @default none */
  readonly directServers?: readonly string[];
  /** Locations of Cloudflare where the tunnel should be connected; empty when none is wanted. */
  readonly expectColo: readonly string[];
  /** The operator's clock when the Mac was asked for its own, in ms since 1970: just before and just after. */
  readonly asked: { readonly from: number; readonly to: number };
}

/** The answer's standard output when the command worked, else undefined. */
export function outputOf(answer: Answer | undefined): string | undefined {
  return answer && !("unanswered" in answer) && answer.exitCode === 0 ? answer.stdout : undefined;
}

/** A check that could not be made. */
export function unknown(check: string, answer: Answer | undefined, todo?: string): Finding {
  const why =
    answer === undefined
      ? "it was not asked"
      : "unanswered" in answer
        ? answer.unanswered
        : (answer.stderr.trim() || answer.stdout.trim()).split("\n")[0] || `exit code ${answer.exitCode}`;
  return { check, level: "warn", found: `not known (${why})`, means: "It could not be checked.", todo };
}

const units = ["KiB", "MiB", "GiB", "TiB"];
/** @param kib whole KiB. @returns e.g. `412 GiB` */
export function size(kib: number): string {
  let value = kib;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value >= 10 || Number.isInteger(value) ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}
