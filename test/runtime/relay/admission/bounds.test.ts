import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Limits } from "../../../../runtime/limits-config.ts";
import {
  type Admission,
  createAdmission,
  type Slot,
  type SlotRequest,
} from "../../../../runtime/relay/admission/admission.ts";
import { MAX_COMPANY_FLOWS } from "../../../../runtime/relay/admission/flow-names.ts";
import { randomOf } from "../drills/seed.ts";

const LIMITS: Limits = { chat: 4, embeddings: 2, waiting: 256, waitSeconds: 60, bodyMiB: 64, whenBusy: "queue" };
const MIB = 1024 * 1024;
const never = new AbortController().signal;

type More = Partial<SlotRequest> & { weight?: number };

function slotRequest(name: string, { weight = 1, ...more }: More = {}): SlotRequest {
  const caller = { name, clientId: name, companies: ["*"], weight, enabled: true };
  return { queue: "chat", caller, estimatedTokens: 300, bytes: 1000, signal: never, ...more };
}

/** Sends requests and keeps what became of each. */
class Queue {
  readonly admission: Admission;
  readonly slots: Slot[] = [];
  /** By the label each was sent with; "waits" while it does. */
  readonly outcomes = new Map<string, string>();

  constructor(limits: Partial<Limits> = {}) {
    this.admission = createAdmission({ ...LIMITS, ...limits });
  }

  /** @returns what became of it at once */
  async send(label: string, caller: string, more: More = {}): Promise<string> {
    this.outcomes.set(label, "waits");
    this.admission.acquire(slotRequest(caller, more)).then(
      (slot) => {
        this.slots.push(slot);
        this.outcomes.set(label, "runs");
      },
      (cause: { code?: string }) => this.outcomes.set(label, cause.code ?? String(cause)),
    );
    for (let turn = 0; turn < 5; turn += 1) await Promise.resolve();
    return this.outcomes.get(label)!;
  }

  async fill(count: number, caller: string, more: More = {}, label = caller): Promise<void> {
    for (let n = 0; n < count; n += 1) await this.send(`${label} ${n}`, caller, more);
  }

  /** Labels of those that were turned away. */
  get refused(): string[] {
    return [...this.outcomes].filter(([, outcome]) => outcome === "queue_full").map(([label]) => label);
  }

