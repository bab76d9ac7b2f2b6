/** Checks what is written by the program's own schema: one rule for both. */
import { parse } from "yaml";
import { z } from "zod";
import { accessSchema } from "../../config/access.ts";
import { Refusal } from "../errors.ts";
import type { ServerSettings } from "./plan.ts";

const fileSchema = z.object({
  config: z.object({
    "slm-network:access": z.looseObject({ servers: z.array(z.looseObject({ name: z.unknown() })) }),
  }),
});

/**
 * @param text of the stack file with the change in it
 * @throws Refusal when `pulumi up` would refuse what was written, with every reason
 */
export function checkWritten(text: string, server: string, change: ServerSettings): void {
  const { "slm-network:access": access } = fileSchema.parse(parse(text)).config;
  const index = access.servers.findIndex(({ name }) => name === server);
  const issues = accessSchema.safeParse(access).error?.issues ?? [];
  // Other problems of the file are left to `up`, which lists them all.
  const ours = issues.filter(
    ({ path: [list, at, key] }) => list === "servers" && at === index && typeof key === "string" && key in change,
  );
  if (ours.length === 0) return;
  const problems = ours.map(({ path, message }) => `${String(path.at(-1))} ${message}`);
  throw new Refusal(`\`pulumi up\` would refuse ${JSON.stringify(change)} for ${server}: ${problems.join("; ")}`);
}
