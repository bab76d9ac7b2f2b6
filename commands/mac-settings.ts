/** What the stack's config says about its Macs, read from `Pulumi.<stack>.yaml`: no passphrase and no sign-in needed. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "yaml";
import { z } from "zod";
import { stackConfigSchema } from "../config/schema.ts";
import { parseLocalEndpoint } from "../config/ssh-override.ts";
import type { MacTarget } from "../ssh/session.ts";
import { selectedStack } from "./pulumi.ts";

/** A stack file or a name that can not be used; the message says why and what to do. */
export class StackError extends Error {
  override name = "StackError";
}

const { hostname, route, macs, model, limits, jobs, documents } = stackConfigSchema.shape;
const settingsSchema = z.object({ hostname, route, macs, model, limits, jobs, documents });

/** The part of a stack's config that concerns its Macs. */
export type MacSettings = z.infer<typeof settingsSchema> & {
  readonly stack: string;
  /** The stack file. */
  readonly file: string;
};
/** An entry of `macs`. */
export type MacEntry = MacSettings["macs"][number];

/** The checkout, where `Pulumi.yaml` is. */
export const project = join(import.meta.dirname, "..");

/**
 * @param stack `--stack`; else PULUMI_STACK, else the one that is selected
 * @throws StackError, Refusal
 */
export async function readMacSettings(stack: string | undefined, folder = project): Promise<MacSettings> {
  const name = stack ?? process.env.PULUMI_STACK ?? (await selectedStack({ project: folder, command: "pulumi" }));
  // A stack's full name may carry an organisation and a project.
  const file = join(folder, `Pulumi.${name.split("/").at(-1)}.yaml`);
  const text = await readFile(file, "utf8").catch(() => {
    throw new StackError(`${file} can not be read: is ${JSON.stringify(name)} the right stack? (--stack)`);
  });
  return { ...macSettings(text, file), stack: name, file };
}

/** @param text of a stack file. @throws StackError */
export function macSettings(text: string, file: string): z.infer<typeof settingsSchema> {
  const read: unknown = parse(text);
  const config = z.object({ config: z.record(z.string(), z.unknown()) }).safeParse(read);
  if (!config.success) throw new StackError(`${file} has no config: fill it in as Pulumi.prod.yaml shows`);
  const values = Object.entries(config.data.config).map(([key, value]) => [key.replace(/^slm-network:/, ""), value]);
  const settings = settingsSchema.safeParse(Object.fromEntries(values));
  if (settings.success) return settings.data;
  const faults = settings.error.issues.map(({ path, message }) => `  - ${path.join(".")}: ${message}`);
  throw new StackError([`${file} has faults; \`pulumi preview\` says more about each:`, ...faults].join("\n"));
}

/** @param name of an entry of `macs`; needed only when there is more than one. @throws StackError */
export function chooseMac(macs: readonly MacEntry[], name: string | undefined): MacEntry {
  const known = macs.map((mac) => mac.name).join(", ");
  if (name === undefined && macs.length > 1) throw new StackError(`say which Mac: ${known}`);
  const found = name === undefined ? macs[0] : macs.find((mac) => mac.name === name);
  if (!found) throw new StackError(`the stack has no Mac ${JSON.stringify(name)}; it has ${known}`);
  return found;
}

/**
 * @returns how to reach it; at the local end of the tunnel while `npm run ssh -- --through-tunnel --here` is open
 * @throws StackError when SLM_NETWORK_SSH_AT is no address
 */
export function targetOf({ host, port, user, hostKey, jump }: MacEntry, environment = process.env): MacTarget {
  const at = environment.SLM_NETWORK_SSH_AT;
  if (at === undefined || at === "") return { host, port, user, hostKey, ...(jump && { jump }) };
  return { ...parseLocalEndpoint(at), user, hostKey };
}
