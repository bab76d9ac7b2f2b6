/** The main thread's side of a worker thread: sends commands, settles their promises. */
import { Worker } from "node:worker_threads";
import type { Batch, Command, FromThread, ThreadError } from "./protocol.ts";

export interface WorkerThreadOptions {
  /** Named in errors: "the thread of <name> has ended". */
  readonly name: string;
  readonly data?: unknown;
  /** Heap limit of the thread in MiB; exceeding it ends the thread. */
  readonly heapMiB?: number;
  /** Makes the error a failed command rejects with. @default Error */
  readonly errorOf?: (error: ThreadError) => Error;
  /** Called for each group of results. */
  readonly onBatch?: (batch: Batch) => void;
  /** Called once if the thread ends unexpectedly, after every pending command has been rejected. */
  readonly onEnd?: (cause: Error) => void;
}

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (cause: Error) => void;
}

/** A thread, started by the constructor. Keeps the process alive unless `unref` is called. */
export class WorkerThread {
  /** Resolves with the service's `info` once it is open. Rejects when the service cannot start or the thread ends. */
  readonly opened: Promise<unknown>;
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  readonly #errorOf: (error: ThreadError) => Error;
  readonly #closed = Promise.withResolvers<void>();
  #lastId = 0;
  #ended: Error | undefined;

  constructor(program: URL, { name, data, heapMiB, errorOf, onBatch, onEnd }: WorkerThreadOptions) {
    this.#errorOf = errorOf ?? (({ message }) => new Error(message));
    this.#worker = new Worker(program, {
      name,
      workerData: data,
      ...(heapMiB !== undefined && { resourceLimits: { maxOldGenerationSizeMb: heapMiB } }),
    });
    const opened = Promise.withResolvers<unknown>();
    this.opened = opened.promise;
    opened.promise.catch(() => {}); // it may not be awaited
    const end = (cause: Error): boolean => {
      if (this.#ended !== undefined) return false;
      this.#ended = cause;
      opened.reject(cause);
      this.#closed.resolve();
      for (const { reject } of this.#pending.values()) reject(cause);
      this.#pending.clear();
      return true;
    };
    const fail = (cause: Error) => {
      if (end(cause)) onEnd?.(cause);
    };
    this.#worker.on("message", (message: FromThread) => {
      if (message.kind === "open") opened.resolve(message.info);
      else if (message.kind === "refused") {
        end(this.#errorOf({ message: message.reason }));
        void this.#worker.terminate();
      } else if (message.kind === "closed") end(this.#errorOf({ message: `${name} is closed` }));
      else {
        onBatch?.(message);
        for (const result of message.results) this.#settle(result);
      }
    });
    const failed = (what: string, cause?: unknown) =>
      Object.assign(this.#errorOf({ message: `the thread of ${name} ${what}` }), { cause });
    this.#worker.on("error", (cause) => fail(failed("has failed", cause)));
    this.#worker.on("exit", () => fail(failed("has ended")));
  }

  /** Why it no longer accepts commands; undefined while it does. */
  get ended(): Error | undefined {
    return this.#ended;
  }

  /** Calls a method of the service. `transfer`: buffers that move to the thread. Rejects with `errorOf`'s error. */
  call(method: string, args: readonly unknown[], transfer: readonly ArrayBuffer[] = []): Promise<unknown> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    this.#lastId += 1;
    const id = this.#lastId;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#worker.postMessage({ id, method, args } satisfies Command, transfer);
    });
  }

  /** Closes the service after pending commands, and ends the thread. */
  async close(): Promise<void> {
    if (this.#ended === undefined) this.#worker.postMessage("close");
    await this.#closed.promise;
  }

  /** Ends the thread at once; pending commands reject. */
  async terminate(): Promise<void> {
    await this.#worker.terminate();
  }

  /** The thread no longer keeps the process alive. */
  unref(): void {
    this.#worker.unref();
  }

  #settle(result: Batch["results"][number]): void {
    const pending = this.#pending.get(result.id);
    this.#pending.delete(result.id);
    if ("error" in result) pending?.reject(this.#errorOf(result.error));
    else pending?.resolve(result.value);
  }
}
