/** What a request's JSON body may ask of the model server. Pure: bytes in, an error or nothing out. */
import type { ModelConfig } from "../config.ts";
import { RelayError } from "./errors.ts";

/** A model loaded for less than this many seconds is as good as unloaded for the next caller. */
const SHORTEST_KEEP_ALIVE = 60;

// Go's decoder matches keys by Unicode simple folding, in which U+017F is an s and U+212A a k: `to upper, then to lower`
// gives both. Source: https://pkg.go.dev/encoding/json#Unmarshal
const fold = (key: string) => key.toUpperCase().toLowerCase();

/** What the relay itself wants to know of a body that has passed. */
export interface BodyFacts {
  /** As written; undefined when it is not there or no boolean. */
  readonly stream: boolean | undefined;
}

/**
 * Checks a body for the route `routeName`. Throws `body_not_json` for anything but one JSON object, `body_ambiguous` when a
 * key that is checked is there twice (servers differ in which one counts), `model_not_allowed`, `keep_alive_not_allowed`.
 */
export function checkBody(body: Buffer, routeName: string, model: Pick<ModelConfig, "kind" | "allowed">): BodyFacts {
  const text = body.toString("utf8");
  const parsed = parseObject(text);
  // Ollama's /api/show takes `name` where `model` is empty.
  const modelKeys = model.allowed === undefined ? [] : routeName === "/api/show" ? ["model", "name"] : ["model"];
  const checked = [...modelKeys, "keep_alive"];
  const found = new Map<string, unknown>();
  for (const key of Object.keys(parsed)) {
    const folded = fold(key);
    if (checked.includes(folded)) found.set(folded, (parsed as Record<string, unknown>)[key]);
  }
  if (found.size > 0) refuseTwice(text, checked);
  if (model.allowed !== undefined) {
    checkModel(
      modelKeys.map((key) => found.get(key)).filter((value) => value !== undefined && value !== ""),
      model.allowed,
      model.kind,
    );
  }
  if (found.has("keep_alive")) checkKeepAlive(found.get("keep_alive"));
  return { stream: "stream" in parsed && typeof parsed.stream === "boolean" ? parsed.stream : undefined };
}

function parseObject(text: string): object {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new RelayError("body_not_json", "The body is not JSON. Send one JSON object in UTF-8.");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new RelayError("body_not_json", "The body is JSON, but not an object. Send one JSON object.");
  }
  return value;
}

function refuseTwice(text: string, checked: readonly string[]): void {
  const seen = new Set<string>();
  for (const key of topLevelKeys(text)) {
    const folded = fold(key);
    if (!checked.includes(folded)) continue;
    if (seen.has(folded)) {
      throw new RelayError("body_ambiguous", `The body has the key "${folded}" more than once. Send it once.`);
    }
    seen.add(folded);
  }
}

/** All keys of the outermost object, repeated ones too. `json` must be an object that JSON.parse accepts. */
export function topLevelKeys(json: string): string[] {
  const keys: string[] = [];
  const mark = /["{}[\]]/g;
  const colon = /[ \t\r\n]*:/y;
  let depth = 0;
  for (let match = mark.exec(json); match !== null; match = mark.exec(json)) {
    const sign = match[0];
    if (sign === "{" || sign === "[") depth += 1;
    else if (sign === "}" || sign === "]") depth -= 1;
    else {
      const end = endOfString(json, match.index);
      mark.lastIndex = end + 1;
      colon.lastIndex = end + 1;
      if (depth === 1 && colon.test(json)) {
        keys.push(JSON.parse(json.slice(match.index, end + 1)) as string);
      }
    }
  }
  return keys;
}

function endOfString(json: string, start: number): number {
  for (let end = json.indexOf('"', start + 1); ; end = json.indexOf('"', end + 1)) {
    let slashes = 0;
    while (json[end - 1 - slashes] === "\\") slashes += 1;
    if (slashes % 2 === 0) return end;
  }
}

function checkModel(asked: readonly unknown[], allowed: readonly string[], kind: ModelConfig["kind"]): void {
  const full = (name: string) => (kind === "ollama" ? withTag(name) : name);
  const names = allowed.map(full);
  const bad = asked.find((name) => typeof name !== "string" || !names.includes(full(name)));
  if (asked.length > 0 && bad === undefined) return;
  const said = asked.length === 0 ? "The body names no model." : `The model ${shown(bad)} may not be called here.`;
  throw new RelayError("model_not_allowed", `${said} Allowed: ${allowed.join(", ")}.`);
}

/** Ollama takes a name without a tag for `…:latest`. A colon before the last slash belongs to a host's port. */
function withTag(name: string): string {
  return name.slice(name.lastIndexOf("/") + 1).includes(":") ? name : `${name}:latest`;
}

function checkKeepAlive(value: unknown): void {
  if (value === null) return;
  const seconds = typeof value === "number" ? value : typeof value === "string" ? parseGoDuration(value) : Number.NaN;
  // Above 2^63 ns Go's arithmetic wraps around, to a time in the past.
  if (seconds < 0 || (seconds >= SHORTEST_KEEP_ALIVE && seconds < 9_223_372_036)) return;
  throw new RelayError(
    "keep_alive_not_allowed",
    `keep_alive ${shown(value)} would unload the model under other callers. Leave it out, or send at least ${SHORTEST_KEEP_ALIVE} seconds (60, "5m") or a negative number (for ever).`,
  );
}

// Both letters that look like a small mu, escaped: one letter beyond Latin-1 doubles what the program's text takes in memory.
const NANOSECONDS: Record<string, number> = { ns: 1, us: 1e3, µs: 1e3, μs: 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9 };

/**
 * Seconds of a Go duration ("1h30m", "-1s", "0"), NaN if it is none. Each part is cut to whole nanoseconds, as Go does, so
 * that "-0.1ns" is 0. Source: https://pkg.go.dev/time#ParseDuration
 */
export function parseGoDuration(text: string): number {
  const [, sign, rest] = /^([-+]?)(.+)$/su.exec(text) ?? [];
  if (rest === undefined) return Number.NaN;
  if (rest === "0") return 0;
  if (!/^(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|\u00b5s|\u03bcs|ms|s|m|h))+$/u.test(rest)) return Number.NaN;
  let total = 0;
  for (const [, number, unit] of rest.matchAll(/([\d.]+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)/gu)) {
    total += Math.trunc(Number(number) * (NANOSECONDS[unit ?? ""] ?? Number.NaN));
  }
  return (sign === "-" ? -total : total) / 1e9;
}

function shown(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
