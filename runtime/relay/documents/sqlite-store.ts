/** The SQLite store's side in the main thread: sends commands to the thread that owns the file. */
import { WorkerThread } from "../threads/worker-thread.ts";
import { countBriefly, isOverdue } from "./sqlite-file.ts";
import type { DocumentStore, StoreBounds } from "./store.ts";
import type { WorkerOptions } from "./worker.ts";

// In the bundle the worker is a file beside the relay.
const WORKER = import.meta.url.endsWith(".ts")
  ? new URL("./worker.ts", import.meta.url)
  : new URL("./documents-worker.mjs", import.meta.url);

type Value<K extends keyof DocumentStore> = Awaited<ReturnType<DocumentStore[K]>>;

/**
 * Opens the file in its own thread; see `openSqliteFile`. The thread takes 15 MB, so it is started with the first document
 * request; until then the file is only checked, and this rejects if it cannot be opened. `ping` restarts a thread that has
 * ended.
 */
export async function openSqliteStore(file: string, bounds?: StoreBounds): Promise<DocumentStore> {
  await isOverdue(file, 0);
  let thread: WorkerThread | undefined;
  let closed = false;
  const start = () =>
    new WorkerThread(WORKER, { name: "the document store", data: { file, bounds } satisfies WorkerOptions });
  const send =
    <K extends keyof DocumentStore>(method: K) =>
    async (...args: Parameters<DocumentStore[K]>): Promise<Value<K>> => {
      if (closed) throw new Error("the document store is closed");
      thread ??= start();
      await thread.opened;
      return (await thread.call(method, args)) as Value<K>;
    };
  const sweep = send("sweep");
  const count = send("count");
  return {
    async ping() {
      if (thread === undefined || closed) return;
      if (thread.ended !== undefined) thread = start();
      await send("ping")();
    },
    meta: send("meta"),
    content: send("content"),
    declareWrite: send("declareWrite"),
    hasRoom: send("hasRoom"),
    put: send("put"),
    withdrawWrite: send("withdrawWrite"),
    setVersion: send("setVersion"),
    touch: send("touch"),
    remove: send("remove"),
    removeCompany: send("removeCompany"),
    list: send("list"),
    count: (livingSince) => (thread === undefined ? countBriefly(file, livingSince) : count(livingSince)),
    lease: send("lease"),
    releaseLease: send("releaseLease"),
    async sweep(livingSince) {
      return thread !== undefined || (await isOverdue(file, livingSince)) ? sweep(livingSince) : false;
    },
    async close() {
      closed = true;
      await thread?.opened.catch(() => {});
      await thread?.close();
    },
  };
}
