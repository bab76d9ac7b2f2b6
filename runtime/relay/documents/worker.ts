/** The thread that has the documents' file: to write 12 MB takes tens of milliseconds, which must not hold up the streams. */
import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import { compactHeap } from "../heap.ts";
import { openSqliteFile } from "./sqlite-file.ts";
import type { DocumentStore, StoreBounds } from "./store.ts";

/** What the thread is started with. */
export interface OpenAsk {
  readonly file: string;
  readonly bounds: StoreBounds | undefined;
}

/** To the thread: one method of the store. */
export interface Ask {
  readonly id: number;
  readonly method: keyof DocumentStore;
  readonly args: readonly unknown[];
}

/** From the thread: the file is open, can not be opened, or what a method gave or failed with. */
export type FromWorker =
  | { readonly kind: "open" }
  | { readonly kind: "refused"; readonly reason: string }
  | { readonly kind: "done"; readonly id: number; readonly value: unknown }
  | { readonly kind: "failed"; readonly id: number; readonly reason: string };

const reasonOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause));

function serve(port: MessagePort, store: DocumentStore): void {
  const tell = (message: FromWorker, transfer: ArrayBuffer[] = []) => port.postMessage(message, transfer);
  port.on("message", ({ id, method, args }: Ask) => {
    // Both sides have the types of `DocumentStore`; between them goes only data.
    const run = store[method] as (...args: readonly unknown[]) => Promise<unknown>;
    void run(...args)
      .then(
        (value) => tell({ kind: "done", id, value }, buffersOf(value)),
        (cause: unknown) => tell({ kind: "failed", id, reason: reasonOf(cause) }),
      )
      .finally(() => {
        if (method === "close") port.close();
      });
  });
}

/** The vectors of a document's contents: handed over, not copied. */
function buffersOf(value: unknown): ArrayBuffer[] {
  const has = typeof value === "object" && value !== null && "vectors" in value && value.vectors;
  return has instanceof Float32Array && has.buffer instanceof ArrayBuffer ? [has.buffer] : [];
}

if (parentPort) {
  const port = parentPort;
  const { file, bounds } = workerData as OpenAsk;
  openSqliteFile(file, bounds).then(
    (store) => {
      serve(port, store);
      port.postMessage({ kind: "open" } satisfies FromWorker);
      compactHeap();
    },
    (cause: unknown) => port.postMessage({ kind: "refused", reason: reasonOf(cause) } satisfies FromWorker),
  );
}
