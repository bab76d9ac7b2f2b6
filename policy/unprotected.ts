/**
 * What the stack's config takes out of protection on purpose (`slm-network:unprotect`): a pull request that removes a server in
 * production has to unprotect it first. The engine gives a policy pack no config, so it is read from the stack file.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { z } from "zod";

/** Resources by the part of `unprotect` that they belong to; `index.ts` names them. */
const PARTS: readonly (readonly [name: RegExp, part: string])[] = [
  [/^slm-token-(.+)$/, "servers.$1"],
  [/^slm-custom-hostname$/, "saas"],
  [/^slm-mac-(?:app-ssh|ssh-.+)$/, "ssh"],
  [/^slm-(?:documents|cluster)$/, "documents"],
];

/** @returns the part that a resource belongs to, by its name; undefined when no part has it */
export function partOf(name: string): string | undefined {
  const [pattern, part] = PARTS.find(([candidate]) => candidate.test(name)) ?? [];
  return pattern === undefined || part === undefined ? undefined : name.replace(pattern, part);
}

const fileSchema = z.looseObject({ config: z.record(z.string(), z.unknown()).optional() });
const listSchema = z.array(z.string());

/** @returns the parts that a stack file's text unprotects; none when it says nothing that can be read */
export function unprotectedIn(text: string): ReadonlySet<string> {
  const value = fileSchema.safeParse(parse(text)).data?.config?.["slm-network:unprotect"];
  // `pulumi config set` writes a list as JSON.
  const list = listSchema.safeParse(typeof value === "string" ? parse(value) : value);
  return new Set(list.data);
}

const byStack = new Map<string, ReadonlySet<string>>();

/**
 * @param stack its short name @param folder the project's
 * @returns the parts that `Pulumi.<stack>.yaml` unprotects; none without that file
 */
export function unprotectedParts(stack: string, folder = join(import.meta.dirname, "..")): ReadonlySet<string> {
  const file = join(folder, `Pulumi.${stack}.yaml`);
  let parts = byStack.get(file);
  if (parts === undefined) {
    parts = readParts(file);
    byStack.set(file, parts);
  }
  return parts;
}

function readParts(file: string): ReadonlySet<string> {
  try {
    return unprotectedIn(readFileSync(file, "utf8"));
  } catch {
    return new Set(); // then everything has to be protected
  }
}
