/**
 * Changes settings of one server in the text of `Pulumi.<stack>.yaml` and leaves every other character as it is: comments,
 * quotes, order, line ends. The `yaml` package parses the text and gives the positions to change.
 */
import { type Document, isMap, isScalar, isSeq, type Pair, parseDocument, type Scalar, type YAMLMap } from "yaml";
import { Refusal } from "../errors.ts";
import type { ServerSettings } from "./plan.ts";

/** Lists of the stack file whose entries have a service token. */
const lists = [
  ["slm-network:access", "servers"],
  ["slm-network:metrics", "scrapers"],
] as const;

/** The settings that are written, in this order. */
const keys = ["secretVersion", "previousSecretExpiresAt", "duration"] as const;

interface Found {
  settings: ServerSettings;
  map: YAMLMap;
}

/** @throws Refusal when the text is not a stack file, or has no such server (listing those it has) */
export function readServer(text: string, server: string): ServerSettings {
  return find(text, server).settings;
}

/**
 * @returns the text with `change` written at that server's entry
 * @throws Refusal when the entry is written in a way that cannot be changed safely
 */
export function writeServer(text: string, server: string, change: ServerSettings): string {
  let result = text;
  for (const key of keys) {
    const value = change[key];
    // Found again each time: the positions have moved.
    if (value !== undefined) result = set(result, find(result, server).map, key, yaml(value));
  }
  const expected = { ...find(text, server).settings, ...change };
  const { settings } = find(result, server);
  if (keys.some((key) => settings[key] !== expected[key]) || others(text, server) !== others(result, server)) {
    throw new Refusal(
      `the entry of ${server} is written in a way that cannot be changed safely; write by hand: ${JSON.stringify(change)}`,
    );
  }
  return result;
}

// Quoted: Pulumi's YAML would parse a bare timestamp as a time, not as text.
const yaml = (value: string | number): string => (typeof value === "number" ? String(value) : JSON.stringify(value));

function find(text: string, server: string): Found {
  const document = parseDocument(text, { keepSourceTokens: true });
  const [fault] = document.errors;
  if (fault) throw new Refusal(`the stack file is not valid YAML: ${fault.message}`);
  const [[accessKey, serversKey]] = lists;
  if (!isSeq(document.getIn(["config", accessKey, serversKey]))) {
    throw new Refusal(`the stack file has no list config → ${accessKey} → ${serversKey}`);
  }
  const entries = entriesOf(document);
  const names = entries.map((item) => String(item.get("name")));
  const map = entries.find((item) => item.get("name") === server);
  if (!isMap(map)) {
    throw new Refusal(`the stack file has no server ${JSON.stringify(server)}; it has ${names.join(", ") || "none"}`);
  }
  const [secretVersion, previousSecretExpiresAt, duration] = keys.map((key) => map.get(key));
  return {
    map,
    settings: {
      ...(typeof secretVersion === "number" && { secretVersion }),
      ...(previousSecretExpiresAt != null && { previousSecretExpiresAt: String(previousSecretExpiresAt) }),
      ...(duration != null && { duration: String(duration) }),
    },
  };
}

/** All entries that have a service token. */
function entriesOf(document: Document): YAMLMap[] {
  return lists.flatMap(([section, list]) => {
    const found = document.getIn(["config", section, list]);
    return isSeq(found) ? found.items.filter((item): item is YAMLMap => isMap(item)) : [];
  });
}

/** The file without the settings that may change, to compare. */
function others(text: string, server: string): string {
  const document = parseDocument(text);
  for (const item of entriesOf(document)) {
    if (item.get("name") === server) for (const key of keys) item.delete(key);
  }
  return JSON.stringify(document.toJS());
}

function set(text: string, map: YAMLMap, key: (typeof keys)[number], value: string): string {
  const pair = map.items.find((one) => isScalar(one.key) && one.key.value === key);
  if (pair) {
    const [from, to] = rangeOf(pair.value);
    return text.slice(0, from) + value + text.slice(to);
  }
  const after = neighbour(map, key);
  const [keyFrom] = rangeOf(after.key);
  const [, to] = rangeOf(after.value);
  if (map.flow) return `${text.slice(0, to)}, ${key}: ${value}${text.slice(to)}`;
  const lineStart = text.lastIndexOf("\n", keyFrom - 1) + 1;
  // In a list the first key follows the dash; the others are indented to the same column.
  const indent = text.slice(lineStart, keyFrom).replace(/[^\t]/g, " ");
  const lineEnd = endOfLine(text, to);
  const newLine = text.includes("\r\n") ? "\r\n" : "\n";
  return `${text.slice(0, lineEnd)}${newLine}${indent}${key}: ${value}${text.slice(lineEnd)}`;
}

/** The pair after which a new one goes: `previousSecretExpiresAt` after its version, others after the last plain one. */
function neighbour(map: YAMLMap, key: string): Pair {
  const plain = map.items.filter((pair) => isScalar(pair.value) || (isSeq(pair.value) && pair.value.flow));
  const version = plain.find((pair) => isScalar(pair.key) && pair.key.value === "secretVersion");
  const found = (key === "previousSecretExpiresAt" && version) || plain.at(-1);
  if (!found) throw new Refusal("the server's entry is empty");
  return found;
}

/** Where the text of a node begins and ends. */
function rangeOf(node: unknown): [number, number] {
  const range = (node as Scalar | null)?.range;
  if (!range)
    throw new Refusal("the server's entry is written in a way that cannot be changed automatically; change it by hand");
  return [range[0], range[1]];
}

/** The end of the line at `from`, before its line break: a comment there stays with its value. */
function endOfLine(text: string, from: number): number {
  const end = text.indexOf("\n", from);
  if (end < 0) return text.length;
  return text[end - 1] === "\r" ? end - 1 : end;
}
