/**
 * The thread that owns the ledger's file. A thread and a file of its own, not those of the jobs: an acknowledged job waits for
 * its synced commit, and must not wait behind sums over a year of rows, or behind the sync of a group of rows that nobody
 * waits for.
 */
import { workerData } from "node:worker_threads";
import { compactHeap } from "../heap.ts";
import { runEach, serveThread } from "../threads/serve.ts";
import { LedgerDatabase, type LedgerOptions } from "./database.ts";

void serveThread(() => {
  const database = new LedgerDatabase(workerData as LedgerOptions);
  setImmediate(compactHeap);
  return { info: database.movedTo, run: runEach(database), close: () => database.close() };
});
