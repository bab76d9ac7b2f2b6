/** Group commit: many steps, one transaction, one sync. */
import type { JobDatabase, Steps } from "./database.ts";

/** One step to do, by name. */
export interface Ask {
  readonly id: number;
  readonly step: keyof Steps;
  readonly args: readonly unknown[];
}

/** What came of it. */
export type Told = { readonly id: number; readonly value: unknown } | { readonly id: number; readonly error: string };

const READS: ReadonlySet<keyof Steps> = new Set(["byKey", "find", "answer", "waiting", "summary"]);

/** What came of a batch. */
export interface Batch {
  readonly told: readonly Told[];
  /** How long the COMMIT, and with it the sync, took; undefined if nothing was written. */
  readonly commitMs: number | undefined;
  readonly writes: number;
}

/**
 * Does the steps in order in one transaction; a step that fails leaves no trace and does not touch the others. Whatever a
 * step answers may be told only after this has returned: then it is on the disk. If the COMMIT fails, every step has failed.
 */
export function runBatch(database: JobDatabase, asks: readonly Ask[]): Batch {
  const { db } = database;
  const writes = asks.filter(({ step }) => !READS.has(step)).length;
  if (writes === 0) return { told: asks.map((ask) => attempt(database, ask)), commitMs: undefined, writes };
  const failAll = (cause: unknown): Batch => {
    if (db.isTransaction) db.exec("ROLLBACK");
    return { told: asks.map(({ id }) => ({ id, error: reason(cause) })), commitMs: undefined, writes };
  };
  try {
    db.exec("BEGIN IMMEDIATE");
    const told = asks.map((ask) => {
      if (READS.has(ask.step)) return attempt(database, ask);
      db.exec("SAVEPOINT step");
      const one = attempt(database, ask);
      // A full disk may have ended the whole transaction, with what the steps before have done.
      if (!db.isTransaction) throw new Error("error" in one ? one.error : "the transaction ended early");
      db.exec("error" in one ? "ROLLBACK TO step; RELEASE step" : "RELEASE step");
      return one;
    });
    const begun = performance.now();
    db.exec("COMMIT");
    return { told, commitMs: performance.now() - begun, writes };
  } catch (cause) {
    return failAll(cause);
  }
}

function attempt(database: JobDatabase, { id, step, args }: Ask): Told {
  try {
    // The types hold where the step is asked for; here any of them may come.
    const act = database[step] as (...args: readonly unknown[]) => unknown;
    return { id, value: act.apply(database, args as unknown[]) };
  } catch (cause) {
    return { id, error: reason(cause) };
  }
}

function reason(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
