/** The thread for work on long bodies; see `heavy.ts`. */
import { type MessagePort, parentPort } from "node:worker_threads";
import { RelayError } from "../errors.ts";
import { WORK } from "./body-tasks.ts";
import type { FromBodyWorker, Packed, ToBodyWorker } from "./body-worker.ts";
import type { Chunk } from "./store.ts";

/** Many small objects take long to copy between threads; three buffers are handed over. */
function pack(chunks: readonly Chunk[]): Packed {
  const bytes = chunks.map(({ text }) => Buffer.from(text));
  const hashes = chunks.map(({ hash }) => hash).join("");
  const ends = new Uint32Array(chunks.length);
  let end = 0;
  for (const [i, { length }] of bytes.entries()) {
    end += length;
    ends[i] = end;
  }
  return { text: new Uint8Array(Buffer.concat(bytes, end)), hashes: new Uint8Array(Buffer.from(hashes)), ends };
}

function done({ work, args }: ToBodyWorker): { value: unknown; buffers: ArrayBufferLike[] } {
  // The types hold where the work is asked for; here any of it may come.
  const value = (WORK[work] as (...args: readonly unknown[]) => unknown)(...args);
  if (work === "put") {
    const { pieces, ...rest } = value as ReturnType<(typeof WORK)["put"]>;
    const packed = pack(pieces);
    return { value: { ...rest, packed }, buffers: [packed.text.buffer, packed.hashes.buffer, packed.ends.buffer] };
  }
  if (work === "vectors" && value !== undefined) {
    return { value, buffers: [(value as { vectors: Float32Array }).vectors.buffer] };
  }
  if (work === "request") {
    const bytes = new Uint8Array(value as Uint8Array); // a buffer of its own
    return { value: bytes, buffers: [bytes.buffer] };
  }
  return { value, buffers: [] };
}

function serve(port: MessagePort): void {
  port.on("message", (message: ToBodyWorker) => {
    try {
      const { value, buffers } = done(message);
      port.postMessage({ kind: "done", value } satisfies FromBodyWorker, buffers as ArrayBuffer[]);
    } catch (cause) {
      const failed: FromBodyWorker =
        cause instanceof RelayError
          ? { kind: "refused", code: cause.code, message: cause.message }
          : { kind: "failed", reason: cause instanceof Error ? cause.message : String(cause) };
      port.postMessage(failed);
    }
  });
}

if (parentPort) serve(parentPort);
