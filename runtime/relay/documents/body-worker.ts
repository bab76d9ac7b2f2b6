/**
 * Parses and builds long bodies in its own thread, one task at a time. Callers take turns, so a caller with many long bodies
 * delays another's by one task at most. The thread is started on demand and ends after 30 s without work, which frees the
 * memory of a long body.
 */
import { StringDecoder } from "node:string_decoder";
import { ERRORS, type ErrorCode, RelayError } from "../errors.ts";
import { nextTimeSlice } from "../http/time-slices.ts";
import type { ThreadError } from "../threads/protocol.ts";
import { WorkerThread } from "../threads/worker-thread.ts";
import { TASKS, type Tasks } from "./body-tasks.ts";
import type { Chunk } from "./store.ts";

/** Longest body that is handled on the main thread; that takes some milliseconds. */
export const HERE_BYTES = 128 * 1024;
const IDLE_MS = 30_000;
/** Heap of the thread; a task that needs more fails and ends the thread. */
const HEAP_MIB = 768;
/** Bytes of a hash (SHA-256 in base64url), and chunks unpacked per turn of the event loop. */
const HASH_BYTES = 43;
const UNPACKED_AT_ONCE = 2000;
const UNPACKED_BYTES = 512 * 1024;

/** Chunks in transferable form: the concatenated texts, the end of each, and their hashes. */
export interface Packed {
  readonly text: Uint8Array<ArrayBuffer>;
  readonly ends: Uint32Array<ArrayBuffer>;
  readonly hashes: Uint8Array<ArrayBuffer>;
}

interface Task {
  readonly name: keyof Tasks;
  readonly args: readonly unknown[];
  readonly resolve: (value: unknown) => void;
  readonly reject: (cause: unknown) => void;
}

// In the bundle the worker is a file beside the relay.
const WORKER = import.meta.url.endsWith(".ts")
  ? new URL("./body-worker-thread.ts", import.meta.url)
  : new URL("./heavy-worker.mjs", import.meta.url);

export class BodyWorker {
  /** Waiting tasks by caller. A caller that was served moves to the end. */
  readonly #waiting = new Map<string, Task[]>();
  #thread: WorkerThread | undefined;
  #busy = false;
  #idle: NodeJS.Timeout | undefined;
  #closed = false;
  readonly #program: URL;

  /** @param program of the thread; replaced in tests */
  constructor(program: URL = WORKER) {
    this.#program = program;
  }

  /**
   * Runs a task: here if its input has at most `HERE_BYTES` (`bytes`), else in the thread, to which the buffers in `args` are
   * transferred. Rejects with the task's error, and with `internal` if the thread ends.
   */
  async run<K extends keyof Tasks>(caller: string, bytes: number, name: K, ...args: Parameters<Tasks[K]>) {
    type Value = ReturnType<Tasks[K]>;
    if (bytes <= HERE_BYTES) return (TASKS[name] as (...args: readonly unknown[]) => unknown)(...args) as Value;
    if (this.#closed) throw new RelayError("shutting_down", "The relay is shutting down.");
    const value = await new Promise<unknown>((resolve, reject) => {
      const tasks = this.#waiting.get(caller) ?? [];
      tasks.push({ name, args, resolve, reject });
      this.#waiting.set(caller, tasks);
      this.#next();
    });
    return (name === "put" ? await unpacked(value as { packed: Packed }) : value) as Value;
  }

  /** Ends the thread; waiting and running tasks reject. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#idle);
    for (const task of [...this.#waiting.values()].flat()) task.reject(failed("the relay is shutting down"));
    this.#waiting.clear();
    await this.#thread?.terminate();
  }

  #next(): void {
    if (this.#busy) return;
    const task = this.#take();
    if (task === undefined) {
      if (this.#thread !== undefined) this.#idle ??= setTimeout(() => this.#rest(), IDLE_MS).unref();
      return;
    }
    clearTimeout(this.#idle);
    this.#idle = undefined;
    this.#busy = true;
    if (this.#thread?.ended !== undefined) this.#thread = undefined;
    this.#thread ??= this.#start();
    const { args, buffers } = withTransfers(task.args);
    this.#thread
      .call(task.name, args, buffers)
      .then(task.resolve, task.reject)
      .finally(() => {
        this.#busy = false;
        if (!this.#closed) this.#next();
      });
  }

  /** The next task of the caller that was served longest ago. */
  #take(): Task | undefined {
    const first = this.#waiting.entries().next();
    if (first.done === true) return undefined;
    const [caller, tasks] = first.value;
    const task = tasks.shift();
    this.#waiting.delete(caller);
    if (tasks.length > 0) this.#waiting.set(caller, tasks);
    return task;
  }

  #start(): WorkerThread {
    const thread = new WorkerThread(this.#program, { name: "long bodies", heapMiB: HEAP_MIB, errorOf: relayErrorOf });
    thread.unref();
    return thread;
  }

  #rest(): void {
    this.#idle = undefined;
    if (this.#busy) return;
    const thread = this.#thread;
    this.#thread = undefined;
    void thread?.terminate();
  }
}

/** The task's own error, or `internal` with the reason in the log. */
function relayErrorOf({ message, code }: ThreadError): RelayError {
  return code !== undefined && Object.hasOwn(ERRORS, code)
    ? new RelayError(code as ErrorCode, message)
    : failed(message);
}

const failed = (reason: string): RelayError =>
  new RelayError("internal", "The relay failed on this body.", { detail: reason, cause: new Error(reason) });

/** Transfers buffers that own their memory; others are copied. */
function withTransfers(given: readonly unknown[]): { args: unknown[]; buffers: ArrayBuffer[] } {
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
