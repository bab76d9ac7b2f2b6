/** Settings of a sandbox from the environment: delays, limits, SSH server. */
import { z } from "zod";
import { modelChoices } from "./model/choose.ts";
import { mongoChoices } from "./mongo/start.ts";
import { providerChoices } from "./providers/choice.ts";
import { SettingsError } from "./settings-error.ts";

/** Settings of one sandbox. */
export interface Settings {
  atlas: { userMs: number; accessMs: number; clusterPolls: number };
  /** Interval of MongoDB's TTL monitor in ms. */
  ttlMonitorMs: number;
  /** Longest silence of the relay in ms before the edge answers 524. */
  readTimeoutMs: number;
  /** Largest request body of the edge, in bytes. */
  bodyLimitBytes: number;
  /** The organisation's "strict service token authentication". */
  strictServiceTokens: boolean;
  /** The Mac's version of macOS. */
  macos: string;
  /** The Mac's disk is encrypted. */
  fileVault: boolean;
  /** The Mac is emulated, or this machine itself, reached by `ssh`. */
  mac: "emulated" | "this";
  /** An external SSH server, and a key that it accepts. */
  ssh?: { user: string; host: string; port: number; keyPath: string };
}

const whole = (fallback: number, least: number, most: number) =>
  z
    .string()
    .regex(/^\d{1,12}$/)
    .transform(Number)
    .pipe(z.number().min(least).max(most))
    .default(fallback)
    .describe(`a whole number from ${least} to ${most}`);

const oneOrNone = z
  .enum(["0", "1"])
  .default("0")
  .transform((text) => text === "1")
  .describe("0 or 1");

const variables = {
  SANDBOX_PROVIDERS: z
    .enum(providerChoices)
    .default("auto")
    .describe(`one of ${providerChoices.join(", ")}`),
  SANDBOX_MONGO: z
    .enum(mongoChoices)
    .default("auto")
    .describe(`one of ${mongoChoices.join(", ")}`),
  // Read where they are used; an unknown value is refused here.
  SANDBOX_OFFLINE: oneOrNone,
  SANDBOX_VERBOSE: oneOrNone,
  SANDBOX_MODEL: z
    .enum(modelChoices)
    .default("auto")
    .describe(`one of ${modelChoices.join(", ")}`),
  SANDBOX_MODEL_URL: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe("the http(s) address of a model server, e.g. http://127.0.0.1:11434"),
  SANDBOX_ATLAS_USER_MS: whole(1_000, 0, 600_000),
  SANDBOX_ATLAS_ACCESS_MS: whole(1_000, 0, 600_000),
  SANDBOX_ATLAS_CLUSTER_POLLS: whole(2, 0, 1_000),
  SANDBOX_TTL_MONITOR_MS: whole(60_000, 50, 3_600_000),
  SANDBOX_READ_TIMEOUT_MS: whole(100_000, 100, 3_600_000),
  SANDBOX_BODY_LIMIT_BYTES: whole(100 * 2 ** 20, 1, 2 ** 31),
  SANDBOX_STRICT_SERVICE_TOKENS: oneOrNone,
  SANDBOX_MACOS: z
    .string()
    .regex(/^(1[5-9]|2\d)(\.\d{1,2}){1,2}$/)
    .default("26.5.1")
    .describe("a version of macOS from 15.0 on, e.g. 26.5.1"),
  SANDBOX_FILEVAULT: oneOrNone,
  SANDBOX_MAC: z
    .enum(["emulated", "stand-in", "this"])
    .default("emulated")
    .transform((mac) => (mac === "this" ? mac : "emulated")) // "stand-in" is the name of older releases
    .describe("emulated or this"),
  // Read by the emulated provider plugins; a wrong value is refused here.
  SANDBOX_PROVIDER_CLOCK: z.coerce.number().gt(0).max(1).optional().describe("a number over 0 and at most 1, e.g. 0.1"),
  SANDBOX_SSH: z
    .string()
    .regex(/^[^@:\s]+@[^@:\s]+:\d{1,5}$/)
    .optional()
    .describe("user@host:port"),
  SANDBOX_SSH_KEY: z
    .string()
    .min(1)
    .optional()
    .describe("the path of an ed25519 private key without a passphrase, which that server accepts"),
};

/**
 * Reads the settings; an empty variable counts as not set.
 * @throws SettingsError with all problems at once
 */
export function readSettings(environment: NodeJS.ProcessEnv): Settings {
  const given = Object.fromEntries(Object.keys(variables).map((name) => [name, environment[name] || undefined]));
  const read = z.object(variables).safeParse(given);
  const faults = Object.entries(variables).flatMap(([name, schema]) =>
    read.error?.issues.some((issue) => issue.path[0] === name)
      ? [`${name} is ${JSON.stringify(given[name])}: it must be ${schema.description}`]
      : [],
  );
  if (given.SANDBOX_SSH !== undefined && given.SANDBOX_SSH_KEY === undefined) {
    faults.push(`SANDBOX_SSH_KEY is missing: with SANDBOX_SSH it must be ${variables.SANDBOX_SSH_KEY.description}`);
  }
  if (given.SANDBOX_MAC === "this" && given.SANDBOX_SSH === undefined) {
    faults.push("SANDBOX_SSH is missing: with SANDBOX_MAC=this it must be this machine's own sshd, user@127.0.0.1:22");
  }
  if (!read.success || faults.length > 0) throw new SettingsError(faults.join("\n"));
  const { data } = read;
  return {
    atlas: {
      userMs: data.SANDBOX_ATLAS_USER_MS,
      accessMs: data.SANDBOX_ATLAS_ACCESS_MS,
      clusterPolls: data.SANDBOX_ATLAS_CLUSTER_POLLS,
    },
    ttlMonitorMs: data.SANDBOX_TTL_MONITOR_MS,
    readTimeoutMs: data.SANDBOX_READ_TIMEOUT_MS,
    bodyLimitBytes: data.SANDBOX_BODY_LIMIT_BYTES,
    strictServiceTokens: data.SANDBOX_STRICT_SERVICE_TOKENS,
    macos: data.SANDBOX_MACOS,
    fileVault: data.SANDBOX_FILEVAULT,
    mac: data.SANDBOX_MAC,
    ...(data.SANDBOX_SSH && data.SANDBOX_SSH_KEY ? { ssh: sshOf(data.SANDBOX_SSH, data.SANDBOX_SSH_KEY) } : {}),
  };
}

function sshOf(target: string, keyPath: string): Settings["ssh"] {
  const [user = "", host = "", port = ""] = target.split(/[@:]/);
  return { user, host, port: Number(port), keyPath };
}
