/**
 * Parses and builds what is long in a thread of its own, one piece of work at a time. Callers take turns, so that one who
 * sends many long bodies delays the long bodies of others by one of them. The thread is started when it is needed, and ends
 * after half a minute without work: it gives back what a long body took.
 */
import { StringDecoder } from "node:string_decoder";
import { Worker } from "node:worker_threads";
import { type ErrorCode, RelayError } from "../errors.ts";
import { nextTimeSlice } from "../http/time-slices.ts";
import { WORK, type Work } from "./body-tasks.ts";
import type { Chunk } from "./store.ts";

/** Bytes up to which work is done on the main thread, at once: some milliseconds of it. */
export const HERE_BYTES = 128 * 1024;
const IDLE_MS = 30_000;
/** Heap of the thread, in MiB; with more it ends, and the request with an error. */
const HEAP_MIB = 768;
/** Bytes of a hash (SHA-256 in base64url), and pieces that are unpacked in one turn. */
const HASH_BYTES = 43;
const UNPACKED_AT_ONCE = 2000;
const UNPACKED_BYTES = 512 * 1024;

/** Chunks, as they go from one thread to the other: their texts one after another, where each ends, their hashes. */
export interface Packed {
  readonly text: Uint8Array<ArrayBuffer>;
  readonly ends: Uint32Array<ArrayBuffer>;
  readonly hashes: Uint8Array<ArrayBuffer>;
}

export interface ToBodyWorker {
  readonly work: keyof Work;
  readonly args: readonly unknown[];
}

export type FromBodyWorker =
  | { readonly kind: "done"; readonly value: unknown }
  | { readonly kind: "refused"; readonly code: ErrorCode; readonly message: string }
  | { readonly kind: "failed"; readonly reason: string };

interface Task extends ToBodyWorker {
  readonly resolve: (value: unknown) => void;
  readonly reject: (cause: Error) => void;
}

// Bundled, the worker stands beside the relay as one file.
const WORKER = import.meta.url.endsWith(".ts")
  ? new URL("./body-worker-thread.ts", import.meta.url)
  : new URL("./heavy-worker.mjs", import.meta.url);

export class BodyWorker {
  /** Those who wait, by caller; whoever was served goes to the end. */
  readonly #waiting = new Map<string, Task[]>();
  #worker: Worker | undefined;
  #running: Task | undefined;
  #idle: NodeJS.Timeout | undefined;
  #closed = false;
  readonly #program: URL;

  /** @param program of the thread; another one for tests */
  constructor(program: URL = WORKER) {
    this.#program = program;
  }

  /**
   * Does a piece of work: here if its input has at most `HERE_BYTES` (`bytes`), else in the thread, which takes over the
   * memory of the buffers in `args`. Rejects as the work throws, and with `internal` when the thread ends.
   */
  async run<K extends keyof Work>(caller: string, bytes: number, work: K, ...args: Parameters<Work[K]>) {
    type Value = ReturnType<Work[K]>;
    if (bytes <= HERE_BYTES) return (WORK[work] as (...args: readonly unknown[]) => unknown)(...args) as Value;
    const value = await new Promise<unknown>((resolve, reject) => {
      if (this.#closed) {
        reject(new RelayError("shutting_down", "The relay is shutting down."));
        return;
      }
      const tasks = this.#waiting.get(caller) ?? [];
      tasks.push({ work, args, resolve, reject });
      this.#waiting.set(caller, tasks);
      this.#next();
    });
    return (work === "put" ? await unpacked(value as { packed: Packed }) : value) as Value;
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#idle);
    const worker = this.#worker;
    this.#fail("the relay is shutting down");
    await worker?.terminate();
  }

