/**
 * The installer replaces several files and the link to the release. No system does that in one step, so while it does, a
 * journal beside the config says which files belong together: a relay that starts after a power cut in between reads the set
 * that belongs to its own release, and the next installation completes or undoes the replacement.
 */
import { readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { z } from "zod";

/** Names a file's new content while it is not in place. */
export const incomingOf = (path: string): string => join(dirname(path), `.${basename(path)}.incoming`);
/** Names a file's former content while it may be needed again. */
export const formerOf = (path: string): string => join(dirname(path), `.${basename(path)}.former`);
/** The journal of the set that this config file belongs to. */
export const journalOf = (configFile: string): string => join(dirname(configFile), "replacement.json");

export const journalSchema = z.object({
  /** The new files are put in place, or, after a failure, the former ones. */
  direction: z.enum(["forward", "back"]),
  /** Target of the link to the release, before and after; null: there was none. */
  former: z.string().nullable(),
  next: z.string(),
  /** All files of the set. */
  files: z.array(z.string()),
});

export type Journal = z.infer<typeof journalSchema>;

/** @returns undefined without a journal. One that cannot be read counts as none: it is written atomically, before any change. */
export async function readJournal(file: string): Promise<Journal | undefined> {
  try {
    return journalSchema.parse(JSON.parse(await readFile(file, "utf8")));
  } catch {
    return undefined;
  }
}

/**
 * Pure: which set counts.
 * @param current target of the link to the release
 */
export function setThatCounts({ direction, former, next }: Journal, current: string | undefined): "new" | "former" {
  if (former === next) return direction === "forward" ? "new" : "former";
  return current === next ? "new" : "former";
}

/** Where the content of a file may be that belongs to the set that counts, best first. */
export const candidates = (path: string, set: "new" | "former"): readonly string[] =>
  set === "new" ? [incomingOf(path), path] : [formerOf(path), path];
