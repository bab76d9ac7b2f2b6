/** `keep_alive` of Ollama, which also counts on the OpenAI paths of some servers: how long the model stays loaded. Pure. */
import { RelayError } from "../errors.ts";
import type { MemberCheck } from "./dialect.ts";

/** A model loaded for less than this many seconds is as good as unloaded for the next caller. */
const SHORTEST_KEEP_ALIVE = 60;

/**
 * Throws `keep_alive_not_allowed` for a time that would unload the model under other callers, and `keep_alive_invalid` for
 * what is no time: Ollama refuses a number in quotes without a unit, and the body is passed on byte for byte.
 */
export const keepAliveCheck: MemberCheck = {
  member: "keep_alive",
  longest: 256, // no duration comes near
  check(value, shown) {
    if (value === null) return;
    const seconds = typeof value === "number" ? value : typeof value === "string" ? parseGoDuration(value) : Number.NaN;
    // Above 2^63 ns Go's arithmetic wraps around, to a time in the past.
    if (Number.isNaN(seconds)) throw invalid(value, shown);
    if (seconds < 0 || (seconds >= SHORTEST_KEEP_ALIVE && seconds < 9_223_372_036)) return;
    throw new RelayError(
      "keep_alive_not_allowed",
      `keep_alive ${shown} would unload the model under other callers. Leave it out, or send at least ${SHORTEST_KEEP_ALIVE} seconds (60, "5m") or a negative number (forever).`,
    );
  },
};

function invalid(value: unknown, shown: string): RelayError {
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : Number.NaN;
  const fix = Number.isFinite(number)
    ? `Send the number ${number} (seconds), or "${number}s"`
    : 'Send seconds (300) or a duration ("5m")';
  return new RelayError(
    "keep_alive_invalid",
    `keep_alive ${shown} is no duration. ${fix}; a negative number means forever.`,
  );
}

// Both letters that look like a small mu, escaped: one letter beyond Latin-1 doubles what the program's text takes in memory.
const NANOSECONDS: Record<string, number> = {
  ns: 1,
  us: 1e3,
  "\u00b5s": 1e3,
  "\u03bcs": 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};
/** Longest duration that is read, in characters. */
const LONGEST_DURATION = 100;
// After each prefix of a text there is one way to go on, and the second never looks further than where it stands ("y").
const DURATION = /^(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|\u00b5s|\u03bcs|ms|s|m|h))+$/u;
const DURATION_PART = /(\d+(?:\.\d*)?|\.\d+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)/guy;

/**
 * Seconds of a Go duration ("1h30m", "-1s", "0"), NaN if it is not one or is longer than 100 characters. Each part is cut to
 * whole nanoseconds, as Go does, so that "-0.1ns" is 0. Source: https://pkg.go.dev/time#ParseDuration
 */
export function parseGoDuration(text: string): number {
  if (text.length > LONGEST_DURATION) return Number.NaN;
  const negative = text.startsWith("-");
  const rest = negative || text.startsWith("+") ? text.slice(1) : text;
  if (rest === "0") return 0;
  if (!DURATION.test(rest)) return Number.NaN;
  let total = 0;
  for (const [, number, unit] of rest.matchAll(DURATION_PART)) {
    total += Math.trunc(Number(number) * (NANOSECONDS[unit ?? ""] ?? Number.NaN));
  }
  return (negative ? -total : total) / 1e9;
}
