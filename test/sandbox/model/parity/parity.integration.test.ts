/** The emulator against recordings of the real servers: status, headers, framing, and the form of every answer. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CHAT_MODEL, EMBEDDING_MODEL } from "../../../../sandbox/model/models.ts";
import { type ModelServer, type ModelServerRequests, startModelServer } from "../../../../sandbox/model/server.ts";
import { LLAMA_CASES, OLLAMA_CASES, OPENAI_CASES } from "./cases.ts";
import { exchange } from "./exchange.ts";
import { formOf, streamForm } from "./form.ts";
import { readRecording } from "./recording.ts";

/** What the emulator does not have in common with the recorded server, and why. */
const DECLARED: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  ollama: {
    "embedding of an empty text":
      "the recorded model is a chat model, which has no token for nothing; the emulator's embeds",
  },
  "llama-server": {
    "GET /props": "dozens of settings; the emulator has those that are read: total_slots, model_alias, build_info",
    "GET /slots": "the same: id, is_processing, n_ctx",
  },
};

const servers = [
  { server: "ollama", version: "0.17.4", cases: [...OPENAI_CASES, ...OLLAMA_CASES] },
  { server: "llama-server", version: "11434", cases: [...OPENAI_CASES, ...LLAMA_CASES] },
] as const;

describe.each(servers)("the emulator, compared with the recorded $server", ({ server, version, cases }) => {
  const recording = readRecording(server);
  const declared = DECLARED[server] ?? {};
  let emulator: ModelServer;
  beforeAll(async () => {
    emulator = await startModelServer({ port: 0, log: () => {}, tokensPerSecond: 500, firstTokenMs: 1, plays: server });
  });
  afterAll(() => emulator.close());
  const models = { chat: CHAT_MODEL, embed: EMBEDDING_MODEL };

  it("has a recording of each case, dated, of the version that the sandbox builds", () => {
    expect(Object.keys(recording.exchanges).sort()).toEqual(cases.map(({ name }) => name).sort());
    expect(recording.date).toMatch(/^\d{4}-\d\d-\d\d$/);
    expect(recording.version).toBe(version);
    for (const name of Object.keys(declared)) expect(cases.map((one) => one.name)).toContain(name);
  });

  it.each(cases.filter(({ name }) => !(name in declared)))("answers alike: $name", async (one) => {
    expect(await exchange(emulator.url, one, models)).toEqual(recording.exchanges[one.name]);
  });

  it("frees the slot of a caller who left", async () => {
    const left = cases.find(({ leaves }) => leaves)!;
    const messages = [{ role: "user", content: "a".repeat(9000) }];
    await exchange(emulator.url, { ...left, body: { ...(left.body as object), messages, max_tokens: 3000 } }, models);
    const active = async () =>
      ((await (await fetch(`${emulator.url}/sandbox/requests`)).json()) as ModelServerRequests).active;
    await expect.poll(active, { timeout: 5000 }).toBe(0);
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