  #next(): void {
    if (this.#running !== undefined) return;
    const first = this.#waiting.entries().next();
    if (first.done === true) {
      this.#idle ??= setTimeout(() => void this.#rest(), IDLE_MS).unref();
      return;
    }
    const [caller, tasks] = first.value;
    const task = tasks.shift()!;
    this.#waiting.delete(caller);
    if (tasks.length > 0) this.#waiting.set(caller, tasks);
    clearTimeout(this.#idle);
    this.#idle = undefined;
    this.#running = task;
    this.#worker ??= this.#start();
    const { args, buffers } = handedOver(task.args);
    this.#worker.postMessage({ work: task.work, args } satisfies ToBodyWorker, buffers);
  }

  #start(): Worker {
    const worker = new Worker(this.#program, { name: "bodies", resourceLimits: { maxOldGenerationSizeMb: HEAP_MIB } });
    worker.unref();
    worker.on("message", (message: FromBodyWorker) => {
      const task = this.#running;
      this.#running = undefined;
      if (message.kind === "done") task?.resolve(message.value);
      else if (message.kind === "refused") task?.reject(new RelayError(message.code, message.message));
      else task?.reject(failed(message.reason));
      this.#next();
    });
    const ended = (reason: string) => {
      if (this.#worker === worker) this.#fail(reason);
    };
    worker.on("error", (cause) => ended(cause.message));
    worker.on("exit", () => ended("the thread has ended"));
    return worker;
  }

  /** The thread is gone: with it what it did. What waits goes to a new one, unless the relay stops. */
  #fail(reason: string): void {
    this.#worker = undefined;
    const lost = this.#closed ? [...this.#waiting.values()].flat() : [];
    if (this.#closed) this.#waiting.clear();
    if (this.#running !== undefined) lost.push(this.#running);
    this.#running = undefined;
    for (const task of lost) task.reject(failed(reason));
    if (!this.#closed && this.#waiting.size > 0) this.#next();
  }

  async #rest(): Promise<void> {
    this.#idle = undefined;
    const worker = this.#worker;
    if (this.#running !== undefined) return;
    this.#worker = undefined;
    await worker?.terminate();
  }
}

const failed = (reason: string): RelayError =>
  new RelayError("internal", "The relay failed on this body.", { detail: reason, cause: new Error(reason) });

/** Buffers with memory of their own are moved to the thread, others copied. */
function handedOver(given: readonly unknown[]): { args: unknown[]; buffers: ArrayBuffer[] } {
  const buffers: ArrayBuffer[] = [];
  const args = given.map((arg) => {
    if (!(arg instanceof Uint8Array)) return arg;
    const own = arg.buffer instanceof ArrayBuffer && arg.byteLength === arg.buffer.byteLength;
    const bytes = own ? new Uint8Array(arg.buffer) : new Uint8Array(arg);
    buffers.push(bytes.buffer as ArrayBuffer);
    return bytes;
  });
  return { args, buffers };
}

async function unpacked({ packed, ...rest }: { packed: Packed }): Promise<object> {
  const text = Buffer.from(packed.text.buffer);
  const hashes = Buffer.from(packed.hashes.buffer);
  const pieces: Chunk[] = [];
  let [start, bytes] = [0, 0];
  for (const [i, end] of packed.ends.entries()) {
    const hash = hashes.toString("latin1", i * HASH_BYTES, (i + 1) * HASH_BYTES);
    const piece = decoded(text.subarray(start, end));
    pieces.push({ hash, text: typeof piece === "string" ? piece : await piece });
    bytes += end - start;
    start = end;
    if (pieces.length % UNPACKED_AT_ONCE === 0 || bytes > UNPACKED_BYTES) {
      bytes = 0;
      await nextTimeSlice();
    }
  }
  return { ...rest, pieces };
}

/** Well-formed UTF-8 as text, decoded in slices. */
function decoded(bytes: Buffer): string | Promise<string> {
  return bytes.length <= UNPACKED_BYTES ? bytes.toString("utf8") : decodedInSlices(bytes);
}

async function decodedInSlices(bytes: Buffer): Promise<string> {
  const decoder = new StringDecoder("utf8");
  let text = "";
  for (let at = 0; at < bytes.length; at += UNPACKED_BYTES) {
    await nextTimeSlice();
    text += decoder.write(bytes.subarray(at, at + UNPACKED_BYTES));
  }
  return text + decoder.end();
}
