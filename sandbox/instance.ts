/**
 * One sandbox: its folder, its made-up accounts and secrets, and its ports. Made once and kept, so that a sandbox that is
 * stopped and started again is the same one, and `pulumi up` finds nothing to change.
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
/** Of a second Mac. Of a later date: a sandbox made before gets them at its next start. */
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
  // Of a later date: a sandbox made before gets them at its next start.
  cloudflareReadToken: secret(30),
  atlasReadPublicKey: secret(6),
  atlasReadPrivateKey: secret(18),
  passphrase: z.string(),
  tunnelSecret: z.string(),
  atlasSchemaPassword: z.string(),
  atlasRelayPassword: z.string(),
  ports: z.strictObject({ ...shapeOf(ports, z.number()), ...shapeOf(secondPorts, z.number().optional()) }),
});

/** Made-up ids, secrets and ports of a sandbox. */
export type Identity = z.infer<typeof identitySchema>;

/** A sandbox's names and places. */
export interface Instance {
  /** The checkout, where `Pulumi.yaml` is. */
  project: string;
  /** Everything the sandbox keeps. */
  folder: string;
  stack: string;
  stackFile: string;
  /** Written (mode 600) when the sandbox is ready, removed when it stops. */
  readyFile: string;
  logFile: string;
  lockFile: string;
  /** What the edge's sign-in page would send by e-mail. */
  mailFile: string;
}

/** The zone and the team that the emulated account has. */
export const zoneName = "example.com";
export const hostname = `slm.${zoneName}`;
export const teamDomain = "sandbox-team.cloudflareaccess.com";
export const clusterName = "main";
/** The public address that the emulated Atlas believes everybody here to have (RFC 5737). */
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
 * Reads the sandbox's identity, or makes one. Its ports are claimed for this process; one that another program took
 * meanwhile is replaced, and so is one in the range of outgoing connections, which sandboxes took before.
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
    // A password may hold any character; these are the ones that break gluing strings together.
    atlasSchemaPassword: `${randomBytes(18).toString("base64")}@:/?#%`,
    atlasRelayPassword: `${randomBytes(18).toString("base64")}@:/?#%`,
    ports: {} as Identity["ports"],
  };
  for (const name of [...ports, ...secondPorts]) made.ports[name] = await claimPort(made.ports[name]);
  await writeFile(`${file}.new`, `${JSON.stringify(made, null, 2)}\n`, { mode: 0o600 });
  await rename(`${file}.new`, file);
  return made;
}
