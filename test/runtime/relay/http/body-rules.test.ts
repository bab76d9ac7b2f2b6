import { describe, expect, test } from "vitest";
import { parseGoDuration } from "../../../../runtime/relay/dialects/keep-alive-check.ts";
import { RelayError } from "../../../../runtime/relay/errors.ts";
import { checkBody } from "../../../../runtime/relay/http/body-rules.ts";
import { modelCall } from "../dialects/model-call.ts";

const ANY = { kind: "ollama" } as const;

function codeFor(body: string | Buffer, model: Parameters<typeof checkBody>[2] = ANY, route = "/api/chat"): string {
  try {
    void checkBody(typeof body === "string" ? Buffer.from(body) : body, modelCall(route), model);
    return "ok";
  } catch (error) {
    return error instanceof RelayError ? error.code : String(error);
  }
}

describe("keep_alive", () => {
  test.each(["0", "59.9", "-0", '"0"', '"0s"', '"59s"', '"-0s"', '"-0.1ns"', '"-0.6ns0.6ns"', '"59999ms"', "1e300"])(
    "refuses %s",
    (value) => expect(codeFor(`{"model":"m","keep_alive":${value}}`)).toBe("keep_alive_not_allowed"),
  );
  test.each([
    ['"300"', /Send the number 300 \(seconds\), or "300s"/],
    ['"-1"', /Send the number -1 \(seconds\), or "-1s"/],
    ['"soon"', /Send seconds \(300\) or a duration \("5m"\)/],
    ['""', /Send seconds/],
    ["{}", /Send seconds/],
    ["true", /Send seconds/],
  ])("refuses %s and says how to write it", async (value, how) => {
    const body = `{"model":"m","keep_alive":${value}}`;
    expect(codeFor(body)).toBe("keep_alive_invalid");
    await expect((async () => checkBody(Buffer.from(body), modelCall("/api/chat"), ANY))()).rejects.toThrow(how);
  });
  test.each(["60", "-1", "-0.5", '"1m"', '"5m"', '"-1s"', '"1h30m"', '"60000ms"', "null", "3600"])(
    "takes %s",
    (value) => expect(codeFor(`{"model":"m","keep_alive":${value}}`)).toBe("ok"),
  );
  test.each(["KEEP_ALIVE", "Keep_Alive", "keep\\u005falive", "\u212Aeep_alive"])("recognises it written as %s", (key) =>
    expect(codeFor(`{"${key}":0}`)).toBe("keep_alive_not_allowed"),
  );
  test("ignores the same key in nested objects", () => {
    expect(codeFor('{"options":{"keep_alive":0},"messages":[{"keep_alive":0}]}')).toBe("ok");
  });
  test.each([
    '{"keep_alive":0,"keep_alive":"5m"}',
    '{"keep_alive":"5m","Keep_Alive":"5m"}',
    `{"keep_alive":0,"a":"}{\\"","keep_alive"${" ".repeat(300)}:"5m"}`,
  ])("refuses it twice: %s", (body) => expect(codeFor(body)).toBe("body_ambiguous"));
});

describe("allowed models", () => {
  const some = { kind: "ollama" as const, allowed: ["llama3", "host:5000/qwen:7b"] };
  test.each(["llama3", "llama3:latest", "host:5000/qwen:7b"])("takes %s", (name) =>
    expect(codeFor(JSON.stringify({ model: name }), some)).toBe("ok"),
  );
  test.each([
    '{"model":"other"}',
    '{"model":"llama3:8b"}',
    '{"Model":"other"}',
    "{}",
    '{"model":""}',
    '{"model":null}',
    '{"model":["llama3"]}',
  ])("refuses %s", (body) => expect(codeFor(body, some)).toBe("model_not_allowed"));
  test("refuses two models in one body", () => {
    expect(codeFor('{"model":"other","model":"llama3"}', some)).toBe("body_ambiguous");
    expect(codeFor('{"model":"llama3","MODEL":"other"}', some)).toBe("body_ambiguous");
  });
  test("names the allowed ones", () => {
    expect(() => checkBody(Buffer.from('{"model":"x"}'), modelCall("/api/chat"), some)).toThrow(
      /"x".*llama3, host:5000\/qwen:7b/,
    );
  });
  test("checks `name` for /api/show, and only there", () => {
    expect(codeFor('{"name":"other"}', some, "/api/show")).toBe("model_not_allowed");
    expect(codeFor('{"name":"llama3"}', some, "/api/show")).toBe("ok");
    expect(codeFor('{"model":"llama3","name":"other"}', some, "/api/show")).toBe("model_not_allowed");
    expect(codeFor('{"model":"llama3","name":"other"}', some, "/api/chat")).toBe("ok");
  });
  test("adds no tag for servers other than Ollama", () => {
    expect(codeFor('{"model":"a:latest"}', { kind: "openai", allowed: ["a"] })).toBe("model_not_allowed");
  });
});

test.each(["", "{", "[]", '"text"', "null", '{"a":1} {"b":2}'])("a body of %j is refused", (body) => {
  expect(codeFor(body)).toBe("body_not_json");
});

test("a body that is not UTF-8 is refused with the reason", () => {
  // 안녕 in CP949, as curl on a Korean Windows sends it.
  const cp949 = Buffer.concat([Buffer.from('{"a":"'), Buffer.from("bec8b3e7", "hex"), Buffer.from('"}')]);
  expect(() => checkBody(cp949, modelCall("/api/chat"), ANY)).toThrow(/not UTF-8/);
  expect(codeFor(cp949)).toBe("body_not_json");
});

test("a byte order mark is removed", async () => {
  const { body, facts } = await checkBody(Buffer.from('\uFEFF{"stream":true}'), modelCall("/api/chat"), ANY);
  expect([body.toString(), facts.stream]).toEqual(['{"stream":true}', true]);
});

