/** The identity of a Mac: hardware UUID and serial number, kept with its folder. */
import { randomBytes, randomUUID } from "node:crypto";
import { join } from "node:path";
import { z } from "zod";
import { StateFile } from "./state-file.ts";

const hardwareSchema = z.strictObject({ uuid: z.string(), serial: z.string() });

/** Identity of the machine. */
export type Hardware = z.infer<typeof hardwareSchema>;

/** Reads `dir/hardware.json`, or creates it. Blocking. */
export function readHardware(dir: string): Hardware {
  // Serial numbers of Apple silicon are ten random letters and digits.
  const serial = [...randomBytes(10)].map((byte) => "0123456789CDFGHJKLMNPQRTVWXY"[byte % 28]).join("");
  const made = { uuid: randomUUID().toUpperCase(), serial };
  const state = new StateFile(join(dir, "hardware.json"), hardwareSchema, made);
  state.save();
  return state.value;
}
