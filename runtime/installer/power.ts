/**
 * The Mac's power settings: set where they differ, read back, reported. What can not be set is no failure but a warning
 * with what it means. pmset(1); `pmset -g custom` has one section a power source.
 */
import type { PowerConfig } from "../config.ts";
import { CommandError, run } from "./commands.ts";

/** What is so now, and what was changed to get there. */
export interface PowerReport {
  /** As `pmset` says; those of the UPS only when they are configured. */
  settings: Record<string, number>;
  changed: string[];
  fileVault: "on" | "off" | "unknown";
}

interface Wanted {
  key: string;
  value: number;
  /** What happens otherwise. */
  otherwise: string;
}

const wantedSettings: readonly Wanted[] = [
  {
    key: "sleep",
    value: 0,
    otherwise: "the Mac goes to sleep when nobody sits at it, and then nothing is served until somebody wakes it",
  },
  { key: "disksleep", value: 0, otherwise: "the first request after a quiet hour may wait for the disk" },
  { key: "womp", value: 1, otherwise: "a Mac that was put to sleep by hand can not be woken over the network" },
  { key: "powernap", value: 0, otherwise: "macOS may do its own work in between, at the model's expense" },
];

/** Either is enough, and setting one may clear the other. The second came with macOS 26.5 for the Mac Studio of 2025. */
const restarts = ["autorestart", "autorestartatconnect"] as const;
const staysOff = "after a power cut the Mac stays off until somebody presses its button";

/** Values by key, by section ("AC Power", "UPS Power" …). Values that are no numbers are left out. */
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

/** @returns the value a key has in every section that lists it; undefined when none does, NaN when they differ */
function commonValue(sections: ReadonlyMap<string, ReadonlyMap<string, number>>, key: string): number | undefined {
  const values = new Set([...sections.values()].flatMap((section) => section.get(key) ?? []));
  return values.size > 1 ? Number.NaN : [...values][0];
}

const isSupported = (capabilities: string, key: string): boolean =>
  capabilities.split("\n").some((line) => line.trim().toLowerCase() === key);

/**
 * Brings the settings to what is wanted. Changes only what differs; with `set: false` nothing.
 * @param warnings gets a sentence for each thing that is not as it should be
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
  const wanted = wantedSettings.filter(({ key }) => key === "sleep" || isThere(key)); // what a Mac has not got needs no setting
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

/** Rows are `haltlevel  on  20`, of older ones without the word; what is off is -1. */
export function valuesOfUps(text: string): Map<string, number> {
  const rows = text.matchAll(/\b(halt\w+)\s+(?:(on|off)\s+)?(-?\d+)/gi);
  return new Map([...rows].map(([, key, state, value]) => [key!.toLowerCase(), state === "off" ? -1 : Number(value)]));
}

/** One by one: `pmset` takes none of a line in which it does not know one. @returns why, for each that was refused */
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
  if (!set) return "is not so, and the config says to leave it (macs[].power.set)";
  return refused === undefined ? "did not take" : `was refused (${refused})`;
}

/**
 * Reads what `ensurePower` would look at; changes nothing.
 * @returns the values of every key that any section of `pmset` lists and this file knows, UPS thresholds included; none when pmset fails
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

/** fdesetup(8): `isactive` ends with 0 when FileVault is on, 1 when it is off. */
async function fileVault(warnings: string[]): Promise<PowerReport["fileVault"]> {
  const ran = await run("fdesetup", ["isactive"], [1]).catch((error: Error) => error);
  if (ran instanceof Error) {
    warnings.push(
      `whether FileVault is on could not be read (${ran.message}): if it is, the Mac does not start unattended`,
    );
    return "unknown";
  }
  if (ran.exitCode !== 0) return "off";
  warnings.push(
    "FileVault is on: after a power cut the Mac waits for a password before it starts anything, so nothing serves until somebody types it. Turn it off (System Settings, Privacy & Security) and lock the Mac away instead",
  );
  return "on";
}
