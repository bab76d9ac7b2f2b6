/** The job store's side in the main thread: commands the worker, and counts what its commits took. */
import { Worker } from "node:worker_threads";
import type { Batch, Command } from "./batch.ts";
import type { DatabaseOptions, Steps } from "./database.ts";
import { type JobStore, type Recovered, StoreFailed } from "./store.ts";
import { bytesIn, type FromWorker } from "./worker.ts";

/** What is results of each group that was written. */
export type OnCommit = (batch: Pick<Batch, "commitMs" | "writes">) => void;

// Bundled, the worker stands beside the relay as one file.
const WORKER = import.meta.url.endsWith(".ts")
  ? new URL("./worker.ts", import.meta.url)
  : new URL("./jobs-worker.mjs", import.meta.url);

/** Bodies and answers on their way to the thread are copies, so only so many bytes of them are under way at once. */
const UNDER_WAY_BYTES = 32 * 1024 * 1024;

/** Lets steps with few bytes pass at once, others in their order as long as there is room. */
class TransferLimit {
  #bytes = 0;
  readonly #waiting: { readonly bytes: number; readonly go: () => void }[] = [];

  /** Calls `go` when that many bytes may go, now or later. One step may always go. */
  enter(bytes: number, go: () => void): void {
    if (bytes === 0) {
      go();
      return;
    }
    this.#waiting.push({ bytes, go });
    this.#next();
  }

  leave(bytes: number): void {
    if (bytes === 0) return;
    this.#bytes -= bytes;
    this.#next();
  }

  #next(): void {
    for (;;) {
      const [first] = this.#waiting;
      if (first === undefined || (this.#bytes > 0 && this.#bytes + first.bytes > UNDER_WAY_BYTES)) return;
      this.#waiting.shift();
      this.#bytes += first.bytes;
      first.go();
    }
  }
}

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
  const transfers = new TransferLimit();
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
      for (const results of message.results) {
        const waiting = asked.get(results.id);
        asked.delete(results.id);
        if ("error" in results) waiting?.reject(new StoreFailed(results.error, { full: results.full }));
        else waiting?.resolve(results.value);
      }
    }
  });
  worker.on("error", (cause) => fail(new StoreFailed("the thread of the job store has failed", { cause })));
  worker.on("exit", () => fail(new StoreFailed("the thread of the job store has ended")));

  const ask =
    <K extends keyof Steps>(step: K) =>
    (...args: Parameters<Steps[K]>) =>
      new Promise<ReturnType<Steps[K]>>((resolve, reject) => {
        const bytes = bytesIn(args);
        transfers.enter(bytes, () => {
          if (ended !== undefined) {
            transfers.leave(bytes);
            reject(ended);
            return;
          }
          last += 1;
          asked.set(last, {
            resolve: (value) => {
              transfers.leave(bytes);
              (resolve as (value: unknown) => void)(value);
            },
            reject: (cause) => {
              transfers.leave(bytes);
              reject(cause);
            },
          });
          worker.postMessage({ id: last, step, args } satisfies Command);
        });
      });
  const recovered = await opened.promise;
  return {
    recovered,
    setCallers: ask("setCallers"),
    add: ask("add"),
    keepAnswer: ask("keepAnswer"),
    byKey: ask("byKey"),
    find: ask("find"),
    answer: ask("answer"),
    answerHead: ask("answerHead"),
    answerPiece: ask("answerPiece"),
    waiting: ask("waiting"),
    claim: ask("claim"),
    renew: ask("renew"),
    finish: ask("finish"),
    failForRoom: ask("failForRoom"),
    failAttempt: ask("failAttempt"),
    cancel: ask("cancel"),
    sweep: ask("sweep"),
    summary: ask("summary"),
    async close() {
      if (ended === undefined) worker.postMessage("close");
      await closed.promise;
    },
  };
}
