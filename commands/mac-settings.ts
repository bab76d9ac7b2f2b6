/** What the stack file says about the Macs, read without a passphrase and without a sign-in. */
import { readFile } from "node:fs/promises";
import { parse } from "yaml";
import { z } from "zod";
import { stackConfigSchema } from "../config/schema.ts";
import { parseLocalEndpoint } from "../config/ssh-override.ts";
import type { MacTarget } from "../ssh/session.ts";
import { UsageError } from "./errors.ts";
import { project, stackFile, stackName } from "./pulumi-cli.ts";

const { hostname, route, macs, model, limits, jobs, documents } = stackConfigSchema.shape;
// The key is encrypted there: only whether there is one can be read.
const modelKey = z.unknown().optional();
const settingsSchema = z.object({ hostname, route, macs, model, limits, jobs, documents, modelKey });

/** The part of a stack's config that concerns its Macs. */
export type MacSettings = z.infer<typeof settingsSchema> & {
  readonly stack: string;
  /** The stack file. */
  readonly file: string;
};
/** An entry of `macs`. */
export type MacEntry = MacSettings["macs"][number];

/**
 * @param stack of `--stack`
 * @throws UsageError when no stack is selected, or its file cannot be used
 */
export async function readMacSettings(stack: string | undefined, folder = project): Promise<MacSettings> {
  const name = await stackName(stack);
  const file = stackFile(name, folder);
  const text = await readFile(file, "utf8").catch(() => {
    throw new UsageError(`${file} cannot be read: is ${JSON.stringify(name)} the right stack? (--stack)`);
  });
  return { ...macSettings(text, file), stack: name, file };
}

/** @param text of a stack file. @throws UsageError */
export function macSettings(text: string, file: string): z.infer<typeof settingsSchema> {
  const read: unknown = parse(text);
  const config = z.object({ config: z.record(z.string(), z.unknown()) }).safeParse(read);
  if (!config.success) throw new UsageError(`${file} has no config: fill it in as Pulumi.prod.yaml shows`);
  const values = Object.entries(config.data.config).map(([key, value]) => [key.replace(/^slm-network:/, ""), value]);
  const settings = settingsSchema.safeParse(Object.fromEntries(values));
  if (settings.success) return settings.data;
  const problems = settings.error.issues.map(({ path, message }) => `  - ${path.join(".")}: ${message}`);
  throw new UsageError([`${file} cannot be used; \`pulumi preview\` explains each problem:`, ...problems].join("\n"));
}

/** @param name of an entry of `macs`; needed only when there is more than one. @throws UsageError */
export function chooseMac(macs: readonly MacEntry[], name: string | undefined): MacEntry {
  const known = macs.map((mac) => mac.name).join(", ");
  if (name === undefined && macs.length > 1) throw new UsageError(`the stack has several Macs; name one: ${known}`);
  const found = name === undefined ? macs[0] : macs.find((mac) => mac.name === name);
  if (!found) throw new UsageError(`the stack has no Mac ${JSON.stringify(name)}; it has ${known}`);
  return found;
}

/**
 * @returns how to reach the Mac: at the local end of the tunnel while `npm run ssh -- --through-tunnel --here` is open
 * @throws UsageError when SLM_NETWORK_SSH_AT is not an address
 */
export function targetOf({ host, port, user, hostKey, jump }: MacEntry, environment = process.env): MacTarget {
  const at = environment.SLM_NETWORK_SSH_AT;
  if (at === undefined || at === "") return { host, port, user, hostKey, ...(jump && { jump }) };
  return { ...parseLocalEndpoint(at), user, hostKey };
}
