/**
 * The Mac's power settings: set where they differ, read back, reported. A setting that cannot be set is a warning with its
 * consequence, not an error. pmset(1); `pmset -g custom` has one section per power source.
 */
import type { PowerConfig } from "../install-input-schema.ts";
import { CommandError, run } from "./commands.ts";

/** The settings now, and which of them were changed. */
export interface PowerReport {
  /** As `pmset` prints them; UPS settings only if configured. */
  settings: Record<string, number>;
  changed: string[];
  fileVault: "on" | "off" | "unknown";
}

interface Wanted {
  key: string;
  value: number;
  /** Consequence of another value. */
  otherwise: string;
}

const wantedSettings: readonly Wanted[] = [
  {
    key: "sleep",
    value: 0,
    otherwise: "the Mac goes to sleep when idle and serves nothing until someone wakes it",
  },
  { key: "disksleep", value: 0, otherwise: "the first request after a quiet hour may wait for the disk" },
  { key: "womp", value: 1, otherwise: "a sleeping Mac cannot be woken over the network" },
  { key: "powernap", value: 0, otherwise: "macOS may run its own background work at the model's expense" },
];

/** Either is enough, and setting one may clear the other. The second exists since macOS 26.5 on the Mac Studio (2025). */
const restarts = ["autorestart", "autorestartatconnect"] as const;
const staysOff = "after a power cut the Mac stays off until someone presses its power button";

