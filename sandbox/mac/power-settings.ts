/** What `pmset` keeps on a Mac Studio. */
import { z } from "zod";

export const powerSettingsSchema = z.object({
  ac: z.record(z.string(), z.number()),
  /** -1: off */
  ups: z.record(z.string(), z.number()),
  /** Whether the disk is encrypted, so that nothing starts before somebody types a password. */
  fileVault: z.boolean().default(false),
  /** Keys that `pmset` accepts and macOS does not keep. */
  forgotten: z.array(z.string()).default([]),
  /** Setting one of the two keys for a start after a power cut clears the other. */
  oneRestartKey: z.boolean().default(false),
});

/** Settings on mains power and for a UPS, and whether the Mac starts by itself. */
export type PowerSettings = z.infer<typeof powerSettingsSchema>;

/** Not a setting but a line of `pmset -g custom`; its name contains spaces, which breaks programs that split there. */
export const powerButton = "Sleep On Power Button";

/** Settings of some machines only: elsewhere pmset accepts them silently and nothing changes. */
export const unsupportedSettings: readonly string[] = [
  "acwake",
  "autopoweroff",
  "disablesleep",
  "gpuswitch",
  "halfdim",
  "hibernatemode",
  "lessbright",
  "lidwake",
  "proximitywake",
  "ring",
  "sms",
];

/** Factory settings of a Mac Studio; `pmset -g cap` lists these keys in this order. */
export function freshPowerSettings(macos: string): PowerSettings {
  return {
    ac: {
      [powerButton]: 1,
      ...(hasRestartAtConnect(macos) ? { autorestartatconnect: 0 } : {}),
      lowpowermode: 0,
      standby: 0,
      ttyskeepawake: 1,
      powernap: 1,
      displaysleep: 10,
      womp: 1,
      networkoversleep: 0,
      sleep: 1,
      tcpkeepalive: 1,
      autorestart: 0,
      disksleep: 10,
    },
    ups: { haltlevel: -1, haltafter: -1, haltremain: -1 },
    fileVault: false,
    forgotten: [],
    oneRestartKey: false,
  };
}

/** The stored settings as this version of macOS supports them. */
export function knownPowerSettings(kept: PowerSettings, macos: string): PowerSettings {
  const fresh = freshPowerSettings(macos);
  const known = (before: Record<string, number>, now: Record<string, number>) =>
    Object.fromEntries(Object.entries(now).map(([key, value]) => [key, before[key] ?? value]));
  return { ...kept, ac: known(kept.ac, fresh.ac), ups: known(kept.ups, fresh.ups) };
}

/** Introduced in macOS 26.5. */
export function hasRestartAtConnect(macos: string): boolean {
  const [major = 0, minor = 0] = macos.split(".").map(Number);
  return major > 26 || (major === 26 && minor >= 5);
}
