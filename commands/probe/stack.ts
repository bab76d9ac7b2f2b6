/** Outputs and config of the selected stack, where it can be read. */
import { z } from "zod";
import type { CloudflareAccess } from "../../accounts/cloudflare.ts";
import { cloudflareAccess } from "../../accounts/credentials.ts";
import { runPulumi } from "../pulumi-cli.ts";
import { readConfig } from "../stack.ts";

const outputsSchema = z.object({
  hostname: z.string(),
  tunnelId: z.string().optional(),
  route: z
    .object({ accountId: z.string(), expectColo: z.array(z.string()), callers: z.string().optional() })
    .optional(),
  serviceTokens: z.record(z.string(), z.object({ clientId: z.string(), clientSecret: z.string() })).optional(),
});

/** The outputs that the probe uses, and the parts of the config that redirect it. */
export type Stack = z.infer<typeof outputsSchema> & {
  /** URL and credentials of Cloudflare's API. */
  cloudflare: CloudflareAccess;
  /** Where the hostname is served instead of https://<hostname>: by a sandbox's config or environment. */
  servedAt: string | undefined;
};

/** @returns the stack, or why it cannot be read. Waits at most 60 s for each call of the engine. */
export async function readStack(): Promise<Stack | { unreadable: string }> {
  try {
    const outputs = outputsSchema.safeParse(JSON.parse(await pulumi("stack", "output", "--json", "--show-secrets")));
    if (!outputs.success) return { unreadable: "it has no hostname: nothing is deployed yet" };
    const config = readConfig(await pulumi("config", "--json", "--show-secrets"));
    const cloudflare = cloudflareAccess((key) => config.get(key));
    return {
      ...outputs.data,
      cloudflare,
      servedAt: config.get("sandbox:url") ?? (process.env.SANDBOX_URL || undefined),
    };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { unreadable: reason.split("\n")[0] ?? reason };
  }
}

async function pulumi(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runPulumi(args, { timeoutMs: 60_000 });
  if (code !== 0) throw new Error(stderr || `\`pulumi ${args.join(" ")}\` ended with ${code}`);
  return stdout;
}

/** @returns whether the URL has one of the stack's own names */
export const isNameOf = (stack: Stack | undefined, { hostname }: URL): boolean =>
  [stack?.hostname, stack?.route?.callers].includes(hostname);

/**
 * The headers of a service token: the environment's, else the stack's first.
 * @param isOwn whether the stack's token may be sent to this address
 */
export function serviceTokenHeaders(stack: Stack | undefined, isOwn: boolean): Record<string, string> {
  const { CF_ACCESS_CLIENT_ID: id, CF_ACCESS_CLIENT_SECRET: secret } = process.env;
  const [first] = isOwn ? Object.values(stack?.serviceTokens ?? {}) : [];
  const token = id && secret ? { clientId: id, clientSecret: secret } : first;
  return token ? { "CF-Access-Client-Id": token.clientId, "CF-Access-Client-Secret": token.clientSecret } : {};
}
