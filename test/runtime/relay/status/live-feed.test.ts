import { EventEmitter } from "node:events";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { MAX_PAGE_STREAMS, MAX_PAGE_STREAMS_PER_PERSON } from "../../../../runtime/relay/memory/holdings.ts";
import { type EventSink, LiveFeed } from "../../../../runtime/relay/status/live-feed.ts";
import type { PageState } from "../../../../runtime/relay/status/page-data.ts";
import { AT, pageStateWith } from "./sample.ts";

class Sink extends EventEmitter implements EventSink {
  readonly texts: string[] = [];
  headers: Record<string, string> = {};
  writableNeedDrain = false;
  closed = false;
  writeHead(_status: number, headers: Record<string, string>): void {
    this.headers = headers;
  }
  write(text: string): void {
    this.texts.push(text);
  }
  end(text = ""): void {
    this.texts.push(text);
    this.close();
  }
  close(): void {
    this.closed = true;
    this.emit("close");
  }
  /** What the events since the last call had in them. */
  take(): { names: string[]; states: Partial<PageState>[] } {
    const events = this.texts
      .splice(0)
      .flatMap((text) => text.split("\n\n"))
      .filter((text) => text.startsWith("event"));
    const parts = events.map((event) => /^event: (\S+)\ndata: (.*)$/s.exec(event)!);
    const states = parts.filter(([, name]) => name === "state").map(([, , data]) => JSON.parse(data!) as object);
    return { names: parts.map(([, name]) => name!), states };
  }
}

const HOUR = 3_600_000;
let state: PageState;
let asked: number;
let feed: LiveFeed;
const watcher = (name = "kim@example.com", expiresAt = Date.now() + HOUR) => ({ name, expiresAt });
const open = async (who = watcher()) => {
  const sink = new Sink();
  await feed.open(sink, who);
  return sink;
};

beforeEach(() => {
  vi.useFakeTimers({ now: AT });
  state = pageStateWith();
  asked = 0;
  feed = new LiveFeed(async () => {
    asked += 1;
    return state;
  });
});
afterEach(() => {
  feed.close();
  vi.useRealTimers();
});

it("sends everything first, then what changed, for all readers by one question", async () => {
  const [one, other] = [await open(), await open(watcher("lee@example.com"))];
  expect(one.headers["Content-Type"]).toBe("text/event-stream; charset=utf-8");
  expect(one.take().states[0]).toEqual(state);
  expect(other.take().states).toEqual([state]);
  const before = asked;
  state = pageStateWith({
    at: AT + 2000,
    entry: undefined,
    lines: [{ server: "a", connected: true, since: 1, reason: null }],
  } as never);
  await vi.advanceTimersByTimeAsync(2000);
  expect(asked).toBe(before + 1);
  for (const sink of [one, other]) expect(sink.take().states).toEqual([{ at: AT + 2000, lines: state.lines }]);
});

it("has an event long before Cloudflare ends a silent request, also when nothing changes", async () => {
  const sink = await open();
  sink.take();
  await vi.advanceTimersByTimeAsync(10_000);
  expect(sink.texts.filter((text) => text.length > 0).length).toBeGreaterThanOrEqual(4);
});

it("sends a reader that has caught up everything again, and queues nothing for it meanwhile", async () => {
  const sink = await open();
  sink.take();
  sink.writableNeedDrain = true;
  for (let at = 1; at <= 5; at++) {
    state = pageStateWith({ at: AT + at });
    await vi.advanceTimersByTimeAsync(2000);
  }
  expect(sink.texts).toEqual([]);
  sink.writableNeedDrain = false;
  await vi.advanceTimersByTimeAsync(2000);
  expect(sink.take().states).toEqual([state]);
});

it("ends with the sign-in", async () => {
  const sink = await open(watcher("kim@example.com", Date.now() + 5_000));
  await vi.advanceTimersByTimeAsync(4_900);
  expect(sink.closed).toBe(false);
  await vi.advanceTimersByTimeAsync(200);
  expect([sink.closed, sink.take().names.at(-1), feed.size]).toEqual([true, "signed-out", 0]);
});

it("is bounded for a person and for all; a stream that has ended makes room", async () => {
  const own = await Promise.all(Array.from({ length: MAX_PAGE_STREAMS_PER_PERSON }, () => open()));
  await expect(open()).rejects.toMatchObject({ code: "too_many_streams" });
  own[0]!.close();
  await open();
  for (let person = 0; feed.size < MAX_PAGE_STREAMS; person++) await open(watcher(`p${person}@example.com`));
  await expect(open(watcher("late@example.com"))).rejects.toMatchObject({ code: "too_many_streams" });
});

it("goes on after a state that could not be collected", async () => {
  const failures: unknown[] = [];
  let fails = false;
  feed = new LiveFeed(
    () => (fails ? Promise.reject(new Error("away")) : Promise.resolve(state)),
    (cause) => failures.push(cause),
  );
  const sink = await open();
  sink.take();
  fails = true;
  await vi.advanceTimersByTimeAsync(4000);
  expect([failures.length, sink.texts]).toEqual([2, []]);
  fails = false;
  await vi.advanceTimersByTimeAsync(2000);
  expect(sink.take().states).toEqual([{}]);
});

it("asks nothing while nobody watches", async () => {
  const sink = await open();
  sink.close();
  const before = asked;
  await vi.advanceTimersByTimeAsync(60_000);
  expect([asked, feed.size]).toEqual([before, 0]);
});

it("ends all streams when the relay stops, and later ones at once", async () => {
  const sink = await open();
  feed.close();
  expect([sink.closed, sink.take().names.at(-1)]).toEqual([true, "closing"]);
  const late = await open();
  expect([late.closed, feed.size]).toEqual([true, 0]);
});
