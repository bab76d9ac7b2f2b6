/** Secrets that stand in plain text: in the state file, in every preview's output, in the process list. */
import { Secret } from "@pulumi/policy";
import { kindOf, resourceTypes } from "../config/resource-types.ts";

/** Properties that hold a secret by their meaning. */
function secretProperties(type: string): readonly string[] {
  // The installation of the version before.
  if (type === "command:remote:Command") return ["stdin"];
  const kind = kindOf(type);
  return kind ? resourceTypes[kind].secretInputs : [];
}

/** Text that is a secret wherever it stands. */
const secretTexts: readonly [what: string, pattern: RegExp][] = [
  ["a service token's secret", /\bcfast_[0-9A-Za-z]{40,}/],
  ["a connection string with a password", /\b[a-z][a-z+]*:\/\/[^\s:/@]*:[^\s:/@]+@/],
  ["a private key", /-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----/],
  // base64 of {"a":"…: anyone who has this token can open the tunnel.
  ["a tunnel's token", /\beyJhIjoi[0-9A-Za-z+/=]{40,}/],
];

/**
 * @param props the properties as a remediation gets them: secrets are wrapped, and reading through the wrapping unwraps them,
 *   so it is looked at from outside
 * @returns what stands in plain text, each with its place; never the text itself
 */
export function plainSecrets(type: string, props: object): string[] {
  const named = new Set(secretProperties(type));
  return Object.keys(props).flatMap((key) => {
    const value: unknown = Object.getOwnPropertyDescriptor(props, key)?.value;
    if (named.has(key)) {
      return value === undefined || value instanceof Secret
        ? []
        : [`\`${key}\` is in plain text: wrap it in pulumi.secret()`];
    }
    return walk(value, [key]).flatMap(({ path, value: text }) => {
      const found = secretTexts.find(([, pattern]) => pattern.test(text));
      return found
        ? [`\`${path.join(".")}\` holds ${found[0]} in plain text: wrap it in pulumi.secret(), or keep it out`]
        : [];
    });
  });
}

function walk(value: unknown, path: readonly string[]): { path: readonly string[]; value: string }[] {
  if (value instanceof Secret) return [];
  if (typeof value === "string") return [{ path, value }];
  if (typeof value !== "object" || value === null) return [];
  return Object.keys(value).flatMap((key) => walk(Object.getOwnPropertyDescriptor(value, key)?.value, [...path, key]));
}
