/**
 * The thread that has the jobs' file. SQLite blocks, and a synced commit takes milliseconds: neither may hold up the
 * streams. While it commits, further steps arrive; they are the next group.
 */
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { compactHeap } from "../heap.ts";
import { type Batch, type Command, runBatch } from "./batch.ts";
import { type DatabaseOptions, JobDatabase } from "./database.ts";
import type { Recovered } from "./store.ts";

/** From the thread: it is open, it can not be opened, or a group is done. */
export type FromWorker =
  | { readonly kind: "open"; readonly recovered: Recovered }
  | { readonly kind: "refused"; readonly reason: string }
  | ({ readonly kind: "done" } & Batch)
  | { readonly kind: "closed" };

/** To the thread. */
export type ToWorker = Command | "close";

/** One group takes at most so many steps, and so many bytes of bodies and answers. */
const GROUP_STEPS = 256;
const GROUP_BYTES = 32 * 1024 * 1024;

function serve(port: MessagePort, database: JobDatabase): void {
  const close = () => {
    database.close();
    port.postMessage({ kind: "closed" } satisfies FromWorker);
    port.close();
  };
  port.on("message", (first: ToWorker) => {
    const group: Command[] = [];
    let bytes = 0;
    let message: ToWorker | undefined = first;
    while (message !== undefined && message !== "close") {
      group.push(message);
      bytes += bytesIn(message.args);
      if (group.length >= GROUP_STEPS || bytes >= GROUP_BYTES) break;
      message = (receiveMessageOnPort(port) as { message: ToWorker } | undefined)?.message;
    }
    if (group.length > 0) {
      const batch = runBatch(database, group);
      port.postMessage({ kind: "done", ...batch } satisfies FromWorker, piecesIn(batch));
    }
    if (message === "close") close();
  });
}

/** Pieces of answers: handed over, not copied. */
function piecesIn({ results }: Batch): ArrayBuffer[] {
  return results.flatMap((one) =>
    "value" in one && one.value instanceof Uint8Array && one.value.buffer instanceof ArrayBuffer
      ? [one.value.buffer]
      : [],
  );
}

/** Bytes of the bodies and answers in a step's arguments. */
export function bytesIn(args: readonly unknown[]): number {
  let bytes = 0;
  for (const arg of args) {
    if (typeof arg === "object" && arg !== null && "body" in arg && arg.body instanceof Uint8Array) {
      bytes += arg.body.length;
    }
  }
  return bytes;
}

if (parentPort) {
  try {
    const database = new JobDatabase(workerData as DatabaseOptions);
    serve(parentPort, database);
    parentPort.postMessage({ kind: "open", recovered: database.recovered } satisfies FromWorker);
    compactHeap();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    parentPort.postMessage({ kind: "refused", reason } satisfies FromWorker);
  }
}
