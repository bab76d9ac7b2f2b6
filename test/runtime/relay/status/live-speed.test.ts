import { Registry } from "prom-client";
import { expect, it, vi } from "vitest";
import { createAdmission } from "../../../../runtime/relay/admission/admission.ts";
import { createQueueMetrics, type ServedRequest } from "../../../../runtime/relay/admission/metrics.ts";
import { createLiveSpeed } from "../../../../runtime/relay/status/live-speed.ts";
import { testConfig } from "../harness.ts";

function setUp() {
  vi.useFakeTimers();
  let now = 0;
  const speed = createLiveSpeed(() => now);
  const admission = createAdmission(testConfig("http://127.0.0.1", "/data").limits);
  const metrics = speed.observed(createQueueMetrics(new Registry(), admission));
  const served = (more: Partial<ServedRequest> = {}) =>
    metrics.served({
      queue: "chat",
      caller: "backend",
      waitedMs: 0,
      firstMs: 400,
      streamedMs: 1000,
      usage: { prompt: 10, output: 41 },
      requestBytes: 1,
      answerBytes: 1,
      ...more,
    });
  const pass = (ms: number) => {
    for (let at = 0; at < ms; at += 1000) {
      now += 1000;
      vi.advanceTimersByTime(1000);
    }
  };
  return { speed, metrics, served, pass };
}

it("counts the tokens of an answer while it is under way", () => {
  const { speed, metrics, pass } = setUp();
  const meter = { events: 0 };
  metrics.running.add(meter);
  for (let second = 0; second < 20; second++) {
    meter.events += 30;
    pass(1000);
  }
  expect(speed.now().tokensPerSecond).toBeCloseTo(30, 0);
  metrics.running.delete(meter);
  metrics.served({
    ...{ queue: "chat", caller: "a", waitedMs: 0, firstMs: 100, streamedMs: 20_000, requestBytes: 1, answerBytes: 1 },
    usage: { prompt: 1, output: 600 },
  });
  // The same tokens do not count twice when the answer ends.
  expect(speed.now().tokensPerSecond).toBeCloseTo(30, 0);
  pass(12_000);
  expect(speed.now().tokensPerSecond).toBe(0);
  speed.close();
});

it("gives the median time to the first token and the speed of one answer, over five minutes", () => {
  const { speed, served, pass } = setUp();
  expect(speed.now()).toMatchObject({ tokensPerSecond: 0, firstTokenMs: null, perAnswer: null, calls: 0 });
  for (const firstMs of [100, 200, 5000]) served({ firstMs });
  served({ queue: "embeddings", firstMs: 1 });
  served({ firstMs: undefined, streamedMs: undefined, usage: { prompt: 1, output: undefined } });
  expect(speed.now()).toMatchObject({ firstTokenMs: 200, perAnswer: 40, calls: 4 });
  pass(301_000);
  expect(speed.now()).toMatchObject({ firstTokenMs: null, perAnswer: null, calls: 0 });
  speed.close();
});

it("counts the tokens of jobs, and an answer that had fewer tokens than events", () => {
  const { speed, metrics, served, pass } = setUp();
  metrics.usedTokens("chat", "backend", "job", { prompt: 5, output: 100 });
  metrics.usedTokens("chat", "backend", "fallback", { prompt: 5, output: 1000 });
  pass(1000);
  expect(speed.now().tokensPerSecond).toBeCloseTo(100, 0);
  pass(10_000);
  const meter = { events: 50 };
  metrics.running.add(meter);
  pass(11_000);
  metrics.running.delete(meter);
  served({ usage: { prompt: 1, output: 10 } });
  expect(speed.now().tokensPerSecond).toBe(0);
  speed.close();
});
