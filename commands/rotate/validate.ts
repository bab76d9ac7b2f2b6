/** Checks what is written by the program's own schema: one rule for both. */
import { parse } from "yaml";
import { z } from "zod";
import { accessSchema, metricsSchema } from "../../config/access.ts";
import { Refusal } from "../errors.ts";
import type { ServerSettings } from "./plan.ts";

const entries = z.array(z.looseObject({ name: z.unknown() }));

const fileSchema = z.object({
  config: z.object({
    "slm-network:access": z.looseObject({ servers: entries }),
    "slm-network:metrics": z.looseObject({ scrapers: entries.default([]) }).optional(),
  }),
});

/**
 * @param text of the stack file with the change in it
 * @throws Refusal when `pulumi up` would refuse what was written, with every reason
 */
export function checkWritten(text: string, server: string, change: ServerSettings): void {
  const { "slm-network:access": access, "slm-network:metrics": metrics } = fileSchema.parse(parse(text)).config;
  const isServer = access.servers.some(({ name }) => name === server);
  const [list, inList, checked] = isServer
    ? (["servers", access.servers, accessSchema.safeParse(access)] as const)
    : (["scrapers", metrics?.scrapers ?? [], metricsSchema.safeParse(metrics)] as const);
  const index = inList.findIndex(({ name }) => name === server);
  const issues = checked.error?.issues ?? [];
  // Other problems of the file are left to `up`, which lists them all.
  const ours = issues.filter(
    ({ path: [at, entry, key] }) => at === list && entry === index && typeof key === "string" && key in change,
  );
  if (ours.length === 0) return;
  const problems = ours.map(({ path, message }) => `${String(path.at(-1))} ${message}`);
  throw new Refusal(`\`pulumi up\` would refuse ${JSON.stringify(change)} for ${server}: ${problems.join("; ")}`);
}
