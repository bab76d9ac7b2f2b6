/** Input of the installer: the relay's configuration and secrets, and what else it sets up on the Mac. */
import { z } from "zod";
import { relayConfigSchema, relaySecretsSchema } from "./config.ts";
import { directLineSchema } from "./direct-config.ts";

const port = z.int().min(1).max(65535);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

/** Power settings of the Mac. */
export const powerSchema = z.strictObject({
  /** False: `pmset` is only asked, and what differs is a warning. */
  set: z.boolean(),
  /** When a Mac that runs on its UPS shuts itself down; absent: nothing of it is touched. */
  ups: z
    .strictObject({
      /** At this charge of the UPS, in percent. */
      haltLevel: z.int().min(0).max(99).optional(),
      /** After so many minutes on the UPS. */
      haltAfter: z.int().min(0).max(999).optional(),
      /** With so many minutes left. */
      haltRemain: z.int().min(0).max(999).optional(),
    })
    .optional(),
});

/** How launchd starts the model server. All of it is in a plist that every user of the Mac can read. */
export const modelServiceSchema = z.strictObject({
  program: z.string().startsWith("/"),
  args: z.array(z.string()),
  env: z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/), z.string()),
  /** The account it runs as: the one whose home has the models. */
  user: z.string().min(1),
  /** Absent: that account's home. */
  workingDirectory: z.string().startsWith("/").optional(),
});

export type PowerConfig = z.infer<typeof powerSchema>;
export type ModelService = z.infer<typeof modelServiceSchema>;

/** What the installer gets through its standard input; secret as a whole. */
export const installInputSchema = z.strictObject({
  /** Without the folder for data, which the installer knows. */
  relay: relayConfigSchema.omit({ dataDir: true, logDir: true }),
  secrets: relaySecretsSchema,
  /** For cloudflared's `--token-file`. */
  connectorToken: z.string().min(1),
  /** Port of cloudflared's own metrics and `/ready`, on 127.0.0.1. */
  connectorPort: port,
  /** IP version of cloudflared's connections to Cloudflare; absent: IPv4, as is its default. */
  edgeIpVersion: z.enum(["4", "6", "auto"]).optional(),
  /** The archive with the `cloudflared` program that the Mac downloads, or finds in /tmp when it was uploaded there. */
  cloudflared: z.strictObject({ url: z.url(), sha256, uploaded: z.boolean().optional() }),
  power: powerSchema,
  /** Absent: the model server is started by somebody else, and the installer looks by whom. */
  modelService: modelServiceSchema.optional(),
  /** SSH connections of the direct lines; absent: none. */
  direct: z.array(directLineSchema).max(32).optional(),
});

export type InstallInput = z.infer<typeof installInputSchema>;
