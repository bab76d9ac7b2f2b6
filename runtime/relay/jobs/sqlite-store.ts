/** The job store's side in the main thread: asks the worker, and counts what its commits took. */
import { Worker } from "node:worker_threads";
import type { Ask, Batch } from "./batch.ts";
import type { DatabaseOptions, Steps } from "./database.ts";
import { type JobStore, type Recovered, StoreFailed } from "./store.ts";
import type { FromWorker } from "./worker.ts";

/** What is told of each group that was written. */
export type OnCommit = (batch: Pick<Batch, "commitMs" | "writes">) => void;

// Bundled, the worker stands beside the relay as one file.
const WORKER = import.meta.url.endsWith(".ts")
  ? new URL("./worker.ts", import.meta.url)
  : new URL("./jobs-worker.mjs", import.meta.url);

/**
 * Opens the file in a thread of its own. Rejects with StoreFailed, with a message for a person, when it can not be used.
 * @param onFail called once if the thread ends by itself; from then on every step rejects
 */
export async function openSqliteStore(
  options: Omit<DatabaseOptions, "now">,
  onCommit: OnCommit = () => {},
  onFail: (cause: Error) => void = () => {},
): Promise<JobStore> {
  const worker = new Worker(WORKER, { workerData: options, name: "jobs" });
  const asked = new Map<number, { resolve: (value: unknown) => void; reject: (cause: Error) => void }>();
  let last = 0;
  let ended: Error | undefined;
  const opened = Promise.withResolvers<Recovered>();
  const closed = Promise.withResolvers<void>();

  const end = (cause: Error) => {
    if (ended !== undefined) return;
    ended = cause;
    opened.reject(cause);
    closed.resolve();
    for (const { reject } of asked.values()) reject(cause);
    asked.clear();
  };
  const fail = (cause: Error) => {
    if (ended !== undefined) return;
    end(cause);
    onFail(cause);
  };
  worker.on("message", (message: FromWorker) => {
    if (message.kind === "open") opened.resolve(message.recovered);
    else if (message.kind === "refused") end(new StoreFailed(message.reason));
    else if (message.kind === "closed") end(new StoreFailed("the store is closed"));
    else {
      if (message.commitMs !== undefined) onCommit(message);
      for (const told of message.told) {
        const waiting = asked.get(told.id);
        asked.delete(told.id);
        if ("error" in told) waiting?.reject(new StoreFailed(told.error));
        else waiting?.resolve(told.value);
      }
    }
  });
  worker.on("error", (cause) => fail(new StoreFailed("the thread of the job store has failed", { cause })));
  worker.on("exit", () => fail(new StoreFailed("the thread of the job store has ended")));

  const ask =
    <K extends keyof Steps>(step: K) =>
    (...args: Parameters<Steps[K]>) =>
      new Promise<ReturnType<Steps[K]>>((resolve, reject) => {
        if (ended !== undefined) {
          reject(ended);
          return;
        }
        last += 1;
        asked.set(last, { resolve: resolve as (value: unknown) => void, reject });
        worker.postMessage({ id: last, step, args } satisfies Ask);
      });
  const recovered = await opened.promise;
  return {
    recovered,
    add: ask("add"),
    keep: ask("keep"),
    byKey: ask("byKey"),
    find: ask("find"),
    answer: ask("answer"),
    waiting: ask("waiting"),
    claim: ask("claim"),
    renew: ask("renew"),
    finish: ask("finish"),
    giveUp: ask("giveUp"),
    cancel: ask("cancel"),
    sweep: ask("sweep"),
    summary: ask("summary"),
    async close() {
      if (ended === undefined) worker.postMessage("close");
      await closed.promise;
    },
  };
}
