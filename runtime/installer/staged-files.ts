/**
 * Replaces several files and the link to the release together, with a way back. All new contents are on the disk before the
 * first file is changed, so a full disk changes nothing; the former files stay beside the new ones under another name, and the
 * journals of both directions are written in advance, so the way back needs no space. A journal says what was begun: after a power cut the relay reads the set of its own release, and
 * the next installation completes or undoes the rest (`finishReplacement`).
 */
import { chmod, link, readlink, rename, rm } from "node:fs/promises";
import {
  candidates,
  formerOf,
  incomingOf,
  type Journal,
  journalOf,
  readJournal,
  setThatCounts,
} from "../replacement-journal.ts";
import { type Ownership, pathExists, secretFile, setOwner, switchLink, writeBeside } from "./files.ts";
import type { Layout } from "./layout.ts";

/** A file's new content. */
export interface FileChange {
  readonly path: string;
  readonly content: string;
  readonly ownership: Ownership;
  /** Starts programs of the new release: put in place after the link to it, and taken back before. */
  readonly isPlist: boolean;
}

/** Files that are written and not in place yet. */
export interface Replacement {
  /** Path of a new content, by the file's path. */
  readonly staged: ReadonlyMap<string, string>;
  /** Puts the new files in place and the link on the new release. */
  commit(): Promise<void>;
  /** Puts the former files and the link back, with the owner and mode they should have. A file that did not exist before stays as it is. */
  restore(): Promise<void>;
  /** Removes what is left beside the files. */
  discard(): Promise<void>;
}

/** One change on the disk; each is atomic, and none is lost by a power cut once a later one is there. */
export type Step =
  | { readonly do: "keep" | "replace" | "bring-back"; readonly path: string }
  | { readonly do: "journal"; readonly journal: Journal | undefined }
  | { readonly do: "release"; readonly target: string };

/** Pure: how the new set comes into place. A cut after any step leaves a set that `setThatCounts` names whole. */
export function commitSteps(changes: readonly Pick<FileChange, "path" | "isPlist">[], journal: Journal): Step[] {
  const replace = (isPlist: boolean) =>
    changes.filter((change) => change.isPlist === isPlist).map(({ path }) => ({ do: "replace" as const, path }));
  return [
    ...changes.map(({ path }) => ({ do: "keep" as const, path })),
    { do: "journal", journal: { ...journal, direction: "forward" } },
    ...replace(false),
    { do: "release", target: journal.next },
    ...replace(true),
    { do: "journal", journal: undefined },
  ];
}

/** Pure: how the former set comes back. */
export function restoreSteps(changes: readonly Pick<FileChange, "path" | "isPlist">[], journal: Journal): Step[] {
  const bringBack = (isPlist: boolean) =>
    changes.filter((change) => change.isPlist === isPlist).map(({ path }) => ({ do: "bring-back" as const, path }));
  return [
    { do: "journal", journal: { ...journal, direction: "back" } },
    ...bringBack(true),
    ...(journal.former === null ? [] : [{ do: "release" as const, target: journal.former }]),
    ...bringBack(false),
    { do: "journal", journal: undefined },
  ];
}

/** Carries out a step. @param write writes the journal, or removes it */
export async function carryOut(
  step: Step,
  current: string,
  write: (journal: Journal | undefined) => Promise<void>,
): Promise<void> {
  if (step.do === "journal") return write(step.journal);
  if (step.do === "release") {
    // A new link needs space; the way back from before this step needs none.
    if ((await readlink(current).catch(() => undefined)) !== step.target) await switchLink(current, step.target);
    return;
  }
  const { path } = step;
  if (step.do === "keep") {
    await rm(formerOf(path), { force: true });
    if (await pathExists(path)) await link(path, formerOf(path));
  } else if (step.do === "replace") await rename(incomingOf(path), path);
  else if (await pathExists(formerOf(path))) await rename(formerOf(path), path);
}

const currentRelease = (paths: Pick<Layout, "current">): Promise<string | undefined> =>
  readlink(paths.current).catch(() => undefined);

/** The journals of both directions are written beside these names, and renamed to the journal's own when their turn comes. */
const journalsOf = (journalFile: string) => ({ forward: journalFile, back: `${journalFile}.back` });

/** Removes the new and the former contents that stand beside the files. */
async function removeBeside(files: readonly string[]): Promise<void> {
  for (const path of files) {
    await rm(formerOf(path), { force: true });
    await rm(incomingOf(path), { force: true });
  }
}

/**
 * @param release target of the link to the new release
 * @throws Error that names the file, when one cannot be written: nothing was changed then
 */
export async function stageFiles(paths: Layout, changes: readonly FileChange[], release: string): Promise<Replacement> {
  const journalFile = journalOf(paths.relayConfig);
  const journals = journalsOf(journalFile);
  const staged = new Map<string, string>();
  const files = changes.map(({ path }) => path);
  const journal: Journal = {
    direction: "forward",
    former: (await currentRelease(paths)) ?? null,
    next: release,
    files,
  };
  const cleanUp = () => removeBeside([...files, ...Object.values(journals)]);
  const contents = [
    ...changes,
    ...(["forward", "back"] as const).map((direction) => ({
      path: journals[direction],
      content: `${JSON.stringify({ ...journal, direction })}\n`,
      ownership: secretFile,
    })),
  ];
  for (const { path, content, ownership } of contents) {
    try {
      staged.set(path, await writeBeside(path, content, ownership));
    } catch (error) {
      await cleanUp();
      throw new Error(
        `${path} cannot be written on the Mac (${(error as Error).message}); config and daemons were not changed`,
        { cause: error },
      );
    }
  }
  const write = (to: Journal | undefined) =>
    to === undefined ? rm(journalFile, { force: true }) : rename(staged.get(journals[to.direction])!, journalFile);
  const run = async (steps: readonly Step[]) => {
    for (const step of steps) await carryOut(step, paths.current, write);
  };
  return {
    staged,
    commit: () => run(commitSteps(changes, journal)),
    async restore() {
      await run(restoreSteps(changes, journal));
      for (const { path, ownership } of changes) {
        if (!(await pathExists(path))) continue;
        await setOwner(path, ownership.owner);
        await chmod(path, ownership.mode);
      }
    },
    discard: cleanUp,
  };
}

/**
 * Completes or undoes what an installation left that was killed, or cut off by a power cut, so that the files in place are one
 * set. Without a journal only stray copies are removed, by the next `discard`.
 * @returns whether there was anything to do
 */
export async function finishReplacement(paths: Pick<Layout, "current" | "relayConfig">): Promise<boolean> {
  const journalFile = journalOf(paths.relayConfig);
  const journal = await readJournal(journalFile);
  if (journal === undefined) return false;
  const current = await currentRelease(paths);
  const set = journal.direction === "back" ? "former" : setThatCounts(journal, current);
  for (const path of journal.files) {
    const [beside = path] = candidates(path, set);
    if (await pathExists(beside)) await rename(beside, path);
  }
  // A way back that was begun is gone to its end.
  if (set === "former" && journal.former !== null) await switchLink(paths.current, journal.former);
  await rm(journalFile, { force: true });
  await removeBeside([...journal.files, ...Object.values(journalsOf(journalFile))]);
  return true;
}
