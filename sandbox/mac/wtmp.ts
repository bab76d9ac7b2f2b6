/** When the Mac was started and shut down, as wtmp keeps it: a power cut leaves no entry, only the start after it. */
import { join } from "node:path";
import { z } from "zod";
import { StateFile } from "./state-file.ts";

const entrySchema = z.object({ kind: z.enum(["reboot", "shutdown"]), at: z.iso.datetime() });

/** One entry. */
export type WtmpEntry = z.infer<typeof entrySchema>;

/** Kept entries; the real file is kept until the disk is erased. */
const most = 100;

/** The log of starts; kept in `dir/wtmp.json`. */
export class Wtmp {
  readonly #state: StateFile<WtmpEntry[]>;

  constructor(dir: string) {
    this.#state = new StateFile(join(dir, "wtmp.json"), z.array(entrySchema), []);
  }

  /** The oldest first. */
  get entries(): readonly WtmpEntry[] {
    return this.#state.value;
  }

  /** Notes that it happens now. */
  note(kind: WtmpEntry["kind"]): void {
    this.#state.value.push({ kind, at: new Date().toISOString() });
    this.#state.value.splice(0, this.#state.value.length - most);
    this.#state.save();
  }
}
