/**
 * The thread that owns the jobs' file. SQLite blocks, and a synced commit takes milliseconds; neither may delay streams.
 * Commands that arrive during a commit form the next group.
 */
import { workerData } from "node:worker_threads";
import { compactHeap } from "../heap.ts";
import { serveThread } from "../threads/serve.ts";
import { runBatch } from "./batch.ts";
import { type DatabaseOptions, JobDatabase } from "./database.ts";
import { bytesIn } from "./transfer.ts";

/** Bounds of a group: commands, and bytes of their bodies and answers. */
const GROUP = { commands: 256, bytes: 32 * 1024 * 1024, bytesIn };

void serveThread(() => {
  const database = new JobDatabase(workerData as DatabaseOptions);
  setImmediate(compactHeap);
  return {
    info: database.recovered,
    group: GROUP,
    run: (commands) => runBatch(database, commands),
    close: () => database.close(),
  };
});
