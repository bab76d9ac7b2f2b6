/** What a relay holds that has `heap.mjs` loaded: memory that is not garbage. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";

/** Loaded with `node --import`; its environment needs the heap file as PROVE_HEAP. */
export const HEAP_MODULE = join(import.meta.dirname, "heap.mjs");

let collections = 0;

/** Has the relay collect all garbage. @returns what its main thread then holds, in MiB; undefined when it has not by 5 s */
export async function heldMiB(heapFile: string): Promise<number | undefined> {
  collections += 1;
  const asked = String(collections);
  writeFileSync(heapFile, asked);
  for (const end = performance.now() + 5000; performance.now() < end; await wait(50)) {
    try {
      const held = JSON.parse(readFileSync(`${heapFile}.held`, "utf8")) as Record<string, unknown>;
      if (held.asked === asked) return (Number(held.heapUsed) + Number(held.external)) / 2 ** 20;
    } catch {
      // Not written yet.
    }
  }
  return undefined;
}
