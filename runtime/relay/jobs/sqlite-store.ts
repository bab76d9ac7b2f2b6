/** The job store's side in the main thread: sends commands to the thread that owns the file. */
import { WorkerThread } from "../threads/worker-thread.ts";
import type { DatabaseOptions, Steps } from "./database.ts";
import { type JobStore, type Recovered, StoreFailed } from "./store.ts";
import { bytesIn, TransferLimit } from "./transfer.ts";

/** Called for each committed group of commands. */
export type OnCommit = (batch: { readonly commitMs: number; readonly writes: number }) => void;

// In the bundle the worker is a file beside the relay.
const WORKER = import.meta.url.endsWith(".ts")
  ? new URL("./worker.ts", import.meta.url)
  : new URL("./jobs-worker.mjs", import.meta.url);

/**
 * Opens the file in its own thread. Rejects with StoreFailed, with a message for an operator, if it cannot be used.
 * @param onFail called once if the thread ends unexpectedly; from then on every command rejects
 */
export async function openSqliteStore(
  options: Omit<DatabaseOptions, "now" | "monotonicNow">,
  onCommit: OnCommit = () => {},
  onFail: (cause: Error) => void = () => {},
): Promise<JobStore> {
  const thread = new WorkerThread(WORKER, {
    name: "the job store",
    data: options,
    errorOf: ({ message, full }) => new StoreFailed(message, { full }),
    onBatch: ({ commitMs, writes = 0 }) => {
      if (commitMs !== undefined) onCommit({ commitMs, writes });
    },
    onEnd: onFail,
  });
  const transfers = new TransferLimit();
  const send =
    <K extends keyof Steps>(method: K) =>
    async (...args: Parameters<Steps[K]>): Promise<ReturnType<Steps[K]>> => {
      const bytes = bytesIn(args);
      if (bytes === 0) return (await thread.call(method, args)) as ReturnType<Steps[K]>;
      await transfers.enter(bytes);
      try {
        return (await thread.call(method, args)) as ReturnType<Steps[K]>;
      } finally {
        transfers.leave(bytes);
      }
    };
  const recovered = (await thread.opened) as Recovered;
  return {
    recovered,
    setCallers: send("setCallers"),
    setLimits: send("setLimits"),
    add: send("add"),
    keepAnswer: send("keepAnswer"),
    claimKey: send("claimKey"),
    releaseKey: send("releaseKey"),
    find: send("find"),
    list: send("list"),
    latest: send("latest"),
    findAny: send("findAny"),
    answer: send("answer"),
    answerHead: send("answerHead"),
    answerPiece: send("answerPiece"),
    waiting: send("waiting"),
    claim: send("claim"),
    renew: send("renew"),
    finish: send("finish"),
    failForRoom: send("failForRoom"),
    failAttempt: send("failAttempt"),
    cancel: send("cancel"),
    remove: send("remove"),
    sweep: send("sweep"),
    summary: send("summary"),
    close: () => thread.close(),
  };
}