/** Values by key, by section ("AC Power", "UPS Power" …). Values that are not numbers are omitted. */
export function readSettings(custom: string): Map<string, Map<string, number>> {
  const sections = new Map<string, Map<string, number>>();
  let section = new Map<string, number>();
  for (const line of custom.split("\n")) {
    const title = /^(\S.*):\s*$/.exec(line)?.[1];
    if (title !== undefined) {
      section = new Map();
      sections.set(title, section);
    }
    const [, key, value] = /^\s+(\S.*?)\s+(-?\d+)(?: \(.*)?\s*$/.exec(line) ?? [];
    if (key !== undefined) section.set(key.toLowerCase(), Number(value));
  }
  return sections;
}

/** @returns the value of a key in all sections that list it; undefined if none does, NaN if they differ */
function commonValue(sections: ReadonlyMap<string, ReadonlyMap<string, number>>, key: string): number | undefined {
  const values = new Set([...sections.values()].flatMap((section) => section.get(key) ?? []));
  return values.size > 1 ? Number.NaN : [...values][0];
}

const isSupported = (capabilities: string, key: string): boolean =>
  capabilities.split("\n").some((line) => line.trim().toLowerCase() === key);

/**
 * Applies the wanted settings. Changes only those that differ; with `set: false` none.
 * @param warnings receives a sentence for each problem
 */
export async function ensurePower({ set, ups }: PowerConfig, warnings: string[]): Promise<PowerReport> {
  const report: PowerReport = { settings: {}, changed: [], fileVault: await fileVault(warnings) };
  try {
    const capabilities = (await run("pmset", ["-g", "cap"])).stdout;
    await ensurePowerSettings(set, capabilities, report, warnings);
    if (ups) await ensureUps(set, ups, report, warnings);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    warnings.push(`the Mac's power settings could not be read (${error.message}): whether ${staysOff} is not known`);
  }
  return report;
}

async function ensurePowerSettings(
  set: boolean,
  capabilities: string,
  report: PowerReport,
  warnings: string[],
): Promise<void> {
  const read = async () => readSettings((await run("pmset", ["-g", "custom"])).stdout);
  let now = await read();
  const isThere = (key: string) => isSupported(capabilities, key) || commonValue(now, key) !== undefined;
  const wanted = wantedSettings.filter(({ key }) => key === "sleep" || isThere(key)); // skip settings this Mac does not support
  const different = wanted.filter(({ key, value }) => commonValue(now, key) !== value);
  const restartsBy = () => restarts.some((key) => commonValue(now, key) === 1);
  const orders = different.map(({ key, value }) => [key, value] as const);
  if (!restartsBy()) orders.push(...restarts.filter(isThere).map((key) => [key, 1] as const));
  const refused = set ? await applySettings("-a", orders) : new Map<string, string>();
  if (set && orders.length > 0) now = await read();
  for (const key of [...wanted.map((one) => one.key), ...restarts]) {
    const value = commonValue(now, key);
    if (value !== undefined && !Number.isNaN(value)) report.settings[key] = value;
  }
  report.changed.push(...orders.flatMap(([key, value]) => (set && commonValue(now, key) === value ? [key] : [])));
  for (const { key, value, otherwise } of different) {
    if (commonValue(now, key) === value) continue;
    warnings.push(`\`pmset -a ${key} ${value}\` ${notAppliedText(set, refused.get(key))}: ${otherwise}`);
  }
  if (!restartsBy()) {
    const why = restarts.some(isThere)
      ? `\`pmset -a autorestart 1\` ${notAppliedText(set, refused.get("autorestart"))}`
      : "this Mac has no setting to start after a power cut";
    warnings.push(`${why}: ${staysOff}`);
  }
}

async function ensureUps(
  set: boolean,
  ups: NonNullable<PowerConfig["ups"]>,
  report: PowerReport,
  warnings: string[],
): Promise<void> {
  const read = async () => valuesOfUps((await run("pmset", ["-g", "ups"])).stdout);
  let now = await read();
  const wanted = Object.entries(ups).flatMap(([key, value]) =>
    value === undefined ? [] : [[key.toLowerCase(), value] as const],
  );
  const different = wanted.filter(([key, value]) => now.get(key) !== value);
  const refused = set ? await applySettings("-u", different) : new Map<string, string>();
  if (set && different.length > 0) now = await read();
  for (const [key] of wanted) {
    const value = now.get(key);
    if (value !== undefined) report.settings[key] = value;
  }
  for (const [key, value] of different) {
    if (now.get(key) === value) report.changed.push(key);
    else {
      const found = notAppliedText(set, refused.get(key));
      warnings.push(
        `\`pmset -u ${key} ${value}\` ${found}: the Mac runs until the UPS is empty (is it connected by USB?)`,
      );
    }
  }
}

/** Rows are `haltlevel  on  20`, on older versions without the word; -1: off. */
export function valuesOfUps(text: string): Map<string, number> {
  const rows = text.matchAll(/\b(halt\w+)\s+(?:(on|off)\s+)?(-?\d+)/gi);
  return new Map([...rows].map(([, key, state, value]) => [key!.toLowerCase(), state === "off" ? -1 : Number(value)]));
}

/** One by one: `pmset` rejects a whole line with an unknown key. @returns the reason, for each refused key */
async function applySettings(
  source: "-a" | "-u",
  orders: readonly (readonly [string, number])[],
): Promise<Map<string, string>> {
  const refused = new Map<string, string>();
  for (const [key, value] of orders) {
    try {
      await run("pmset", [source, key, String(value)]);
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      refused.set(key, error.message);
    }
  }
  return refused;
}

function notAppliedText(set: boolean, refused: string | undefined): string {
  if (!set) return "is not set, and the config says not to change it (macs[].power.set)";
  return refused === undefined ? "had no effect" : `was refused (${refused})`;
}

/**
 * Reads the settings that `ensurePower` manages; changes nothing.
 * @returns the values of all known keys that `pmset` lists, including UPS thresholds; empty if pmset fails
 */
export async function readPowerSettings(): Promise<Record<string, number>> {
  const settings: Record<string, number> = {};
  try {
    const sections = readSettings((await run("pmset", ["-g", "custom"])).stdout);
    for (const key of [...wantedSettings.map((one) => one.key), ...restarts]) {
      const value = commonValue(sections, key);
      if (value !== undefined && !Number.isNaN(value)) settings[key] = value;
    }
    Object.assign(settings, Object.fromEntries(valuesOfUps((await run("pmset", ["-g", "ups"])).stdout)));
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
  }
  return settings;
}

/** @returns whether FileVault is on; changes nothing */
export const readFileVault = (): Promise<PowerReport["fileVault"]> => fileVault([]);

/** fdesetup(8): `isactive` exits with 0 if FileVault is on, 1 if it is off. */
async function fileVault(warnings: string[]): Promise<PowerReport["fileVault"]> {
  const ran = await run("fdesetup", ["isactive"], [1]).catch((error: Error) => error);
  if (ran instanceof Error) {
    warnings.push(
      `the state of FileVault could not be read (${ran.message}): if it is on, the Mac does not start unattended`,
    );
    return "unknown";
  }
  if (ran.exitCode !== 0) return "off";
  warnings.push(
    "FileVault is on: after a power cut the Mac waits for a password before it starts anything, so nothing is served until someone types it. Turn it off (System Settings, Privacy & Security) and lock the Mac away instead",
  );
  return "on";
}