test("a body may be nested 512 deep, whether the deep part is checked or not", () => {
  const nested = (depth: number) => `{"a":${"[".repeat(depth - 1)}${"]".repeat(depth - 1)}}`;
  expect(codeFor(nested(512))).toBe("ok");
  expect(codeFor(nested(513))).toBe("body_too_deep");
  expect(codeFor(`{"a":${'{"b":'.repeat(600)}`)).toBe("body_too_deep");
});

test("a key that is repeated a hundred times is refused", () => {
  expect(codeFor(`{${'"stream":true,'.repeat(101)}"a":1}`)).toBe("body_ambiguous");
});

test("values that are far too long are refused without being decoded, and shown truncated", async () => {
  const long = "x".repeat(100_000);
  const some = { kind: "ollama" as const, allowed: ["llama3"] };
  const check = async (body: string) => checkBody(Buffer.from(body), modelCall("/api/chat"), some);
  await expect(check(`{"model":"${long}"}`)).rejects.toThrow(/^The model "x{79}… is not allowed here/);
  await expect(check(`{"model":"llama3","keep_alive":"${long}"}`)).rejects.toThrow(/^keep_alive "x{79}…/);
  await expect(check(`{"model":"llama3","keep_alive":"${"1".repeat(60_000)}"}`)).rejects.toMatchObject({
    code: "keep_alive_invalid",
  });
});

test.each([
  ["1h30m", 5400],
  ["1.5s", 1.5],
  [".5m", 30],
  ["+2s", 2],
  ["-3ms", -0.003],
  ["2µs", 2e-6],
  ["0", 0],
])("the Go duration %s is %d s", (text, seconds) => expect(parseGoDuration(text)).toBe(seconds));

test.each(["", "-", "5", "5 s", "s", "1d", "1h-2m", "١s"])("%j is no Go duration", (text) =>
  expect(parseGoDuration(text)).toBeNaN(),
);

describe("load options", () => {
  const some = {
    kind: "ollama" as const,
    options: { num_ctx: { min: 2048, max: 16_384 }, use_mlock: true as const, ttl: { min: 600, max: 3600 } },
  };
  const withOptions = (options: unknown) => JSON.stringify({ model: "m", options });
  test.each([
    { num_ctx: 131_072 },
    { num_gpu: 0 },
    { use_mlock: true },
    { temperature: 0, num_thread: 1 },
    { main_gpu: "x" },
  ])("%j is refused unless the config allows it", (options) =>
    expect(codeFor(withOptions(options))).toBe("load_option_not_allowed"),
  );
  test.each([{ num_ctx: 16_385 }, { num_ctx: 0 }, { num_ctx: "4096" }, { use_mlock: 1 }, { num_gpu: 1 }])(
    "%j is out of the config's bounds",
    (options) => expect(codeFor(withOptions(options), some)).toBe("load_option_not_allowed"),
  );
  test.each([{ num_ctx: 16_384 }, { num_ctx: null }, { use_mlock: false }, { temperature: 1, num_predict: 9 }, null])(
    "%j is taken",
    (options) => expect(codeFor(withOptions(options), some)).toBe("ok"),
  );
  test("all that are refused are named, with what is allowed", () => {
    const body = Buffer.from(withOptions({ num_ctx: 131_072, use_mlock: true, num_gpu: 0 }));
    expect(() => checkBody(body, modelCall("/api/embed"), some)).toThrow(
      /^options\.num_ctx 131072, options\.num_gpu 0 would load the model again .* num_ctx from 2048 to 16384, use_mlock, ttl from 600 to 3600\.$/,
    );
  });
  test.each(["/v1/chat/completions", "/v1/messages", "/v1/embeddings"])("ttl on %s", (route) => {
    expect(codeFor('{"ttl":1}', ANY, route)).toBe("load_option_not_allowed");
    expect(codeFor('{"ttl":1}', some, route)).toBe("load_option_not_allowed");
    expect(codeFor('{"ttl":600}', some, route)).toBe("ok");
    expect(codeFor('{"ttl":null}', ANY, route)).toBe("ok");
  });
  test("the key in another case, twice, or too long to be read", () => {
    expect(codeFor('{"Options":{"num_gpu":0}}')).toBe("load_option_not_allowed");
    expect(codeFor('{"options":{},"OPTIONS":{"num_gpu":0}}')).toBe("body_ambiguous");
    expect(codeFor(withOptions({ stop: "x".repeat(20_000) }))).toBe("load_option_not_allowed");
  });
});

describe("models of Ollama's cloud", () => {
  test.each(["gpt-oss:120b-cloud", "glm-4.6:cloud", "GLM:CLOUD"])("%s is refused on all paths", (model) => {
    for (const route of ["/api/chat", "/v1/chat/completions", "/v1/messages", "/v1/embeddings"]) {
      expect(codeFor(JSON.stringify({ model }), ANY, route)).toBe("cloud_model_not_allowed");
    }
    expect(codeFor(JSON.stringify({ name: model }), ANY, "/api/show")).toBe("cloud_model_not_allowed");
    expect(codeFor(JSON.stringify({ model: "a", Model: model }))).toBe("body_ambiguous");
    expect(codeFor(JSON.stringify({ model }), { kind: "openai" }, "/v1/messages")).toBe("ok");
    expect(codeFor(JSON.stringify({ model }), { kind: "ollama", allowed: [model] })).toBe("ok");
  });
  test("a local model whose name only contains the word is taken", () => {
    for (const model of ["cloud", "cloudy:7b", "cloud-coder:latest"])
      expect(codeFor(JSON.stringify({ model }))).toBe("ok");
  });
});
