/** What the state holds of the Mac: hashes and identities, no contents. Also read from what the version before left. */
import { createHash } from "node:crypto";
import { z } from "zod";
import { type InstallInput, installInputSchema } from "../../runtime/install-input-schema.ts";
import { macExpectedSchema } from "../../runtime/installer/mac-state.ts";
import { type MacConnection, plainConnection } from "./connection.ts";
import { type Overlaps, type StoredCredentials, storedCredentialsSchema } from "./direct-credentials.ts";

/** A file that is uploaded, and its hash. */
export interface Upload {
  readonly path: string;
  readonly sha256: string;
}

/** The resource's inputs as the engine passes them. */
export interface MacInputs {
  readonly connection: MacConnection;
  /** The archive with relay and installer. */
  readonly release: Upload;
  readonly node: { readonly url: string; readonly sha256: string };
  /** Node and cloudflared for a Mac without internet access. */
  readonly uploads?: { readonly node: Upload; readonly cloudflared: Upload } | undefined;
  /** A secret as a whole. */
  readonly input: InstallInput;
  /** The removal deletes the relay's data too. */
  readonly removeData: boolean;
  /** The former Mac cannot be reached any more (`macs[].previous: gone`): a move does not wait for it. */
  readonly previousGone: boolean;
  /** The Mac is given up (`macs[].skipRemoval`): an update that cannot reach it is not an error. Not compared by `diff`. */
  readonly skipRemoval?: boolean | undefined;
  /** Until when former secrets count on direct lines, by server. */
  readonly directOverlaps?: Overlaps | undefined;
}

const connectionSchema = z.object({
  host: z.string(),
  port: z.number().default(22),
  user: z.string().default("root"),
  hostKey: z.string().default(""),
});

/** A Mac that was moved away from and is still to be taken out of service. */
const formerSchema = z.object({
  connection: connectionSchema.extend({ jump: connectionSchema.optional() }),
  installation: z.string().optional(),
  hardwareUuid: z.string().optional(),
});
export type FormerMac = z.infer<typeof formerSchema>;

const recordSchema = formerSchema.extend({
  removeData: z.boolean(),
  release: z.string(),
  node: z.string(),
  installation: z.string(),
  hardwareUuid: z.string(),
  /** Of each part of the input (`digestsOf`). */
  digests: z.record(z.string(), z.string()),
  /** What the installation left, to compare with what is there. */
  expected: macExpectedSchema.nullable(),
  /** What `read` found changed on the Mac, in words. */
  drift: z.array(z.string()),
  /** The installer's report, one line of JSON. */
  report: z.string(),
  /** Macs that were moved away from and could not be taken out of service yet. */
  previous: z.array(formerSchema).default([]),
  /** Hashes of the service tokens on direct lines. */
  directCredentials: storedCredentialsSchema.default({}),
  directOverlaps: z.record(z.string(), z.string()).default({}),
});

/** The resource's state. */
export type MacRecord = z.infer<typeof recordSchema>;

/** State of any version, as far as it matters for what comes next. */
export interface PreviousState
  extends Omit<Partial<MacRecord>, "connection" | "digests" | "drift" | "previous" | "directCredentials"> {
  readonly connection: MacConnection;
  readonly digests: Readonly<Record<string, string>>;
  readonly drift: readonly string[];
  readonly previous: readonly FormerMac[];
  readonly directCredentials: StoredCredentials;
  /** It was left by `command:remote:Command` of the version before. */
  readonly isCommand: boolean;
}

const digest = (value: unknown): string =>
  createHash("sha256")
    .update(JSON.stringify(value ?? null))
    .digest("hex");

/**
 * @returns a hash of each part of the input; the relay's settings one by one, as `relay.<name>`. Of tokens only what the
 * config says: their ends are not known in the preview of a rotation, and follow from it otherwise.
 */
export function digestsOf(input: InstallInput): Record<string, string> {
  const { relay, ...rest } = input;
  const tokens = relay.tokens && Object.entries(relay.tokens).map(([name, { duration }]) => [name, duration]);
  const parts = [
    ...Object.entries(rest),
    ...Object.entries({ ...relay, tokens }).map(([key, value]) => [`relay.${key}`, value]),
  ];
  return Object.fromEntries(
    parts.filter(([, value]) => value !== undefined).map(([key, value]) => [key as string, digest(value)]),
  );
}

const commandSchema = z.object({
  connection: connectionSchema.extend({ proxy: connectionSchema.nullish() }),
  create: z.string(),
  delete: z.string().optional(),
  stdin: z.string().optional(),
  stdout: z.string().optional(),
});

/**
 * @param olds the state as the engine has it
 * @throws Error when it is neither this resource's nor that of the version before
 */
export function readRecord(olds: object): PreviousState {
  const record = recordSchema.safeParse(olds);
  if (record.success) return { ...record.data, isCommand: false };
  const command = commandSchema.safeParse(olds);
  if (!command.success) {
    throw new Error(
      `the state of the Mac is not in the format this version knows: ${z.prettifyError(record.error)}\nWas it written by a newer version? Then run that one`,
    );
  }
  const { connection, create, stdin, stdout, delete: removal } = command.data;
  const { proxy, ...host } = connection;
  // The text of `asRoot`: release, Node's address, Node's sha256.
  const [, release, node] = /'slm-network' '([0-9a-f]{64})' '(?:[^']|'\\'')*' '([0-9a-f]{64})'$/.exec(create) ?? [];
  const input = parsedInput(stdin);
  return {
    isCommand: true,
    connection: plainConnection({ ...host, ...(proxy && { jump: proxy }) }),
    digests: input ? digestsOf(input) : {},
    drift: [],
    previous: [],
    directCredentials: {},
    report: stdout ?? "{}",
    removeData: removal?.includes("'--data'") ?? false,
    ...(release !== undefined && node !== undefined && { release, node }),
  };
}

function parsedInput(text: string | undefined): InstallInput | undefined {
  try {
    return installInputSchema.parse(JSON.parse(text ?? ""));
  } catch {
    return undefined; // then everything counts as changed, and the installer finds out
  }
}
