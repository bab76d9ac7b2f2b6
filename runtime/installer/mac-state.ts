/**
 * Output of `installer.mjs inspect`, and its comparison with the last installation. Imported by both the installer on the
 * Mac and the Pulumi program, so it imports nothing but zod.
 */
import { z } from "zod";

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

/** A file or folder. Folders and logs have no hash; a secret's hash is keyed (`secretHash` in inspect.ts). */
const fileSchema = z.strictObject({
  sha256: sha256.nullable(),
  /** `user:group` */
  owner: z.string(),
  /** Octal, as chmod(1) takes it, e.g. `640`. */
  mode: z.string(),
});

const daemonSchema = z.strictObject({
  /** Loaded in launchd. */
  loaded: z.boolean(),
  /** It has a process. */
  running: z.boolean(),
  /** Of the plist in /Library/LaunchDaemons; null if there is none. */
  plistSha256: sha256.nullable(),
});

/** State of one Mac. Hashes only: no contents, no secrets. */
export const macStateSchema = z.strictObject({
  schema: z.literal(1),
  /** IOPlatformUUID: identifies the machine, independent of its address. */
  hardwareUuid: z.string().min(1),
  /** Id of the Pulumi resource that installed it; null if nothing is installed, or by a version without ids. */
  installation: z.string().nullable(),
  /** The release that `current` points to. */
  release: sha256.nullable(),
  /** sha256 of the archives of Node and cloudflared that the release uses. */
  node: sha256.nullable(),
  cloudflared: sha256.nullable(),
  /** By absolute path on the Mac; null: does not exist. */
  files: z.record(z.string(), fileSchema.nullable()),
  /** By label. */
  daemons: z.record(z.string(), daemonSchema),
  /** The daemons' user and group exist. */
  account: z.boolean(),
  power: z.strictObject({
    /** As `pmset` prints them; -1: off. */
    settings: z.record(z.string(), z.number()),
    fileVault: z.enum(["on", "off", "unknown"]),
  }),
  /** Problems that are not differences between two states, each a sentence. */
  findings: z.array(z.string()),
});

/** State of one Mac. */
export type MacState = z.infer<typeof macStateSchema>;

/** The expected state after an installation: only listed items are compared. */
export const macExpectedSchema = macStateSchema.omit({ schema: true, hardwareUuid: true, findings: true }).extend({
  daemons: z.record(z.string(), daemonSchema.partial({ running: true })),
  power: z.strictObject({ settings: z.record(z.string(), z.number()) }),
});

/** The expected state after an installation. */
export type MacExpected = z.infer<typeof macExpectedSchema>;

/** The installer's report, as far as the Pulumi program reads it. */
export const installReportSchema = z.looseObject({
  /** Distinguishes a report from the output of `inspect`. */
  restarted: z.array(z.string()),
  warnings: z.array(z.string()).default([]),
  /** Information that needs no action, each a sentence. */
  notes: z.array(z.string()).default([]),
  hardwareUuid: z.string().optional(),
  installation: z.string().nullable().optional(),
  expected: macExpectedSchema.optional(),
});

/** The part of the installer's report that the Pulumi program reads. */
export type InstallReport = z.infer<typeof installReportSchema>;

/** Prints the Mac's state as root; the installer writes it. */
export const inspectProgram = "/usr/local/slm-network/bin/inspect";
const wrapper = `"\${SLM_NETWORK_ROOT:-}${inspectProgram}"`;
const uuidCommand = `ioreg -rd1 -c IOPlatformExpertDevice | sed -n 's/.*"IOPlatformUUID" = "\\([^"]*\\)".*/\\1/p'`;

/**
 * Shell command that prints the state of a Mac without an installation.
 * @param finding a sentence without quotes
 */
export const emptyState = (finding: string): string => {
  const state: MacState = {
    schema: 1,
    hardwareUuid: "%s",
    installation: null,
    release: null,
    node: null,
    cloudflared: null,
    files: {},
    daemons: {},
    account: false,
    power: { settings: {}, fileVault: "unknown" },
    findings: [finding],
  };
  return `printf '${JSON.stringify(state)}\\n' "$(${uuidCommand})"`;
};

/**
 * Reads a Mac's state over SSH, for an account that may become root or may only run the wrapper. Read-only.
 * `SLM_NETWORK_ROOT` is empty on a Mac. Without the wrapper (nothing installed, or an earlier version) it prints a state
 * without files.
 */
export const inspectCommand = `if [ -x ${wrapper} ]; then exec sudo -n ${wrapper}; fi; ${emptyState("the inspect command is not installed on this Mac")}`;

/**
 * @param stdout what `inspectCommand` printed
 * @throws Error if this version cannot read it
 */
export function parseMacState(stdout: string): MacState {
  let value: unknown;
  try {
    value = JSON.parse(stdout);
  } catch {
    throw new Error(`the Mac's state is not JSON (${stdout.length} characters arrived)`);
  }
  const read = macStateSchema.safeParse(value);
  if (read.success) return read.data;
  throw new Error(`the Mac's state is not in the format this version knows: ${z.prettifyError(read.error)}`);
}

/**
 * Compares the expected state with the current one.
 * @returns one sentence fragment per difference, e.g. `/etc/slm-network/relay.json: changed`
 */
export function driftOf(expected: MacExpected, found: MacState): string[] {
  const drift: string[] = [];
  const differ = (what: string, wanted: unknown, is: unknown) => {
    if (wanted !== is) drift.push(`${what}: ${String(is ?? "none")} instead of ${String(wanted ?? "none")}`);
  };
  for (const key of ["installation", "release", "node", "cloudflared"] as const) differ(key, expected[key], found[key]);
  if (expected.account && !found.account) drift.push("the daemons' account: missing");
  for (const [path, wanted] of Object.entries(expected.files)) {
    const is = found.files[path] ?? null;
    if (wanted === null || is === null) {
      if (wanted !== is) drift.push(`${path}: ${is === null ? "missing" : "should not exist"}`);
      continue;
    }
    if (wanted.sha256 !== null && wanted.sha256 !== is.sha256) drift.push(`${path}: changed`);
    differ(`${path}: owner`, wanted.owner, is.owner);
    differ(`${path}: mode`, wanted.mode, is.mode);
  }
  for (const [label, wanted] of Object.entries(expected.daemons)) {
    const is = found.daemons[label] ?? { loaded: false, running: false, plistSha256: null };
    if (wanted.plistSha256 !== is.plistSha256) {
      const how = is.plistSha256 === null ? "missing" : wanted.plistSha256 === null ? "should not exist" : "changed";
      drift.push(`${label}: plist ${how}`);
    }
    if (wanted.loaded !== is.loaded) drift.push(`${label}: ${is.loaded ? "should not be loaded" : "not loaded"}`);
    else if (wanted.running === true && !is.running) drift.push(`${label}: not running`);
  }
  for (const [key, wanted] of Object.entries(expected.power.settings)) {
    differ(`pmset ${key}`, wanted, found.power.settings[key]);
  }
  return drift;
}
