import { randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import { ChunkCollector } from "../../../../runtime/relay/memory/chunk-collector.ts";

const BLOCK = 64 * 1024;

describe("collected chunks", () => {
  test.each([
    ["a length that is announced", true],
    ["none", false],
  ])("are the bytes that came, with %s", (_name, announced) => {
    for (const size of [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 17]) {
      for (const piece of [1000, BLOCK, size || 1]) {
        const bytes = randomBytes(size);
        const gatherer = new ChunkCollector(announced ? size : undefined);
        for (let at = 0; at < size; at += piece) gatherer.push(bytes.subarray(at, at + piece));
        expect(gatherer.size).toBe(size);
        expect(gatherer.end().equals(bytes)).toBe(true);
      }
    }
  });

  test("are copied, so that many small ones take no more memory than reserved", () => {
    const gatherer = new ChunkCollector();
    const piece = Buffer.from([7]);
    for (let n = 0; n < 2 * BLOCK; n += 1) gatherer.push(piece);
    piece[0] = 9; // a piece that was kept would change
    expect(gatherer.end().every((byte) => byte === 7)).toBe(true);
    expect(ChunkCollector.bytesFor(2 * BLOCK, undefined)).toBe(4 * BLOCK);
    expect(ChunkCollector.bytesFor(1, 5)).toBe(5);
  });

  test("beyond a declared length are kept as well", () => {
    const gatherer = new ChunkCollector(3);
    gatherer.push(Buffer.from("ab"));
    gatherer.push(Buffer.from("cdef"));
    expect(gatherer.end().toString()).toBe("abcdef");
  });
});
