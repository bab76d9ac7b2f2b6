/** What a request's JSON body may ask of the model server: bytes in, an error or what is known of them out. */
import type { ModelConfig } from "../../config.ts";
import { RelayError } from "../errors.ts";
import { JsonFault, MAX_DEPTH, type Member, type Scan, type ScanOptions } from "./json-scan.ts";
import { scanJson } from "./json-scanner.ts";

/** A model loaded for less than this many seconds is as good as unloaded for the next caller. */
const SHORTEST_KEEP_ALIVE = 60;
/** Longest values that are looked at, in bytes as written. No model's name and no duration comes near. */
const LONGEST = { model: 4096, keep_alive: 256 } as const;

/** What the relay itself needs of a body that has passed. */
export interface BodyFacts {
  /** As written; undefined when it is missing or not a boolean. */
  readonly stream: boolean | undefined;
  /** Where the members stand that the relay works with; offsets into the checked body. */
  readonly scan: Scan;
}

/** A body that may be sent on: the bytes without a byte order mark, which Go's decoder refuses. */
export interface CheckedBody {
  readonly body: Buffer;
  readonly facts: BodyFacts;
}

/** What an OpenAI Response object repeats of its request, and what stands there if the request does not say. */
export const ECHOED: Readonly<Record<string, unknown>> = {
  model: "",
  instructions: null,
  max_output_tokens: null,
  metadata: {},
  parallel_tool_calls: true,
  previous_response_id: null,
  reasoning: null,
  temperature: null,
  text: { format: { type: "text" } },
  tool_choice: "auto",
  tools: [],
  top_p: null,
  truncation: "disabled",
  user: null,
};

const WANTED: ReadonlySet<string> = new Set(["model", "name", "keep_alive", "stream"]);
const WANTED_OF_RESPONSES: ReadonlySet<string> = new Set([...WANTED, "background", ...Object.keys(ECHOED)]);

/**
 * Checks a body for the route `routeName`: a short one at once, a long one in slices. Throws or rejects with `body_not_json`
 * for anything but one JSON object in UTF-8, `body_too_deep`, `body_ambiguous` when a key that is checked is there twice
 * (servers differ in which one counts), `model_not_allowed`, `keep_alive_not_allowed`.
 */
export function checkBody(
  bytes: Buffer,
  routeName: string,
  model: Pick<ModelConfig, "kind" | "allowed">,
): CheckedBody | Promise<CheckedBody> {
  const body = withoutMark(bytes);
  const wanted = routeName === "/v1/responses" ? WANTED_OF_RESPONSES : WANTED;
  const scanned = scanObject(body, { wanted });
  const check = (scan: Scan) => ({ body, facts: { stream: checked(body, scan, routeName, model), scan } });
  return scanned instanceof Promise ? scanned.then(check) : check(scanned);
}

/** The bytes after a UTF-8 byte order mark, with which some editors and PowerShell begin a file. */
export function withoutMark(bytes: Buffer): Buffer {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? bytes.subarray(3) : bytes;
}

/**
 * Scans a body that must be one JSON object. Throws or rejects with `body_not_json`, `body_too_deep`, `body_ambiguous`, and
 * with `document_invalid` for more values than `options` allow.
 */
export function scanObject(body: Buffer, options: ScanOptions): Scan | Promise<Scan> {
  const object = (scan: Scan): Scan => {
    if (scan.kind === "object") return scan;
    throw new RelayError("body_not_json", "The body is JSON, but not an object. Send one JSON object.");
  };
  try {
    const scanned = scanJson(body, options);
    return scanned instanceof Promise
      ? scanned.then(object, (cause: unknown) => {
          throw refusal(cause, options);
        })
      : object(scanned);
  } catch (cause) {
    throw refusal(cause, options);
  }
}

