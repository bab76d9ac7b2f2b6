import { describe, expect, it } from "vitest";
import type { Call } from "../../../commands/capacity/call.ts";
import { ticks } from "../../../commands/capacity/chart.ts";
import { notes } from "../../../commands/capacity/findings.ts";
import { slotsSeen } from "../../../commands/capacity/knee.ts";
import type { Capacity } from "../../../commands/capacity/measure.ts";
import { readOptions } from "../../../commands/capacity/options.ts";
import { page } from "../../../commands/capacity/page.ts";
import { cosine, warmState } from "../../../commands/capacity/probes.ts";
import { render } from "../../../commands/capacity/report.ts";
import { sentence } from "../../../commands/capacity/sentence.ts";
import { type Level, levelOf, quantile, writingAtOnce } from "../../../commands/capacity/stats.ts";
import { readLine } from "../../../commands/capacity/wire.ts";
import { UsageError } from "../../../commands/errors.ts";

const level = (atOnce: number, tokensPerSecond: number, ttftMs: number): Level => ({
  atOnce,
  tokensPerSecond,
  perAnswer: 22,
  ttft: { p50: ttftMs / 2, p90: ttftMs, p99: ttftMs },
  requestsPerSecond: 1,
  finished: 9,
  refused: 0,
  failed: 0,
  seconds: 5,
  writing: atOnce,
  runs: 1,
  spread: 0,
});
const levels = [level(1, 23, 700), level(2, 45, 900), level(4, 88, 1180), level(6, 89, 2500)];
const found = { levels, knee: levels[2], isComplete: true, isSettled: true };
const advice = { atOnce: 4, users: 12, waitMs: 100, waitAtTwiceMs: undefined, tokensPerDay: 7_603_200, costPerDay: 15 };
const part = { answerTokens: 32, sweep: found, warm: level(4, 95, 300), advice };
const capacity: Capacity = {
  target: { url: "http://127.0.0.1:1", api: "openai", model: "<m>", server: "llama-server", slots: 4 },
  at: "2026-11-28T00:00:00.000Z",
  promptTokens: 200,
  parts: [part],
  deciding: part,
  warm: { state: "cold", firstMs: 900, againMs: 880, cachedTokens: undefined, promptTokens: 700 },
  vectors: { model: "m", cosine: 0.75, isReproducible: false },
  relaySlots: 8,
  others: { most: 2, source: "the relay" },
  drift: 0.7,
  seconds: 60,
  outputTokens: 1000,
  endedBy: undefined,
};
const words = { language: "ko", currency: "USD", questionsPerHour: 20 } as const;

describe("the sentence for the owner", () => {
  it("is the owner's own, in Korean and in English", () => {
    expect(sentence(found, "ko")).toBe(
      "동시에 4건까지: 첫 글자까지 1.2초 이하, 초당 22토큰(90%). 6건부터는 느려지기만 합니다.",
    );
    expect(sentence(found, "en")).toBe(
      "Up to 4 at once: first token within 1.2 s, 22 tokens per second each (90 %). From 6 on requests only wait.",
    );
  });

  it("says when more was not tried, and when the whole server gets slower", () => {
    expect(
      sentence({ levels: levels.slice(0, 3), knee: levels[2], isComplete: true, isSettled: true }, "en"),
    ).toContain("more was not tried");
    const falls = [...levels.slice(0, 3), level(8, 60, 3000)];
    expect(sentence({ levels: falls, knee: falls[2], isComplete: true, isSettled: true }, "ko")).toContain(
      "8건부터는 전체가 오히려 느려집니다",
    );
    expect(sentence({ levels: [], knee: undefined, isComplete: false, isSettled: true }, "en")).toBe(
      "Nothing was measured.",
    );
  });
});

describe("what is written at once", () => {
  const call = (from: number, to: number): Call => ({
    startedAt: 0,
    pieces: [from, (from + to) / 2, to],
    endedAt: to,
    outputTokens: 3,
    promptTokens: undefined,
    cachedTokens: undefined,
    outcome: "done",
  });
  it.each([
    [[call(0, 100), call(100, 200)], 1],
    [[call(0, 100), call(50, 200)], 2],
    [[call(0, 100), call(99, 200)], 1], // a moment's overlap is jitter
    [[call(0, 100), call(0, 100), call(0, 100), call(100, 200)], 3],
    [[call(-50, -10)], 0],
    [[], 0],
  ])("%#", (calls, most) => expect(writingAtOnce(calls, 0, 200)).toBe(most));

  it("shows the slots of a server, where clearly more were open", () => {
    const at = (atOnce: number, writing: number) => ({ ...level(atOnce, 10, 100), writing });
    expect(slotsSeen([at(1, 1), at(2, 2), at(4, 2)])).toBe(2);
    expect(slotsSeen([at(1, 1), at(2, 1)])).toBe(1);
    expect(slotsSeen([at(1, 1), at(2, 2), at(4, 4), at(6, 5)])).toBeUndefined();
    expect(slotsSeen([])).toBeUndefined();
  });
});

