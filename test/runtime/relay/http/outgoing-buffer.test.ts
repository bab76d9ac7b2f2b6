import { expect, test } from "vitest";
import { LONGEST_KEPT, OutgoingBuffer } from "../../../../runtime/relay/http/outgoing-buffer.ts";
import { createMemoryBudget } from "../../../../runtime/relay/memory/budget.ts";

const MIB = 1024 * 1024;

/** A reader that accepts `room` pieces at a time. */
function startReader(room: number) {
  const got: Buffer[] = [];
  let left = room;
  let go: (() => void) | undefined;
  return {
    got,
    write(chunk: Buffer) {
      got.push(chunk);
      left -= 1;
      return left > 0;
    },
    onceDrained(next: () => void) {
      go = next;
    },
    read() {
      left = room;
      const next = go;
      go = undefined;
      next?.();
      return next !== undefined;
    },
  };
}

const pieceOf = (n: number, bytes = 1000) => Buffer.alloc(bytes, n);

test.each([1, 3, 1000])(
  "all pieces arrive in order, then the end, and the memory is released (room for %s)",
  (room) => {
    const memory = createMemoryBudget({ memoryMiB: 64 }, ["a"]);
    const reader = startReader(room);
    const outflow = new OutgoingBuffer(reader, memory.reserve("a", 0));
    for (let n = 0; n < 200; n += 1) {
      expect(outflow.write(pieceOf(n))).toBe(true);
      if (n % 7 === 0) reader.read();
    }
    if (room < 200) expect(memory.held).toBeGreaterThan(0);
    let ended = 0;
    outflow.finish(() => {
      ended = reader.got.length;
    });
    for (let more = true; more; ) more = reader.read();
    expect(ended).toBe(200);
    expect(reader.got.map(([first]) => first)).toEqual(Array.from({ length: 200 }, (_, n) => n));
    expect([memory.held, outflow.waits]).toEqual([0, false]);
  },
);

test.each([
  ["the longest that is kept of one answer", 1024, LONGEST_KEPT],
  ["its caller's memory", 64, 56 * MIB],
])("beyond %s the model server is told to wait, and to go on when half has been read", (_name, memoryMiB, most) => {
  const memory = createMemoryBudget({ memoryMiB }, ["a"]);
  const reader = startReader(1);
  const outflow = new OutgoingBuffer(reader, memory.reserve("a", 0));
  let kept = 0;
  while (outflow.write(pieceOf(1, MIB))) kept += 1;
  expect(kept).toBeLessThanOrEqual(most / MIB + 1);
  expect(kept).toBeGreaterThan(most / MIB - 2);
  expect(memory.held).toBeLessThanOrEqual(most);
  let went = false;
  outflow.onceRoom(() => {
    went = true;
  });
  let reads = 0;
  for (; !went && reads < 1000; reads += 1) reader.read();
  expect(reads).toBeGreaterThan(kept / 2 - 2);
  expect(reads).toBeLessThan(kept / 2 + 4);
  for (let more = true; more; ) more = reader.read();
  expect(memory.held).toBe(0);
  expect(reader.got).toHaveLength(kept + 1);
});

test("a reader of 8 MiB per second does not count as holding up the model server", () => {
  const reader = startReader(1);
  const outflow = new OutgoingBuffer(reader, undefined);
  while (outflow.write(pieceOf(1, MIB)));
  const from = performance.now();
  for (let n = 0; n < 24; n += 1) reader.read();
  // 24 MiB are 3 s of a fast reader's time.
  expect(outflow.pausedMs(from + 3000)).toBeLessThan(500);
  expect(outflow.pausedMs(from + 8000)).toBeGreaterThan(4000);
});
