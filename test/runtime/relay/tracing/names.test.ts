/** The names in traces are those of the conventions. */
import * as conventions from "@opentelemetry/semantic-conventions/incubating";
import { describe, expect, it } from "vitest";
import { DIALECTS } from "../../../../runtime/relay/dialects/dialects.ts";
import { modelIn } from "../../../../runtime/relay/tracing/answer-facts.ts";
import { ATTRIBUTES, methodName, OWN, operationOf } from "../../../../runtime/relay/tracing/names.ts";

describe("names of traces", () => {
  it.each(Object.entries(ATTRIBUTES))("%s is %s in the conventions", (key, name) => {
    expect((conventions as Record<string, unknown>)[`ATTR_${key}`]).toBe(name);
  });

  it("of our own have a prefix of their own", () => {
    for (const name of Object.values(OWN)) expect(name).toMatch(/^slm\.[a-z.]+$/);
  });

  it("every path that takes a slot has an operation", () => {
    const routes = DIALECTS.flatMap(({ routes: all }) => all);
    const queued = routes.flatMap((route) => (route.kind === "model" && route.queue !== undefined ? [route.name] : []));
    expect(queued.length).toBeGreaterThan(8);
    for (const name of queued)
      expect(operationOf(`${name}?a=b`), name).toMatch(/^(chat|text_completion|embeddings|rerank)$/);
    expect(operationOf("/v1/models")).toBeUndefined();
  });

  it("a method that callers invent is not a name", () => {
    expect(methodName("POST")).toBe("POST");
    expect(methodName("BREW")).toBe("_OTHER");
  });

  it("the model of a job is read at the edges of its body, as a key, never from a text", () => {
    const text = "x".repeat(5000);
    expect(modelIn(Buffer.from(JSON.stringify({ prompt: text, model: "last" })))).toBe("last");
    expect(modelIn(Buffer.from(JSON.stringify({ model: "first", prompt: text })))).toBe("first");
    expect(modelIn(Buffer.from(JSON.stringify({ prompt: '"model":"from a text"' })))).toBeUndefined();
    expect(modelIn(Buffer.from('{"model":"with a space"}'))).toBeUndefined();
    expect(modelIn(null)).toBeUndefined();
  });
});