describe("the report", () => {
  it("has the table, the settings, and everything that was found, in both languages", () => {
    for (const language of ["ko", "en"] as const) {
      const text = render(capacity, { ...words, language });
      expect(text).toContain("limits.chat");
      expect(text).toContain("OLLAMA_NUM_PARALLEL");
      expect(text).toContain("7,603,200");
      expect(text.split("\n").filter((line) => line.includes("◀"))).toHaveLength(1);
      const said = notes(capacity, language);
      expect(said.map(({ level: how }) => how)).toEqual(["warn", "warn", "warn", "warn", "warn"]);
      for (const word of ["--cache-ram", "0.750", "8", "2", "70"])
        expect(said.map(({ text: t }) => t).join("\n")).toContain(word);
    }
  });

  it("is a page that loads nothing, escapes what it shows, and marks the knee", () => {
    const html = page(capacity, words);
    expect(html).not.toMatch(/<script|(?:src|href)=|@import|url\(/);
    expect(html).toContain("&lt;m&gt;");
    expect(html).not.toContain("<m>");
    expect(html.match(/<svg/g)).toHaveLength(2);
    expect(html).toContain("최적: 4");
    expect(html).toContain(sentence(found, "ko"));
    expect(html).not.toContain("NaN");
  });

  it("has round steps on its axes", () => {
    expect(ticks(88)).toEqual([0, 20, 40, 60, 80, 100]);
    expect(ticks(0.35)).toEqual([0, 0.1, 0.2, 0.3, 0.4]);
    expect(ticks(0)[0]).toBe(0);
  });
});

describe("the numbers of a level", () => {
  it("count what came within the window, by what an answer says it used", () => {
    const call = { startedAt: 0, endedAt: 1000, promptTokens: 9, cachedTokens: undefined, outcome: "done" } as const;
    const pieces = [100, 300, 500, 700, 900];
    const one = levelOf(1, [{ ...call, pieces, outputTokens: 10 }], 0, 1000);
    expect(one.tokensPerSecond).toBe(10); // two tokens a piece
    expect(one.ttft.p50).toBe(100);
    expect(levelOf(1, [{ ...call, pieces, outputTokens: 10 }], 400, 800).tokensPerSecond).toBe(10);
    const refused = { ...call, pieces: [], outputTokens: 0, outcome: "refused", why: "429 full" } as const;
    expect(levelOf(2, [refused], 0, 1000)).toMatchObject({ refused: 1, why: "429 full", tokensPerSecond: 0 });
  });

  it("have quantiles by nearest rank", () => {
    expect([0.5, 0.9, 0.99].map((q) => quantile([5, 1, 4, 2, 3], q))).toEqual([3, 5, 5]);
    expect(quantile([], 0.5)).toBeNaN();
  });
});

describe("an answer", () => {
  it("is read in both APIs; heartbeats and heads are no tokens", () => {
    const counts = {};
    expect(readLine(": ", "openai", counts)).toBe(false);
    expect(readLine('data: {"choices":[{"delta":{"role":"assistant","content":""}}]}', "openai", counts)).toBe(false);
    expect(readLine('data: {"choices":[{"delta":{"content":"a"}}]}\r', "openai", counts)).toBe(true);
    expect(readLine('data: {"choices":[{"delta":{"reasoning_content":"a"}}]}', "openai", counts)).toBe(true);
    const usage = '"usage":{"prompt_tokens":7,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":5}}';
    expect(readLine(`data: {"choices":[],${usage}}`, "openai", counts)).toBe(false);
    expect(counts).toEqual({ output: 3, prompt: 7, cached: 5 });
    expect(readLine('{"message":{"content":"a"},"done":false}', "ollama", counts)).toBe(true);
    readLine('{"message":{"content":""},"done":true,"prompt_eval_count":8,"eval_count":4}', "ollama", counts);
    expect(counts).toMatchObject({ output: 4, prompt: 8 });
    expect(() => readLine('data: {"error":{"message":"no"}}', "openai", counts)).toThrow("no");
  });
});

describe("the probes' judgements", () => {
  it.each([
    ["what the server says", 10, 500, 480, { cachedTokens: 650, promptTokens: 700 }, "warm"],
    ["what the server says, of a shared template only", 10, 500, 100, { cachedTokens: 20, promptTokens: 700 }, "cold"],
    ["the times", 10, 500, 60, { cachedTokens: undefined, promptTokens: 700 }, "warm"],
    ["the times, as 0 may mean that it does not count", 10, 500, 490, { cachedTokens: 0, promptTokens: 700 }, "cold"],
    [
      "nothing, where length makes no difference",
      40,
      42,
      41,
      { cachedTokens: undefined, promptTokens: 700 },
      "unknown",
    ],
  ] as const)("rest on %s", (_, short, first, again, usage, state) => {
    expect(warmState(short, first, again, usage)).toBe(state);
  });

  it("compare vectors by their cosine", () => {
    expect(cosine([1, 0], [2, 0])).toBeCloseTo(1, 12);
    expect(cosine([1, 0], [0, 1])).toBe(0);
    expect(cosine([1], [1, 0])).toBe(0);
    expect(cosine([0], [0])).toBe(0);
  });
});

describe("the command line", () => {
  it("names every problem at once, with its value and the fix, and no header's value", () => {
    const wrong = [
      "--most",
      "0",
      "--answers",
      "3,x",
      "--api",
      "grpc",
      "--minutes=-1",
      "--header",
      "Secret=abc",
      "--url",
      "ftp://x",
    ];
    const read = () => readOptions(wrong, {});
    expect(read).toThrow(UsageError);
    for (const part of [
      '--most is "0"',
      '--answers is "3,x"',
      '--api is "grpc"',
      '--minutes is "-1"',
      '--url is "ftp://x"',
      "--header",
    ]) {
      expect(read).toThrow(part);
    }
    expect(read).not.toThrow("abc");
  });

  it("speaks the shell's language, and takes lengths in any order", () => {
    expect(readOptions([], { LANG: "ko_KR.UTF-8" }).language).toBe("ko");
    expect(readOptions(["--lang", "ko"], { LANG: "C" }).language).toBe("ko");
    expect(readOptions(["--answers", "300,20"], {}).answers).toEqual([20, 300]);
  });
});