  get waiting(): number {
    return this.admission.snapshot().chat.waiting;
  }
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test("one caller fills the queue: another caller's first request evicts its newest", async () => {
  const queue = new Queue();
  await queue.fill(260, "a");
  expect([queue.waiting, queue.refused]).toEqual([256, []]);
  expect(await queue.send("b", "b")).toBe("waits");
  expect(queue.refused).toEqual(["a 259"]);
  expect(queue.waiting).toBe(256);
  // And so on up to half of the places each; then whoever comes is the longest.
  await queue.fill(200, "b", {}, "more of b");
  expect(queue.admission.snapshot().chat.callers).toMatchObject({ a: { waiting: 128 }, b: { waiting: 128 } });
  expect(await queue.send("late", "a")).toBe("queue_full");
  expect(queue.outcomes.get("b")).toBe("waits");
});

test("shares are in proportion to weights", async () => {
  const queue = new Queue({ waiting: 40 });
  await queue.fill(44, "a");
  await queue.fill(100, "b", { weight: 3 });
  expect(queue.admission.snapshot().chat.callers).toMatchObject({ a: { waiting: 10 }, b: { waiting: 30 } });
});

test("within a caller the longest company gives way, and its companies do not change the caller's share", async () => {
  const queue = new Queue({ waiting: 40 });
  await queue.fill(44, "a", { company: "loud" });
  expect(await queue.send("quiet", "a", { company: "quiet" })).toBe("waits");
  expect(queue.refused).toEqual(["a 43"]);
  for (let n = 0; n < 200; n += 1) await queue.send(`invented ${n}`, "a", { company: `invented ${n}` });
  await queue.fill(20, "b");
  expect(queue.admission.snapshot().chat.callers).toMatchObject({ a: { waiting: 20 }, b: { waiting: 20 } });
});

test("by bytes: the caller with the most gives way, and a single large request finds room", async () => {
  const queue = new Queue({ waitingMiB: 256 });
  await queue.fill(4, "a");
  await queue.fill(4, "a", { bytes: 60 * MIB }, "large");
  await queue.fill(10, "b");
  expect(queue.refused).toEqual([]);
  expect(await queue.send("b large", "b", { bytes: 60 * MIB })).toBe("waits");
  expect(queue.refused).toEqual(["large 3"]);
  // B's requests are many and small; A is still the longest by bytes.
  expect(await queue.send("c", "c", { bytes: 64 * MIB })).toBe("waits");
  expect(queue.refused).toEqual(["large 2", "large 3"]);
});

test("the bound on bytes includes its last one, and a single request of any size", async () => {
  const queue = new Queue({ chat: 1, waitingMiB: 1 });
  await queue.fill(1, "a");
  expect(await queue.send("first", "a", { bytes: MIB - 1000 })).toBe("waits");
  expect(await queue.send("last byte", "a")).toBe("waits");
  expect(await queue.send("one more", "a", { bytes: 1 })).toBe("queue_full");
  const alone = new Queue({ chat: 1, waitingMiB: 1 });
  await alone.fill(1, "a");
  expect(await alone.send("large", "a", { bytes: 64 * MIB })).toBe("waits");
});

test("with no places nothing waits, however small", async () => {
  const queue = new Queue({ chat: 1, waiting: 0 });
  await queue.fill(1, "a");
  expect(await queue.send("b", "b", { bytes: 0 })).toBe("queue_full");
  expect(queue.waiting).toBe(0);
});

describe("never evicted", () => {
  test("is a request whose response has begun; then a quiet caller is admitted above the bound, the loud one is not", async () => {
    const queue = new Queue({ waiting: 20 });
    await queue.fill(24, "a", { evictable: () => false });
    expect(await queue.send("b", "b")).toBe("waits");
    expect(await queue.send("a again", "a")).toBe("queue_full");
    expect(queue.waiting).toBe(21);
    await queue.fill(100, "b", {}, "more of b");
    await queue.fill(100, "c");
    // Each up to its share; a stays what it is until its requests end.
    expect(queue.admission.snapshot().chat.callers).toMatchObject({ a: { waiting: 20 } });
    expect(queue.waiting).toBeLessThanOrEqual(2 * 20);
    expect([...queue.outcomes].filter(([, outcome]) => outcome === "waits").length).toBe(queue.waiting);
  });

  test("is a request whose response has begun: the newest of the others is evicted", async () => {
    const queue = new Queue({ waiting: 4 });
    await queue.fill(4, "a");
    for (const n of [0, 1, 2, 3]) await queue.send(`w${n}`, "a", { evictable: () => n < 2 });
    expect(await queue.send("b", "b")).toBe("waits");
    expect(queue.refused).toEqual(["w1"]);
  });

  test("is a quiet company of a loud caller, when the loud company's responses have begun", async () => {
    const queue = new Queue({ waiting: 20 });
    await queue.fill(24, "a", { company: "loud", evictable: () => false });
    expect(await queue.send("quiet", "a", { company: "quiet" })).toBe("waits");
    expect(await queue.send("loud", "a", { company: "loud" })).toBe("queue_full");
  });

  test("is a job, and jobs do not count", async () => {
    const queue = new Queue({ waiting: 2 });
    await queue.fill(10, "a", { background: true }, "job");
    await queue.fill(1, "a");
    await queue.fill(2, "a", {}, "waits");
    expect(await queue.send("b", "b")).toBe("waits");
    expect(queue.refused).toEqual(["waits 1"]);
    expect(queue.admission.snapshot().chat.waitingBackground).toBe(7);
  });

  test("is a request of a caller within its share, for a caller over its share", async () => {
    const queue = new Queue({ waiting: 10 });
    await queue.fill(4, "x");
    await queue.fill(5, "b");
    await queue.fill(20, "a");
    expect(queue.refused.every((label) => label.startsWith("a "))).toBe(true);
    expect(queue.admission.snapshot().chat.callers).toMatchObject({ a: { waiting: 5 }, b: { waiting: 5 } });
  });
});

test("an expected wait that is too long refuses requests of that flow only", async () => {
  const queue = new Queue({ chat: 1, waitSeconds: 10 });
  for (let n = 0; n < 10; n += 1) {
    const slot = await queue.admission.acquire(slotRequest("a"));
    await vi.advanceTimersByTimeAsync(5000);
    slot.release(300);
  }
  await queue.fill(10, "a", { company: "x" });
  expect(queue.refused.length).toBeGreaterThan(0);
  expect(await queue.send("x", "a", { company: "x" })).toBe("queue_full");
  expect(await queue.send("y", "a", { company: "y" })).toBe("waits");
  expect(await queue.send("b", "b")).toBe("waits");
});

test("an evicted request gets the Retry-After of its own flow, and leaves no state behind", async () => {
  const queue = new Queue({ waiting: 2 });
  await queue.fill(4, "a");
  await queue.fill(1, "a", {}, "old");
  const evicted = expect(queue.admission.acquire(slotRequest("a"))).rejects.toMatchObject({
    code: "queue_full",
    status: 429,
    headers: { "Retry-After": "1" },
  });
  expect(await queue.send("b", "b")).toBe("waits");
  await evicted;
  await vi.advanceTimersByTimeAsync(60_000);
  expect(queue.outcomes.get("b")).toBe("queue_timeout");
  for (const slot of queue.slots) slot.release();
  expect(queue.admission.snapshot().chat).toMatchObject({ running: 0, waiting: 0, waitingBytes: 0, callers: {} });
});

test.each(Array.from({ length: 40 }, (_, seed) => seed))(
  "for any load: at most twice the bounds wait, and a caller without waiting requests is always admitted (seed %s)",
  async (seed) => {
    const random = randomOf(seed);
    const waiting = random.between(8, 40);
    const queue = new Queue({ waiting, waitingMiB: 8 });
    const callers = 5;
    for (let n = 0; n < 400; n += 1) {
      const caller = random.next() < 0.7 ? "loud" : `caller ${random.between(1, callers - 1)}`;
      const begun = random.next() < 0.5;
      const before = queue.admission.snapshot().chat;
      const outcome = await queue.send(`${n}`, caller, {
        company: random.pick([undefined, "x", `c${random.between(0, 100)}`]),
        bytes: random.between(0, MIB),
        evictable: () => !begun,
      });
      const isFirst = (before.callers[caller]?.waiting ?? 0) === 0;
      const isOver = Object.entries(before.callers).some(
        ([name, other]) => name !== caller && other.waiting > Math.max(1, waiting / 2),
      );
      if (isFirst && isOver) expect(outcome).not.toBe("queue_full");
      const { waiting: now, waitingBytes } = queue.admission.snapshot().chat;
      expect(now).toBeLessThanOrEqual(2 * waiting + callers);
      expect(waitingBytes).toBeLessThanOrEqual((2 * 8 + callers) * MIB);
      if (random.next() < 0.1) queue.slots.shift()?.release(300);
    }
    expect(MAX_COMPANY_FLOWS).toBeLessThan(100);
  },
);
