/** The thread that owns the documents' file: writing 12 MB takes tens of milliseconds, which must not delay streams. */
import { workerData } from "node:worker_threads";
import { compactHeap } from "../heap.ts";
import { runEach, serveThread } from "../threads/serve.ts";
import { openSqliteFile } from "./sqlite-file.ts";
import type { StoreBounds } from "./store.ts";

/** The thread's parameters. */
export interface WorkerOptions {
  readonly file: string;
  readonly bounds: StoreBounds | undefined;
}

void serveThread(async () => {
  const { file, bounds } = workerData as WorkerOptions;
  const store = await openSqliteFile(file, bounds);
  setImmediate(compactHeap);
  return { run: runEach(store), close: () => store.close() };
});
