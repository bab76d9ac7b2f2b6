/** A request's cost in tokens, before and after it ran; measured times of service. */
import { describe, expect, it } from "vitest";
import { QUANTUM } from "../../../../runtime/relay/admission/deficit-round-robin.ts";
import { estimateTokens, usedTokens } from "../../../../runtime/relay/admission/estimate.ts";
import { ServiceTimes } from "../../../../runtime/relay/admission/service-times.ts";

/** A token for every four bytes. */
const PER_TOKEN = 4;

describe("the estimate of a request", () => {
  const dialect = { answerLimits: ["max_tokens", "max_completion_tokens"] };
  const chat = (body: string) => estimateTokens({ queue: "chat", dialect }, Buffer.from(body));
  /** A body of so many bytes in all, that says this at its start and end. */
  const body = (bytes: number, start: string, end = "") => start + "x".repeat(bytes - start.length - end.length) + end;

  it("is its prompt and a usual answer", () => {
    expect(chat(body(4000, ""))).toBe(4000 / PER_TOKEN + 256);
    expect(estimateTokens({ dialect }, Buffer.alloc(4000))).toBe(4000 / PER_TOKEN + 256);
  });

  it.each([
    ["the first bound that is a number", body(4000, '"max_tokens":null,"max_tokens": 7,"max_tokens":9'), 7],
    ["any of the dialect's bounds", body(4000, '"max_completion_tokens":9'), 9],
    ["the bound at the end of a long body", body(40_000, "", '"max_tokens":7'), 7],
    ["the bound at the start of a long body", body(40_000, '"max_tokens":7', '"max_tokens":9'), 7],
    ["the bound within the last 4,096 bytes", body(40_000, "", `"max_tokens":7${"x".repeat(4096 - 14)}`), 7],
    ["no bound in the middle of a long body", body(40_000, "", `"max_tokens":7${"x".repeat(4096 - 13)}`), 256],
    [
      "the bound in the middle of a body of 8,192 bytes",
      body(8192, "x".repeat(4090), `"max_tokens":7${"x".repeat(4088)}`),
      7,
    ],
    ["no bound that is not a key", body(4000, "max_tokens:7"), 256],
    ["at most a usual answer", body(4000, '"max_tokens":9999'), 256],
    ["nothing for a bound of 0", body(4000, '"max_tokens":0'), 0],
  ])("has %s", (_name, text, answer) => {
    expect(chat(text)).toBe(Math.ceil(text.length / PER_TOKEN) + answer);
  });

  it("of embeddings is the prompt alone; nothing costs less than 64", () => {
    expect(estimateTokens({ queue: "embeddings", dialect }, Buffer.alloc(4000))).toBe(4000 / PER_TOKEN);
    expect(estimateTokens({ queue: "embeddings", dialect }, Buffer.alloc(4))).toBe(64);
    expect(chat('{"max_tokens":1}')).toBe(64);
  });
});

describe("the tokens used", () => {
  const none = { prompt: undefined, output: undefined };

  it("are those of the answer", () => {
    expect(usedTokens("chat", 4000, { prompt: 70, output: 30 })).toBe(100);
    expect(usedTokens("embeddings", 4000, { prompt: 70, output: undefined })).toBe(70);
  });

  it("are estimated for a prompt that the answer does not count, and unknown without the output of a chat", () => {
    expect(usedTokens("chat", 4000, { prompt: undefined, output: 30 })).toBe(4000 / PER_TOKEN + 30);
    expect(usedTokens("embeddings", 4000, none)).toBe(4000 / PER_TOKEN);
    expect(usedTokens("chat", 4000, { prompt: 70, output: undefined })).toBeUndefined();
  });

  it("are at least 64", () => {
    expect(usedTokens("chat", 4, { prompt: 1, output: 1 })).toBe(64);
    expect(usedTokens("embeddings", 4, none)).toBe(64);
  });
});

describe("service times", () => {
  it("charge nothing before the first request", () => {
    const times = new ServiceTimes();
    expect([times.measured, times.meanMs, times.tokensFor(1000), times.minTokensFor(1000)]).toEqual([
      0,
      0,
      undefined,
      0,
    ]);
  });

  it("are the mean of the first 20 requests, then a moving average", () => {
    const times = new ServiceTimes();
    times.add(100, 1000);
    expect([times.measured, times.meanMs]).toEqual([1, 100]);
    times.add(200, 1000);
    times.add(300, 1000);
    expect(times.meanMs).toBeCloseTo(200);
    for (let n = 3; n < 20; n += 1) times.add(200, 1000);
    expect(times.meanMs).toBeCloseTo(200);
    times.add(400, 1000);
    expect(times.meanMs).toBeCloseTo(210);
    times.add(410, 1000);
    expect(times.meanMs).toBeCloseTo(220);
    expect(times.measured).toBe(22);
  });

  it("charge the time a slot was held at the measured rate, but at least a quantum for a mean time", () => {
    const times = new ServiceTimes();
    times.add(100, 1500);
    times.add(100, 2500);
    expect(times.minTokensFor(50)).toBe(QUANTUM / 2);
    expect(times.tokensFor(50)).toBe(1000);
    const cheap = new ServiceTimes();
    cheap.add(100, 10);
    expect(cheap.tokensFor(200)).toBe(2 * QUANTUM);
  });
});
