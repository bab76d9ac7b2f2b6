/**
 * The stack's config, read once: all problems at once, each with the value, the reason and the fix. Nothing is
 * declared before this has passed.
 */
import type { z } from "zod";
import { type StackConfig, stackConfigSchema } from "./schema.ts";

export type { StackConfig } from "./schema.ts";

/** Every problem of a stack's config, or of what it refers to; the message lists them all, one a paragraph. */
export class ConfigError extends Error {
  override name = "ConfigError";
  readonly problems: readonly string[];
  /** @param has what is at problem, before their number */
  constructor(problems: readonly string[], has = "the stack's config has") {
    super(
      `${has} ${problems.length === 1 ? "one problem" : `${problems.length} problems`}; nothing was declared:\n${problems.map((problem) => `  - ${problem}`).join("\n")}`,
    );
    this.problems = problems;
  }
}

/** The keys whose values never appear in a message. */
export const secretKeys: ReadonlySet<string> = new Set([
  "tunnelSecret",
  "atlasSchemaPassword",
  "atlasRelayPassword",
  "fallbackKey",
  "modelKey",
  "otlpHeaders",
]);

/** Values below other keys that never appear in a message: addresses and keys of webhooks. */
const isSecret = (path: readonly PropertyKey[]): boolean =>
  secretKeys.has(String(path[0])) ||
  (path[0] === "alerts" && path[1] === "webhooks" && path.length < 5 && path[3] !== "format");

/** The keys of the namespace, in the schema's order. */
export const configKeys = Object.keys(stackConfigSchema.shape) as (keyof StackConfig)[];

/** What `readStackConfig` needs of `pulumi.Config`. */
export interface ConfigSource {
  get(key: string): string | undefined;
}

/**
 * Reads every key of the namespace. Structured values and numbers arrive as JSON text, as Pulumi passes them.
 * @throws ConfigError naming every problem
 */
export function readStackConfig(source: ConfigSource): StackConfig {
  const raw: Record<string, unknown> = {};
  for (const key of configKeys) {
    const text = source.get(key);
    if (text === undefined || text === "") continue; // empty is the default that Pulumi.yaml gives
    raw[key] = plainText.has(key) || secretKeys.has(key) ? text : fromJson(text);
  }
  return parseStackConfig(raw);
}

const plainText: ReadonlySet<string> = new Set(["hostname", "zoneId", "accountId"]);

function fromJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text; // the schema says what was expected in its place
  }
}

/**
 * @param raw the config's values by key, as YAML holds them
 * @throws ConfigError naming every problem
 */
export function parseStackConfig(raw: Record<string, unknown>): StackConfig {
  const result = stackConfigSchema.safeParse(raw);
  if (result.success) return result.data;
  // One problem a place: a second message about the same value only says the same again.
  const problems = new Map(result.error.issues.flatMap((issue) => describe(issue, raw)).reverse());
  throw new ConfigError([...problems].reverse().map(([place, text]) => `${place}:${text}`));
}

function describe(issue: z.core.$ZodIssue, raw: unknown): [place: string, text: string][] {
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => [
      at([...issue.path, key]),
      " is not a known setting: remove it, or correct its name",
    ]);
  }
  const value = valueAt(raw, issue.path);
  const shown = isSecret(issue.path) ? "(a secret)" : shorten(JSON.stringify(value));
  return [[at(issue.path), `${value === undefined ? "" : ` ${shown}`} ${why(issue)}`]];
}

/** The rule's own words, or for the rules without any (plain bounds and types) what the value must be. */
function why(issue: z.core.$ZodIssue): string {
  if (issue.code === "too_small") return ownWords(issue) ?? `must be at least ${issue.minimum}`;
  if (issue.code === "too_big") return ownWords(issue) ?? `must be at most ${issue.maximum}`;
  if (issue.code === "invalid_value") return ownWords(issue) ?? `must be one of ${issue.values.join(", ")}`;
  if (issue.code === "invalid_type") return ownWords(issue) ?? `must be ${article(issue.expected)}`;
  return issue.message;
}

const shorten = (text = ""): string => (text.length > 100 ? `${text.slice(0, 100)}…` : text);

const ownWords = (issue: z.core.$ZodIssue): string | undefined =>
  /^(Too (small|big)|Invalid )/.test(issue.message) ? undefined : issue.message;

function article(type: string): string {
  if (type === "int") return "a whole number";
  return `${/^[aeiou]/.test(type) ? "an" : "a"} ${type}`;
}

function at(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, part, index) => {
    if (index === 0) return `slm-network:${String(part)}`;
    return typeof part === "number" ? `${text}[${part}]` : `${text}.${String(part)}`;
  }, "");
}

function valueAt(raw: unknown, path: readonly PropertyKey[]): unknown {
  let value = raw;
  for (const part of path) {
    if (typeof value !== "object" || value === null) return undefined;
    value = (value as Record<PropertyKey, unknown>)[part];
  }
  return value;
}
