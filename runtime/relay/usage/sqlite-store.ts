/** The ledger's store, seen from the main thread: sends commands to the thread that owns the file. */
import { WorkerThread } from "../threads/worker-thread.ts";
import type { LedgerOptions, LedgerSteps } from "./database.ts";
import type { UsageStore } from "./store.ts";

// In the bundle the worker is a file beside the relay.
const WORKER = import.meta.url.endsWith(".ts")
  ? new URL("./worker.ts", import.meta.url)
  : new URL("./usage-worker.mjs", import.meta.url);

export interface OpenLedgerStore extends UsageStore {
  /** Where a damaged file was moved to. */
  readonly movedTo: string | undefined;
  close(): Promise<void>;
}

/**
 * Opens the file in its own thread. Rejects with a message for an operator if it cannot be used.
 * @param onFail called once if the thread ends unexpectedly; from then on every command rejects
 */
export async function openSqliteLedger(
  options: LedgerOptions,
  onFail: (cause: Error) => void = () => {},
): Promise<OpenLedgerStore> {
  const thread = new WorkerThread(WORKER, { name: "the ledger", data: options, onEnd: onFail });
  const send =
    <K extends keyof LedgerSteps>(method: K) =>
    async (...args: Parameters<LedgerSteps[K]>): Promise<ReturnType<LedgerSteps[K]>> =>
      (await thread.call(method, args)) as ReturnType<LedgerSteps[K]>;
  const movedTo = (await thread.opened) as string | undefined;
  return {
    movedTo,
    append: async (rows, reserved) => {
      await thread.call("appendJson", [JSON.stringify(rows), reserved]);
    },
    series: send("series"),
    totals: send("totals"),
    lengths: send("lengths"),
    meanEmbeddingMs: send("meanEmbeddingMs"),
    spent: send("spent"),
    sweep: send("sweep"),
    file: send("file"),
    close: () => thread.close(),
  };
}
