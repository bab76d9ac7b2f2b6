import { expect, test } from "vitest";
import { OLLAMA } from "../../../../runtime/relay/dialects/ollama.ts";
import { OPENAI } from "../../../../runtime/relay/dialects/openai.ts";
import { Meter } from "../../../../runtime/relay/usage/usage.ts";

/** Feeds a text in pieces of `size` bytes. */
function metered(type: string, text: string, size: number): Meter {
  const meter = new Meter(/ndjson/.test(type) ? OLLAMA.usage : OPENAI.usage);
  meter.begin(type);
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += size) meter.feed(bytes.subarray(at, at + size));
  return meter;
}

const events = Array.from({ length: 50 }, (_, n) => `data: {"n":${n}}\n\n`).join("");
const long = "가".repeat(20_000);

test.each([
  [
    "OpenAI's stream",
    "text/event-stream",
    `${events}data: {"usage":{"prompt_tokens":7,"completion_tokens":50}}\n\n`,
    7,
    50,
  ],
  [
    "llama-server's stream without usage: what it says of its timings",
    "text/event-stream",
    `${events}data: {"choices":[],"timings":{"cache_n":1,"prompt_n":7,"predicted_n":48,"predicted_ms":9}}\n\ndata: [DONE]\n\n`,
    undefined,
    48,
  ],
  [
    "the Responses API",
    "text/event-stream",
    `${events}data: {"response":{"output":"${long}","usage":{"input_tokens": 8,"output_tokens": 9},"metadata":{}}}\n\n`,
    8,
    9,
  ],
  [
    "Ollama's lines",
    "application/x-ndjson",
    `{"a":"${long}"}\n{"done":true,"prompt_eval_count":3,"eval_count":4}\n`,
    3,
    4,
  ],
  [
    "JSON in one piece",
    "application/json",
    `{"choices":["${long}"],"usage":{"prompt_tokens":5,"completion_tokens":6,"total_tokens":11}}`,
    5,
    6,
  ],
  [
    "an embedding",
    "application/json",
    `{"data":["${long}"],"usage":{"prompt_tokens":5,"total_tokens":5}}`,
    5,
    undefined,
  ],
  [
    "keys in the model's text do not count",
    "application/json",
    '{"content":"{\\"completion_tokens\\": 9999}"}',
    undefined,
    undefined,
  ],
])("%s: tokens are found wherever the chunks are split", (_name, type, text, prompt, output) => {
  for (const size of [7, 1000, 4096, 1_000_000]) {
    expect(metered(type, text, size).usage()).toEqual({ prompt, output });
  }
});

test("without usage, the events of a stream count as its tokens", () => {
  expect(metered("text/event-stream", events, 1_000_000).usage()).toEqual({ prompt: undefined, output: 50 });
  expect(metered("application/x-ndjson", "{}\n{}\n", 3).usage()).toEqual({ prompt: undefined, output: 2 });
});

test("cached tokens of the prompt are found where an answer states them", () => {
  const chat = '{"usage":{"prompt_tokens":90,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":80}}}';
  expect(metered("application/json", chat, 10).usage()).toEqual({ prompt: 90, output: 5, cached: 80 });
});

test("a dialect may state the prompt's tokens in the first event of a long stream", () => {
  const keys = { prompt: ["input_tokens"], output: ["output_tokens"], cached: [], at: "start_and_end" } as const;
  const text = `data: {"usage":{"input_tokens":25,"output_tokens":1}}\n\n${events}data: {"t":"${long}"}\n\ndata: {"usage":{"output_tokens":15}}\n\n`;
  for (const size of [7, 1000, 1_000_000]) {
    const meter = new Meter(keys);
    meter.begin("text/event-stream");
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length; at += size) meter.feed(bytes.subarray(at, at + size));
    expect(meter.usage()).toEqual({ prompt: 25, output: 15 });
  }
});
