/** The thread for tasks on long bodies; see `body-worker.ts`. */
import { runEach, serveThread } from "../threads/serve.ts";
import { TASKS, type Tasks } from "./body-tasks.ts";
import type { Packed } from "./body-worker.ts";
import type { Chunk } from "./store.ts";

/** Copying many small objects between threads is slow, so they are transferred as three buffers. */
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

const methods = {
  ...TASKS,
  put(...args: Parameters<Tasks["put"]>) {
    const { pieces, ...rest } = TASKS.put(...args);
    return { ...rest, packed: pack(pieces) };
  },
  /** In a buffer of its own, which can be transferred. */
  request: (...args: Parameters<Tasks["request"]>) => new Uint8Array(TASKS.request(...args)),
};

void serveThread(() => ({ run: runEach(methods) }));
