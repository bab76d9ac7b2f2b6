/** Group commit: many commands, one transaction, one sync. */

import { isFull } from "../sqlite.ts";
import type { Batch, Command, CommandResult, ThreadError } from "../threads/protocol.ts";
import { errorOf } from "../threads/serve.ts";
import type { JobDatabase, Steps } from "./database.ts";
import { StoreFailed } from "./store.ts";

/** Result of a group; see `Batch`. */
export interface GroupResult extends Batch {
  readonly commitMs: number | undefined;
  readonly writes: number;
}

const READS: ReadonlySet<string> = new Set<keyof Steps>([
  "setCallers",
  "setLimits",
  "find",
  "list",
  "answer",
  "answerHead",
  "answerPiece",
  "waiting",
  "summary",
]);

/**
 * Runs the commands in order in one transaction. A command that fails is rolled back and does not affect the others. Results
 * are durable once this returns, and must not be reported before. If the COMMIT fails, or a full disk ends the transaction
 * early, each command is retried in its own transaction, so that one that does not fit does not fail the others.
 */
export function runBatch(database: JobDatabase, commands: readonly Command[]): GroupResult {
  const { db } = database;
  const writes = commands.filter(({ method }) => !READS.has(method)).length;
  if (writes === 0) return { results: commands.map((one) => attempt(database, one)), commitMs: undefined, writes };
  try {
    db.exec("BEGIN IMMEDIATE");
    const results = commands.map((command) => runInSavepoint(database, command));
    const since = performance.now();
    db.exec("COMMIT");
    return { results, commitMs: performance.now() - since, writes };
  } catch (cause) {
    if (db.isTransaction) db.exec("ROLLBACK");
    const [only] = commands;
    if (commands.length === 1 && only !== undefined) {
      return { results: [{ id: only.id, error: failure(cause) }], commitMs: undefined, writes };
    }
    return runApart(database, commands, writes);
  }
}

function runInSavepoint(database: JobDatabase, command: Command): CommandResult {
  const { db } = database;
  if (READS.has(command.method)) return attempt(database, command);
  db.exec("SAVEPOINT command");
  const result = attempt(database, command);
  // A full disk may have ended the whole transaction, including the commands before this one.
  if (!db.isTransaction) {
    const { message, full } =
      "error" in result ? result.error : { message: "the transaction ended early", full: false };
    throw new StoreFailed(message, { full });
  }
  db.exec("error" in result ? "ROLLBACK TO command; RELEASE command" : "RELEASE command");
  return result;
}

function runApart(database: JobDatabase, commands: readonly Command[], writes: number): GroupResult {
  const apart = commands.map((command) => runBatch(database, [command]));
  const commits = apart.flatMap(({ commitMs }) => commitMs ?? []);
  const commitMs = commits.length === 0 ? undefined : commits.reduce((sum, ms) => sum + ms, 0);
  return { results: apart.flatMap(({ results }) => results), commitMs, writes };
}

function attempt(database: JobDatabase, { id, method, args }: Command): CommandResult {
  try {
    // `openSqliteStore` checks the types; they are lost between threads.
    const call = Reflect.get(database, method) as (...args: readonly unknown[]) => unknown;
    return { id, value: call.apply(database, args as unknown[]) };
  } catch (cause) {
    return { id, error: failure(cause) };
  }
}

function failure(cause: unknown): ThreadError {
  return { full: isFull(cause), ...errorOf(cause) };
}
