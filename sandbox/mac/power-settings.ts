/** What `pmset` keeps on a Mac Studio. */
import { z } from "zod";

export const powerSettingsSchema = z.object({
  ac: z.record(z.string(), z.number()),
  ups: z.record(z.string(), z.number()),
  /** Is the disk encrypted, so that nothing starts before somebody types a password? */
  fileVault: z.boolean().default(false),
  /** Keys that `pmset` takes and macOS then does not keep. */
  forgotten: z.array(z.string()).default([]),
  /** Setting one of the two keys for a start after a power cut clears the other. */
  oneRestartKey: z.boolean().default(false),
});

/** Settings on mains power and for a UPS. */
export type PowerSettings = z.infer<typeof powerSettingsSchema>;

/** As a Mac Studio comes (macOS 26); the keys are also all that `pmset -g cap` lists. */
export const freshPowerSettings: PowerSettings = {
  ac: {
    displaysleep: 10,
    disksleep: 10,
    sleep: 1,
    womp: 1,
    ttyskeepawake: 1,
    powernap: 1,
    tcpkeepalive: 1,
    networkoversleep: 0,
    autorestart: 0,
    autorestartatconnect: 0,
    powermode: 0,
    standby: 0,
  },
  ups: { haltlevel: -1, haltafter: -1, haltremain: -1 },
  fileVault: false,
  forgotten: [],
  oneRestartKey: false,
};
