/** What the selected Pulumi stack knows, for those who run the probe where it can be read. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { z } from "zod";
import type { CloudflareAccess } from "../../accounts/cloudflare.ts";
import { cloudflareAccess } from "../../accounts/credentials.ts";
import { readConfig } from "../stack.ts";

const outputsSchema = z.object({
  hostname: z.string(),
  tunnelId: z.string().optional(),
  route: z
    .object({ accountId: z.string(), expectColo: z.array(z.string()), callers: z.string().optional() })
    .optional(),
  serviceTokens: z.record(z.string(), z.object({ clientId: z.string(), clientSecret: z.string() })).optional(),
});

/** The outputs the probe uses, and what of its config leads elsewhere than usual. */
export type Stack = z.infer<typeof outputsSchema> & {
  /** Where and as whom to ask Cloudflare's API. */
  cloudflare: CloudflareAccess;
  /** Where the hostname is served instead of https://<hostname>: a sandbox's stack says so, or its environment. */
  servedAt: string | undefined;
};

const run = promisify(execFile);

/** @returns the stack, or in words why it cannot be read. Waits at most 60 s for the engine. */
export async function readStack(cwd: string): Promise<Stack | { unreadable: string }> {
  const pulumi = (...args: string[]) => run("pulumi", [...args, "--non-interactive"], { cwd, timeout: 60_000 });
  try {
    const { stdout } = await pulumi("stack", "output", "--json", "--show-secrets");
    const outputs = outputsSchema.safeParse(JSON.parse(stdout));
    if (!outputs.success) return { unreadable: "it has no hostname: nothing was declared yet" };
    const config = readConfig((await pulumi("config", "--json", "--show-secrets")).stdout);
    const cloudflare = cloudflareAccess((key) => config.get(key));
    return {
      ...outputs.data,
      cloudflare,
      servedAt: config.get("sandbox:url") ?? (process.env.SANDBOX_URL || undefined),
    };
  } catch (error) {
    const said = error instanceof Error && "stderr" in error ? String(error.stderr).trim() : "";
    const text = said || (error instanceof Error ? error.message : String(error));
    return { unreadable: text.split("\n")[0] ?? text };
  }
}
