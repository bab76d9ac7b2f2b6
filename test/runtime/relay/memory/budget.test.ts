import { expect, test } from "vitest";
import { limitsSchema } from "../../../../runtime/limits-config.ts";
import { RelayError } from "../../../../runtime/relay/errors.ts";
import { cacheBytes, createMemoryBudget, reserveLargest } from "../../../../runtime/relay/memory/budget.ts";

const MIB = 1024 * 1024;

function codeOf(work: () => unknown): string | undefined {
  try {
    work();
  } catch (cause) {
    if (cause instanceof RelayError) return `${cause.status} ${cause.code} ${cause.headers["Retry-After"]}`;
    throw cause;
  }
  return undefined;
}

test("a reservation that cannot grow is unchanged; a released one frees everything, once", () => {
  const budget = createMemoryBudget({ memoryMiB: 64 }, ["a", "b"]);
  expect(budget.capacity).toBe(56 * MIB); // an eighth is for documents that were searched
  const held = budget.reserve("a", 40 * MIB);
  expect(codeOf(() => held.grow(3 * MIB))).toBe("429 memory_share_full 5");
  expect([held.bytes, budget.held]).toEqual([40 * MIB, 40 * MIB]);
  budget.reserve("b", 14 * MIB);
  expect(codeOf(() => budget.reserve("b", 10 * MIB))).toBe("503 memory_full 5");
  held.resize(MIB);
  expect(budget.heldBy("a")).toBe(MIB);
  held.release();
  held.release();
  held.grow(MIB); // whoever still works for an exchange that has ended
  expect([budget.heldBy("a"), budget.held]).toEqual([0, 14 * MIB]);
});

test("a reload changes the capacity and the parts; existing reservations stay", () => {
  const budget = createMemoryBudget({ memoryMiB: 64 }, ["a"]);
  const held = budget.reserve("a", 56 * MIB);
  budget.update(limitsSchema.parse({ memoryMiB: 128 }), ["a", "b"]);
  expect(budget.capacity).toBe(112 * MIB);
  expect(budget.reserve("b", 28 * MIB).bytes).toBe(28 * MIB);
  expect(codeOf(() => held.grow(29 * MIB))).toBe("429 memory_share_full 5");
  expect(cacheBytes({ memoryMiB: 65_536 })).toBe(128 * MIB);
});

test("for items loaded one after another, the largest is reserved", () => {
  const budget = createMemoryBudget({}, ["a"]);
  const memory = budget.reserve("a", 10);
  const reserve = reserveLargest(memory);
  for (const bytes of [100, 50, 300, 200]) reserve(bytes);
  expect(memory.bytes).toBe(310);
  reserveLargest(undefined)(5);
});
