/** The emulator against recordings of the real Ollama: status, headers, framing, and the form of every answer. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CHAT_MODEL, EMBEDDING_MODEL } from "../../../../sandbox/model/models.ts";
import { type ModelServer, type ModelServerRequests, startModelServer } from "../../../../sandbox/model/server.ts";
import { LLAMA_CASES, OLLAMA_CASES, OPENAI_CASES } from "./cases.ts";
import { exchange } from "./exchange.ts";
import { formOf, streamForm } from "./form.ts";
import { readRecording } from "./recording.ts";

/** What the emulator does not have in common with the recorded server, and why. */
const DECLARED: Readonly<Record<string, string>> = {
  "embedding of an empty text":
    "the recorded model is a chat model, which has no token for nothing; the emulator's embeds",
};

let server: ModelServer;
beforeAll(async () => {
  server = await startModelServer({ port: 0, log: () => {}, tokensPerSecond: 500, firstTokenMs: 1 });
});
afterAll(() => server.close());

describe("the emulator, compared with the recorded Ollama", () => {
  const recording = readRecording("ollama");

  it("has a recording of each case, dated, of the version that the sandbox builds", () => {
    expect(Object.keys(recording.exchanges).sort()).toEqual(
      [...OPENAI_CASES, ...OLLAMA_CASES].map(({ name }) => name).sort(),
    );
    expect(recording.date).toMatch(/^\d{4}-\d\d-\d\d$/);
    expect(recording.version).toBe("0.17.4");
  });

  it.each([...OPENAI_CASES, ...OLLAMA_CASES].filter(({ name }) => !(name in DECLARED)))(
    "answers alike: $name",
    async (one) => {
      const got = await exchange(server.url, one, { chat: CHAT_MODEL, embed: EMBEDDING_MODEL });
      expect(got).toEqual(recording.exchanges[one.name]);
    },
  );

  it("frees the slot of a caller who left", async () => {
    const left = [...OPENAI_CASES, ...OLLAMA_CASES].filter(({ leaves }) => leaves);
    expect(left).toHaveLength(2);
    const long = JSON.stringify({
      ...(left[0]!.body as object),
      model: CHAT_MODEL,
      messages: [{ role: "user", content: "a".repeat(9000) }],
    });
    await exchange(server.url, { ...left[0]!, body: long }, { chat: CHAT_MODEL, embed: EMBEDDING_MODEL });
    await expect
      .poll(
        async () => ((await (await fetch(`${server.url}/sandbox/requests`)).json()) as ModelServerRequests).active,
        { timeout: 5000 },
      )
      .toBe(0);
  });
});

describe("the recordings of llama-server", () => {
  const recording = readRecording("llama-server");

  it("have each case", () => {
    expect(Object.keys(recording.exchanges).sort()).toEqual(
      [...OPENAI_CASES, ...LLAMA_CASES].map(({ name }) => name).sort(),
    );
  });
});

describe("forms", () => {
  it("keep fields, types and the protocol's words, and no values", () => {
    expect(
      formOf({
        object: "list",
        data: [
          { id: "a", n: 1 },
          { id: "b", n: 2 },
        ],
        error: null,
      }),
    ).toEqual({
      data: [{ id: "string", n: "number" }],
      error: "null",
      object: '"list"',
    });
    expect(formOf({ finish_reason: "length" })).toEqual(formOf({ finish_reason: "stop" }));
    expect(formOf({ finish_reason: null })).not.toEqual(formOf({ finish_reason: "stop" }));
  });

  it("tell pieces of one form once", () => {
    expect(streamForm('data: {"a":1}\n\ndata: {"a":2}\n\ndata: [DONE]\n\n')).toEqual([
      { data: { a: "number" } },
      { data: "[DONE]" },
    ]);
    expect(streamForm('{"a":1}\n{"a":1,"done":true}\n')).toEqual([{ a: "number" }, { a: "number", done: "true" }]);
  });
});
