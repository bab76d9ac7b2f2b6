/**
 * One sandbox: its folder, generated accounts and secrets, and ports. Created once and kept, so that a restarted sandbox
 * is the same one and `pulumi up` changes nothing.
 */
import { randomBytes } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { z } from "zod";
import { claimPort } from "./machine/ports.ts";

const ports = [
  "cloudflareApi",
  "atlasApi",
  "edgeConnector",
  "edgeClient",
  "edgeProxy",
  "ssh",
  "mongo",
  "model",
  "artifacts",
  "relay",
  "relayAdmin",
  "connectorMetrics",
] as const;
/** For a second Mac. Older sandboxes get these values at their next start. */
const secondPorts = ["ssh2", "relay2", "relayAdmin2", "connectorMetrics2"] as const;

/** The same schema for each name. */
function shapeOf<Name extends string, Schema>(names: readonly Name[], schema: Schema): Record<Name, Schema> {
  return Object.fromEntries(names.map((name) => [name, schema])) as Record<Name, Schema>;
}

const secret = (bytes: number) => z.string().default(() => randomBytes(bytes).toString("base64url"));

const identitySchema = z.strictObject({
  accountId: z.string(),
  zoneId: z.string(),
  atlasProjectId: z.string(),
  cloudflareApiToken: z.string(),
  atlasPublicKey: z.string(),
  atlasPrivateKey: z.string(),
  // Added later: older sandboxes get them at their next start.
  cloudflareReadToken: secret(30),
  atlasReadPublicKey: secret(6),
  atlasReadPrivateKey: secret(18),
  passphrase: z.string(),
  tunnelSecret: z.string(),
  atlasSchemaPassword: z.string(),
  atlasRelayPassword: z.string(),
  ports: z.strictObject({ ...shapeOf(ports, z.number()), ...shapeOf(secondPorts, z.number().optional()) }),
});

/** Generated ids, secrets and ports of a sandbox. */
export type Identity = z.infer<typeof identitySchema>;

/** A sandbox's names and places. */
export interface Instance {
  /** The checkout with `Pulumi.yaml`. */
  project: string;
  /** Everything the sandbox keeps. */
  folder: string;
  stack: string;
  stackFile: string;
  /** Written (mode 600) when the sandbox is ready, removed when it stops. */
  readyFile: string;
  logFile: string;
  lockFile: string;
  /** The emails of the edge's sign-in page. */
  mailFile: string;
}

/** The emulated account's zone and team. */
export const zoneName = "example.com";
export const hostname = `slm.${zoneName}`;
export const teamDomain = "sandbox-team.cloudflareaccess.com";
export const clusterName = "main";
/** The source address of every caller in the emulated Atlas (RFC 5737). */
export const publicAddress = "203.0.113.7";

/** @returns the sandbox in `SANDBOX_DIR`, else in `.sandbox`; an empty variable counts as not set */
export function thisInstance(environment: NodeJS.ProcessEnv = process.env): Instance {
  const project = join(import.meta.dirname, "..");
  const folder = resolve(project, environment.SANDBOX_DIR || ".sandbox");
  const stack = basename(folder).replace(/^\./, "") || "sandbox";
  return {
    project,
    folder,
    stack,
    stackFile: join(project, `Pulumi.${stack}.yaml`),
    readyFile: join(folder, "sandbox.json"),
    logFile: join(folder, "sandbox.log"),
    lockFile: join(folder, "lock.json"),
    mailFile: join(folder, "mail.txt"),
  };
}

/**
 * Reads the sandbox's identity, or creates one. Its ports are claimed for this process. A port that another program has
 * taken is replaced, as is one in the range of outgoing connections (older sandboxes used these).
 */
export async function identity(instance: Instance): Promise<Identity> {
  const file = join(instance.folder, "identity.json");
  await mkdir(instance.folder, { recursive: true, mode: 0o700 });
  const known = await readFile(file, "utf8").then(
    (text) => identitySchema.parse(JSON.parse(text)),
    () => undefined,
  );
  const made: Identity = known ?? {
    accountId: randomBytes(16).toString("hex"),
    zoneId: randomBytes(16).toString("hex"),
    atlasProjectId: randomBytes(12).toString("hex"),
    cloudflareApiToken: randomBytes(30).toString("base64url"),
    atlasPublicKey: randomBytes(4).toString("hex"),
    atlasPrivateKey: randomBytes(18).toString("base64url"),
    cloudflareReadToken: randomBytes(30).toString("base64url"),
    atlasReadPublicKey: randomBytes(4).toString("hex"),
    atlasReadPrivateKey: randomBytes(18).toString("base64url"),
    passphrase: randomBytes(24).toString("base64url"),
    tunnelSecret: randomBytes(32).toString("base64"),
    // A password may contain any character; these break string concatenation.
    atlasSchemaPassword: `${randomBytes(18).toString("base64")}@:/?#%`,
    atlasRelayPassword: `${randomBytes(18).toString("base64")}@:/?#%`,
    ports: {} as Identity["ports"],
  };
  for (const name of [...ports, ...secondPorts]) made.ports[name] = await claimPort(made.ports[name]);
  await writeFile(`${file}.new`, `${JSON.stringify(made, null, 2)}\n`, { mode: 0o600 });
  await rename(`${file}.new`, file);
  return made;
}
