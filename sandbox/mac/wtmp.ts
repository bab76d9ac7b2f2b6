/** Starts and shutdowns of the Mac, as wtmp records them: a power cut leaves no entry, only the start after it. */
import { join } from "node:path";
import { z } from "zod";
import { StateFile } from "./state-file.ts";

const entrySchema = z.object({ kind: z.enum(["reboot", "shutdown"]), at: z.iso.datetime() });

/** One entry. */
export type WtmpEntry = z.infer<typeof entrySchema>;

/** Number of kept entries; the real file is never truncated. */
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

  /** Records an event at the current time. */
  note(kind: WtmpEntry["kind"]): void {
    this.#state.value.push({ kind, at: new Date().toISOString() });
    this.#state.value.splice(0, this.#state.value.length - most);
    this.#state.save();
  }
}
