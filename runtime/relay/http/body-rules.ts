/** Rules for JSON request bodies to the model server. */

import type { ModelConfig } from "../../model-config.ts";
import { isCloudModel, modelServer } from "../../model-servers.ts";
import { bodyChecksOf } from "../dialects/body-checks.ts";
import { RelayError } from "../errors.ts";
import { JsonFault, MAX_DEPTH, type Member, type Scan, type ScanOptions } from "./json-scan.ts";
import { scanJson } from "./json-scanner.ts";
import type { ModelCall } from "./router.ts";

/** Longest model name that is read, in bytes as written. Real names are far shorter. */
const LONGEST_NAME = 4096;

/** What the relay reads from an accepted body. */
export interface BodyFacts {
  /** As written; undefined when it is missing or not a boolean. */
  readonly stream: boolean | undefined;
  /** Names of the models that it asks for: one, but for keys that mean the same. */
  readonly models: readonly string[];
  /** Offsets of the members that the relay reads, into the checked body. */
  readonly scan: Scan;
}

/** A body that may be forwarded: without a byte order mark, which Go's decoder refuses. */
export interface CheckedBody {
  readonly body: Buffer;
  readonly facts: BodyFacts;
}

/** What the stack's config says about models. */
export type BodyModel = Pick<ModelConfig, "kind" | "allowed" | "options">;

/** What the body rules need of a call's route. */
export type BodyRoute = Pick<ModelCall, "dialect" | "modelKeys" | "wanted" | "once">;

/**
 * Checks a body for a route: a short one at once, a long one in slices. Throws or rejects with `body_not_json` unless it is
 * one JSON object in UTF-8, `body_too_deep`, `body_ambiguous` if a checked key is repeated (servers differ in which one
 * counts), `model_not_allowed`, and as the dialect's checks do.
 * @param signal ends the check of a long body, which then rejects with the signal's reason
 */
export function checkBody(
  bytes: Buffer,
  route: BodyRoute,
  model: BodyModel,
  signal?: AbortSignal,
): CheckedBody | Promise<CheckedBody> {
  const body = withoutMark(bytes);
  const scanned = scanObject(body, { wanted: route.wanted, signal });
  const check = (scan: Scan) => ({ body, facts: { ...checked(body, scan, route, model), scan } });
  return scanned instanceof Promise ? scanned.then(check) : check(scanned);
}

/** Removes a UTF-8 byte order mark, which some editors and PowerShell write. */
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
      return new RelayError("body_ambiguous", "The body repeats its keys. Send each once.");
  }
}

function checked(
  body: Buffer,
  { members }: Scan,
  { dialect, modelKeys, once }: BodyRoute,
  model: BodyModel,
): Pick<BodyFacts, "stream" | "models"> {
  const found: Member[] = [];
  let stream: boolean | undefined;
  for (const member of members) {
    const { folded, key, start } = member;
    if (once.has(folded)) {
      if (memberOf(found, folded) !== undefined) {
        throw new RelayError("body_ambiguous", `The body has the key "${folded}" more than once. Send it once.`);
      }
      found.push(member);
    }
    if (key === "stream") stream = BOOLEANS[body[start]!];
  }
  const asked = modelKeys.flatMap((key) => {
    const member = memberOf(found, key);
    return member === undefined || isEmpty(body, member) ? [] : [member];
  });
  const models = asked.map((member) => memberValue(body, member, LONGEST_NAME));
  if (model.allowed !== undefined) checkAllowed(body, asked, models, model.allowed, model.kind);
  else if (modelServer(model.kind).hasCloudModels) {
    const cloud = models.find((name) => typeof name === "string" && isCloudModel(name));
    if (cloud !== undefined) throw cloudModel(String(cloud));
  }
  for (const { member, longest, check } of bodyChecksOf(dialect)) {
    const value = memberOf(found, member);
    if (value !== undefined) check(memberValue(body, value, longest), shown(body, value), model);
  }
  return { stream, models: models.filter((name) => typeof name === "string") };
}

const LONGEST_RESPONSE_ID = 1024;

/**
 * Checks that a conversation is continued only by the caller that began it: the model server continues any whose id it is
 * sent. @throws RelayError `response_not_found`
 */
export function checkPreviousResponse({ body, facts }: CheckedBody, owns: (id: string) => boolean): void {
  for (const member of facts.scan.members) {
    if (member.folded !== "previous_response_id") continue;
    const id = memberValue(body, member, LONGEST_RESPONSE_ID);
    if (id === null || (typeof id === "string" && owns(id))) continue;
    throw new RelayError(
      "response_not_found",
      `previous_response_id ${shown(body, member)} is no response that the model server keeps for you. Send the conversation in \`input\`, or begin a new one.`,
    );
  }
}

/** By the first byte of the value, which has been checked: `t` of true, `f` of false. */
const BOOLEANS: Readonly<Record<number, boolean>> = { 116: true, 102: false };

const memberOf = (members: readonly Member[], folded: string): Member | undefined =>
  members.find((member) => member.folded === folded);

const isEmpty = (body: Buffer, { start, end }: Member): boolean => end - start === 2 && body[start] === 34;

/** The value of a member; undefined if it is longer than `longest` bytes as written. */
export function memberValue(body: Buffer, { start, end }: Member, longest: number): unknown {
  return end - start > longest ? undefined : (JSON.parse(body.toString("utf8", start, end)) as unknown);
}

function checkAllowed(
  body: Buffer,
  asked: readonly Member[],
  models: readonly unknown[],
  allowed: readonly string[],
  kind: ModelConfig["kind"],
): void {
  const full = (name: string) => modelServer(kind).fullName(name);
  const names = allowed.map(full);
  const bad = asked.find((_member, at) => {
    const name = models[at];
    return typeof name !== "string" || !names.includes(full(name));
  });
  if (asked.length > 0 && bad === undefined) return;
  const said = bad === undefined ? "The body names no model." : `The model ${shown(body, bad)} is not allowed here.`;
  throw new RelayError("model_not_allowed", `${said} Allowed: ${allowed.join(", ")}.`);
}

/** A value as written, cut to 80 bytes. */
function shown(body: Buffer, { start, end }: Member): string {
  if (end - start <= 80) return body.toString("utf8", start, end);
  return `${body.toString("utf8", start, start + 80).replace(/\ufffd$/, "")}…`;
}

/** The error for a model that does not run on the Mac. */
export function cloudModel(name: string): RelayError {
  return new RelayError(
    "cloud_model_not_allowed",
    `The model ${JSON.stringify(name)} runs in Ollama's cloud, not on the Mac: the request would be sent off-premises. Use a local model; the stack's config can allow it by naming it in model.allowed.`,
  );
}