function refusal(cause: unknown, { maxValues }: ScanOptions): unknown {
  if (!(cause instanceof JsonFault)) return cause;
  switch (cause.kind) {
    case "not_utf8":
      return new RelayError("body_not_json", "The body is not UTF-8. Send one JSON object in UTF-8.");
    case "not_json":
      return new RelayError(
        "body_not_json",
        `The body is not JSON: see byte ${cause.at}. Send one JSON object in UTF-8.`,
      );
    case "too_deep":
      return new RelayError(
        "body_too_deep",
        `The body's objects and arrays are nested more than ${MAX_DEPTH} deep at byte ${cause.at}. Send a flatter one.`,
      );
    case "too_many_values":
      return new RelayError("document_invalid", `The body has more than ${maxValues} values. Send less at a time.`);
    case "repeated":
      return new RelayError("body_ambiguous", "The body has the same keys again and again. Send each once.");
  }
}

/** @returns `stream` */
function checked(
  body: Buffer,
  { members }: Scan,
  routeName: string,
  { kind, allowed }: Pick<ModelConfig, "kind" | "allowed">,
): boolean | undefined {
  // Ollama's /api/show takes `name` where `model` is empty.
  const modelKeys = allowed === undefined ? [] : routeName === "/api/show" ? ["model", "name"] : ["model"];
  const found = new Map<string, Member>();
  let stream: boolean | undefined;
  for (const member of members) {
    const { folded, key, start } = member;
    if (folded === "keep_alive" || modelKeys.includes(folded)) {
      if (found.has(folded)) {
        throw new RelayError("body_ambiguous", `The body has the key "${folded}" more than once. Send it once.`);
      }
      found.set(folded, member);
    }
    if (key === "stream") stream = BOOLEANS[body[start]!];
  }
  if (allowed !== undefined) {
    const asked = modelKeys
      .flatMap((key) => found.get(key) ?? [])
      .filter(({ start, end }) => !isEmpty(body, start, end));
    checkModel(body, asked, allowed, kind);
  }
  const keepAlive = found.get("keep_alive");
  if (keepAlive !== undefined) checkKeepAlive(body, keepAlive);
  return stream;
}

/** By the first byte of the value, which has been checked: `t` of true, `f` of false. */
const BOOLEANS: Readonly<Record<number, boolean>> = { 116: true, 102: false };

const isEmpty = (body: Buffer, start: number, end: number): boolean => end - start === 2 && body[start] === 34;

/** The value of a member; undefined for one that is longer than `longest` bytes as written. */
export function memberValue(body: Buffer, { start, end }: Member, longest: number): unknown {
  return end - start > longest ? undefined : (JSON.parse(body.toString("utf8", start, end)) as unknown);
}

function checkModel(
  body: Buffer,
  asked: readonly Member[],
  allowed: readonly string[],
  kind: ModelConfig["kind"],
): void {
  const full = (name: string) => (kind === "ollama" ? withTag(name) : name);
  const names = allowed.map(full);
  const bad = asked.find((member) => {
    const name = memberValue(body, member, LONGEST.model);
    return typeof name !== "string" || !names.includes(full(name));
  });
  if (asked.length > 0 && bad === undefined) return;
  const said = bad === undefined ? "The body names no model." : `The model ${shown(body, bad)} may not be called here.`;
  throw new RelayError("model_not_allowed", `${said} Allowed: ${allowed.join(", ")}.`);
}

/** Ollama takes a name without a tag for `…:latest`. A colon before the last slash belongs to a host's port. */
function withTag(name: string): string {
  return name.slice(name.lastIndexOf("/") + 1).includes(":") ? name : `${name}:latest`;
}

function checkKeepAlive(body: Buffer, member: Member): void {
  const value = memberValue(body, member, LONGEST.keep_alive);
  if (value === null) return;
  const seconds = typeof value === "number" ? value : typeof value === "string" ? parseGoDuration(value) : Number.NaN;
  // Above 2^63 ns Go's arithmetic wraps around, to a time in the past.
  if (seconds < 0 || (seconds >= SHORTEST_KEEP_ALIVE && seconds < 9_223_372_036)) return;
  throw new RelayError(
    "keep_alive_not_allowed",
    `keep_alive ${shown(body, member)} would unload the model under other callers. Leave it out, or send at least ${SHORTEST_KEEP_ALIVE} seconds (60, "5m") or a negative number (forever).`,
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

/** A value as written, cut to 80 bytes. */
function shown(body: Buffer, { start, end }: Member): string {
  if (end - start <= 80) return body.toString("utf8", start, end);
  return `${body.toString("utf8", start, start + 80).replace(/\ufffd$/, "")}…`;
}
