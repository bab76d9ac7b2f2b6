import { describe, expect, test } from "vitest";
import { checkBody, parseGoDuration, topLevelKeys } from "../../../runtime/relay/body-rules.ts";
import { RelayError } from "../../../runtime/relay/errors.ts";

const ANY = { kind: "ollama" } as const;

function codeFor(body: string, model: Parameters<typeof checkBody>[2] = ANY, route = "/api/chat"): string {
  try {
    checkBody(Buffer.from(body), route, model);
    return "ok";
  } catch (error) {
    return error instanceof RelayError ? error.code : String(error);
  }
}

describe("keep_alive", () => {
  test.each([
    "0",
    "59.9",
    "-0",
    '"0"',
    '"0s"',
    '"59s"',
    '"-0s"',
    '"-0.1ns"',
    '"-0.6ns0.6ns"',
    '"59999ms"',
    '"soon"',
    '""',
    "{}",
    "true",
    "1e300",
  ])("refuses %s", (value) => expect(codeFor(`{"model":"m","keep_alive":${value}}`)).toBe("keep_alive_not_allowed"));
  test.each(["60", "-1", "-0.5", '"1m"', '"5m"', '"-1s"', '"1h30m"', '"60000ms"', "null", "3600"])(
    "takes %s",
    (value) => expect(codeFor(`{"model":"m","keep_alive":${value}}`)).toBe("ok"),
  );
  test.each(["KEEP_ALIVE", "Keep_Alive", "keep\\u005falive", "\u212Aeep_alive"])("sees it written as %s", (key) =>
    expect(codeFor(`{"${key}":0}`)).toBe("keep_alive_not_allowed"),
  );
  test("leaves the same key further inside alone", () => {
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
    expect(() => checkBody(Buffer.from('{"model":"x"}'), "/api/chat", some)).toThrow(/"x".*llama3, host:5000\/qwen:7b/);
  });
  test("looks at `name` for /api/show, and only there", () => {
    expect(codeFor('{"name":"other"}', some, "/api/show")).toBe("model_not_allowed");
    expect(codeFor('{"name":"llama3"}', some, "/api/show")).toBe("ok");
    expect(codeFor('{"model":"llama3","name":"other"}', some, "/api/show")).toBe("model_not_allowed");
    expect(codeFor('{"model":"llama3","name":"other"}', some, "/api/chat")).toBe("ok");
  });
  test("adds no tag for servers other than Ollama", () => {
    expect(codeFor('{"model":"a:latest"}', { kind: "openai", allowed: ["a"] })).toBe("model_not_allowed");
  });
});

test.each(["", "{", "[]", '"text"', "null", '{"a":1} {"b":2}', "\uFEFF{}"])("a body of %j is not taken", (body) => {
  expect(codeFor(body)).toBe("body_not_json");
});

test("topLevelKeys gives the outer keys only, repeated ones too", () => {
  const json = String.raw`{"a":"b\\","c":{"d":[{"e":1}]},"f\"":["g"],"a":"\\\"h:","i" : "}"}`;
  expect(topLevelKeys(json)).toEqual(["a", "c", 'f"', "a", "i"]);
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
