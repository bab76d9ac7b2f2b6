/** Group commit: many steps, one transaction, one sync. */
import type { JobDatabase, Steps } from "./database.ts";
import { isFull, StoreFailed } from "./store.ts";

/** One step to do, by name. */
export interface Command {
  readonly id: number;
  readonly step: keyof Steps;
  readonly args: readonly unknown[];
}

/** What came of it. */
export type CommandResult =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: string; readonly full: boolean };

const READS: ReadonlySet<keyof Steps> = new Set([
  "setCallers",
  "byKey",
  "find",
  "answer",
  "answerHead",
  "answerPiece",
  "waiting",
  "summary",
]);

/** What came of a batch. */
export interface Batch {
  readonly results: readonly CommandResult[];
  /** How long the COMMIT, and with it the sync, took; undefined if nothing was written. */
  readonly commitMs: number | undefined;
  readonly writes: number;
}

/**
 * Does the steps in order in one transaction; a step that fails leaves no trace and does not touch the others. Whatever a
 * step answers may be reported only after this has returned: then it is on the disk. If the COMMIT fails, or a full disk ends the
 * transaction early, each step is done once more in a transaction of its own: one that does not fit must not fail the others.
 */
export function runBatch(database: JobDatabase, commands: readonly Command[]): Batch {
  const { db } = database;
  const writes = commands.filter(({ step }) => !READS.has(step)).length;
  if (writes === 0) return { results: commands.map((ask) => attempt(database, ask)), commitMs: undefined, writes };
  const failAll = (cause: unknown): Batch => {
    if (db.isTransaction) db.exec("ROLLBACK");
    if (commands.length === 1) {
      return { results: [{ id: commands[0]!.id, ...failure(cause) }], commitMs: undefined, writes };
    }
    const apart = commands.map((ask) => runBatch(database, [ask]));
    const commits = apart.flatMap(({ commitMs }) => commitMs ?? []);
    const commitMs = commits.length === 0 ? undefined : commits.reduce((sum, ms) => sum + ms, 0);
    return { results: apart.flatMap(({ results }) => results), commitMs, writes };
  };
  try {
    db.exec("BEGIN IMMEDIATE");
    const results = commands.map((ask) => {
      if (READS.has(ask.step)) return attempt(database, ask);
      db.exec("SAVEPOINT step");
      const one = attempt(database, ask);
      // A full disk may have ended the whole transaction, with what the steps before have done.
      if (!db.isTransaction) {
        const failed = "error" in one ? one : { error: "the transaction ended early", full: false };
        throw new StoreFailed(failed.error, { full: failed.full });
      }
      db.exec("error" in one ? "ROLLBACK TO step; RELEASE step" : "RELEASE step");
      return one;
    });
    const begun = performance.now();
    db.exec("COMMIT");
    return { results, commitMs: performance.now() - begun, writes };
  } catch (cause) {
    return failAll(cause);
  }
}

function attempt(database: JobDatabase, { id, step, args }: Command): CommandResult {
  try {
    // The types hold where the step is asked for; here any of them may come.
    const act = database[step] as (...args: readonly unknown[]) => unknown;
    return { id, value: act.apply(database, args as unknown[]) };
  } catch (cause) {
    return { id, ...failure(cause) };
  }
}

function failure(cause: unknown): { error: string; full: boolean } {
  const full = cause instanceof StoreFailed ? cause.full : isFull(cause);
  return { error: cause instanceof Error ? cause.message : String(cause), full };
}
