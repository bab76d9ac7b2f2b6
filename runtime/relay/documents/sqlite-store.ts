/** The SQLite store's side in the main thread: asks the thread that has the file. */
import { Worker } from "node:worker_threads";
import { isOverdue } from "./sqlite-file.ts";
import type { DocumentStore, StoreBounds } from "./store.ts";
import type { Ask, FromWorker, OpenAsk } from "./worker.ts";

// Bundled, the worker stands beside the relay as one file.
const WORKER = import.meta.url.endsWith(".ts")
  ? new URL("./worker.ts", import.meta.url)
  : new URL("./documents-worker.mjs", import.meta.url);

type Answer<K extends keyof DocumentStore> = Awaited<ReturnType<DocumentStore[K]>>;

/**
 * Opens the file, in a thread of its own; see `openSqliteFile`. The thread takes 15 MB, so it is started when the first
 * document is asked for: until then the file has only been looked into, which rejects when it can not be opened. A thread
 * that ended by itself is started anew by `ping`.
 */
export async function openSqliteStore(file: string, bounds?: StoreBounds): Promise<DocumentStore> {
  await isOverdue(file, 0);
  let thread: Promise<Thread> | undefined;
  let closed = false;
  const ask =
    <K extends keyof DocumentStore>(method: K) =>
    async (...args: Parameters<DocumentStore[K]>): Promise<Answer<K>> => {
      if (closed) throw new Error("the document store is closed");
      thread ??= startThread({ file, bounds });
      return (await thread).ask(method, args);
    };
  const sweep = ask("sweep");
  return {
    async ping() {
      if (thread === undefined || closed) return;
      const ended = await thread.then(
        (running) => running.ended,
        () => true,
      );
      if (ended) thread = startThread({ file, bounds });
      await ask("ping")();
    },
    meta: ask("meta"),
    content: ask("content"),
    declareWrite: ask("declareWrite"),
    hasRoom: ask("hasRoom"),
    put: ask("put"),
    withdrawWrite: ask("withdrawWrite"),
    setVersion: ask("setVersion"),
    touch: ask("touch"),
    remove: ask("remove"),
    removeCompany: ask("removeCompany"),
    list: ask("list"),
    lease: ask("lease"),
    releaseLease: ask("releaseLease"),
    spent: ask("spent"),
    spend: ask("spend"),
    async sweep(livingSince) {
      if (thread !== undefined || (await isOverdue(file, livingSince))) await sweep(livingSince);
    },
    async close() {
      closed = true;
      const running = await thread?.catch(() => undefined);
      if (running?.ended === false) await running.ask("close", []);
    },
  };
}

interface Thread {
  readonly ended: boolean;
  ask<K extends keyof DocumentStore>(method: K, args: Parameters<DocumentStore[K]>): Promise<Answer<K>>;
}

/** Rejects when the file can not be opened; then the thread ends. */
async function startThread(workerData: OpenAsk): Promise<Thread> {
  const worker = new Worker(WORKER, { workerData, name: "documents" });
  const asked = new Map<number, { resolve: (value: unknown) => void; reject: (cause: Error) => void }>();
  const opened = Promise.withResolvers<void>();
  let last = 0;
  let ended: Error | undefined;
  const end = (cause: Error) => {
    ended ??= cause;
    opened.reject(cause);
    for (const { reject } of asked.values()) reject(cause);
    asked.clear();
  };
  worker.on("message", (message: FromWorker) => {
    if (message.kind === "open") opened.resolve();
    else if (message.kind === "refused") {
      end(new Error(message.reason));
      void worker.terminate();
    } else {
      const waiting = asked.get(message.id);
      asked.delete(message.id);
      if (message.kind === "done") waiting?.resolve(message.value);
      else waiting?.reject(new Error(message.reason));
    }
  });
  worker.on("error", (cause) => end(new Error("the thread of the document store has failed", { cause })));
  worker.on("exit", () => end(new Error("the document store is closed")));
  await opened.promise;
  return {
    get ended() {
      return ended !== undefined;
    },
    ask: <K extends keyof DocumentStore>(method: K, args: Parameters<DocumentStore[K]>) =>
      new Promise<Answer<K>>((resolve, reject) => {
        if (ended !== undefined) {
          reject(ended);
          return;
        }
        last += 1;
        asked.set(last, { resolve: resolve as (value: unknown) => void, reject });
        worker.postMessage({ id: last, method, args } satisfies Ask);
      }),
  };
}
