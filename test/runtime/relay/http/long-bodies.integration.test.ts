/** Nothing over 1 MiB is parsed, built or matched at once on the main thread. */
import { Hash } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startEmbeddingModel } from "../documents/model.ts";
import { at, startDocumentsRelay } from "../documents/relays.ts";
import { asServer, codeOf, post, startModel, startTestRelay, type TestRelay } from "../harness.ts";

const MIB = 1024 * 1024;

interface Long {
  readonly what: string;
  readonly length: number;
}

const TESTS = /[\\/]test[\\/]runtime[\\/]/;
let restore: (() => void)[] = [];
let found: Long[] = [];

/** Records the arguments and results of a method, unless the test itself called it. */
// biome-ignore lint/suspicious/noExplicitAny: any platform function
function watch(owner: any, name: string, lengthOf: (args: unknown[], self: unknown, result: unknown) => number): void {
  const original = owner[name] as (...args: unknown[]) => unknown;
  owner[name] = function (this: unknown, ...args: unknown[]): unknown {
    const result = original.apply(this, args);
    const length = lengthOf(args, this, result);
    if (length > MIB) {
      const callers = (new Error("here").stack ?? "").split("\n").slice(2);
      if (!callers.some((line) => TESTS.test(line))) found.push({ what: `${name} ${callers.join(" ")}`, length });
    }
    return result;
  };
  restore.push(() => {
    owner[name] = original;
  });
}

const lengthOfText = (value: unknown): number => (typeof value === "string" ? value.length : 0);
const lengthOfBytes = (value: unknown): number => (value instanceof Uint8Array ? value.length : lengthOfText(value));

beforeEach(() => {
  found = [];
  watch(JSON, "parse", ([text]) => lengthOfText(text));
  watch(JSON, "stringify", (_args, _self, result) => lengthOfText(result));
  watch(Buffer.prototype, "toString", (_args, _self, result) => lengthOfText(result));
  watch(Buffer, "from", ([value]) => lengthOfText(value));
  watch(TextDecoder.prototype, "decode", (_args, _self, result) => lengthOfText(result));
  watch(String.prototype, "normalize", (_args, self) => lengthOfText(String(self)));
  watch(RegExp.prototype, "exec", ([text]) => lengthOfText(text));
  watch(RegExp.prototype, "test", ([text]) => lengthOfText(text));
  watch(Hash.prototype, "update", ([data]) => lengthOfBytes(data));
});

afterEach(() => {
  for (const undo of restore) undo();
  restore = [];
});

const LONG = 5 * MIB;
const TEXT = "x".repeat(LONG);
const limits = { chat: 4, embeddings: 2, waiting: 256, waitSeconds: 60, bodyMiB: 64, whenBusy: "queue" } as const;

/** The bytes of an answer, not decoded. */
async function bytesOf(response: Response): Promise<number> {
  return (await response.arrayBuffer()).byteLength;
}

/** Waits for a job. */
async function finished(relay: TestRelay, id: string): Promise<void> {
  const answer = await fetch(`${relay.url}/v1/jobs/${id}`, { headers: { ...asServer, Prefer: "wait=20" } });
  expect(await answer.json()).toMatchObject({ state: "completed" });
}

describe("a long body:", () => {
  it.each([
    ["a string", `{"model":"m","messages":"${TEXT}"}`],
    ["a tree", `{"model":"m","messages":[${"[[{}]],".repeat(LONG / 7)}0]}`],
    ["keys", `{${'"a":1,'.repeat(LONG / 6)}"model":"m"}`],
    ["a duration", `{"model":"m","messages":[],"a":"${TEXT}"}`],
  ])("a chat of %s is passed on as it is", async (_what, text) => {
    const model = await startModel();
    const relay = await startTestRelay(model.url, { limits });
    const body = Buffer.from(text);
    const answer = await post(relay, "/v1/chat/completions", body);
    expect([answer.status, await bytesOf(answer)]).toEqual([200, body.length]);
    expect(model.seen.at(-1)?.body.equals(body)).toBe(true);
    expect(found).toEqual([]);
  });

  it.each([
    ["model_not_allowed", `{"model":"${TEXT}"}`],
    ["keep_alive_invalid", `{"model":"m","keep_alive":"${"1".repeat(LONG)}"}`],
    ["body_too_deep", `{"model":"m","a":${"[".repeat(LONG)}`],
    ["body_not_json", `{"model":"m","a":"${TEXT}`],
  ])("a chat, refused: %s", async (code, text) => {
    const model = await startModel();
    const config = { kind: "ollama" as const, url: model.url, embeddingModel: "e", allowed: ["m"] };
    const relay = await startTestRelay(model.url, { limits, model: config });
    expect(await codeOf(await post(relay, "/api/chat", Buffer.from(text)))).toBe(code);
    expect(model.seen).toEqual([]);
    expect(found).toEqual([]);
  });

  it("a job, a call with a key and a background response, with equally long answers", async () => {
    const said = Buffer.from(`{"id":"theirs","object":"response","output":"${TEXT}","background":null}`);
    const model = await startModel((_seen, res) =>
      res.writeHead(200, { "content-type": "application/json" }).end(said),
    );
    const relay = await startTestRelay(model.url, { limits });
    const body = Buffer.from(`{"model":"m","background":true,"instructions":"${TEXT}","input":"가"}`);

    const job = await post(relay, "/v1/chat/completions", body, { headers: { Prefer: "respond-async" } });
    const { id } = (await job.json()) as { id: string };
    await finished(relay, id);
    const result = await fetch(`${relay.url}/v1/jobs/${id}/result`, { headers: asServer });
    expect(await bytesOf(result)).toBe(said.length);

    const keyed = await post(relay, "/v1/chat/completions", body, { headers: { "Idempotency-Key": "k" } });
    expect(await bytesOf(keyed)).toBe(said.length);

    const begun = await post(relay, "/v1/responses", body);
    const response = (await begun.json()) as { id: string; instructions: unknown };
    // Too long to be repeated in the Response object.
    expect(response.instructions).toBeNull();
    expect(response.id).toMatch(/^resp_/);
    await finished(relay, response.id.replace("resp_", "job_"));
    const whole = await fetch(`${relay.url}/v1/responses/${response.id}`, { headers: asServer });
    const bytes = Buffer.from(await whole.arrayBuffer());
    const head = `{"id":"${response.id}","background":true,`;
    expect(bytes.subarray(0, head.length).toString()).toBe(head);
    const rest = Buffer.from(`"object":"response","output":"${TEXT}"}`);
    expect(bytes.subarray(head.length).equals(rest)).toBe(true);
    // The model server got it without `background`, otherwise unchanged.
    expect(model.seen.at(-1)?.body.equals(Buffer.from(body.toString().replace('"background":true,', "")))).toBe(true);
    expect(found).toEqual([]);
  });

  it("a call that goes to the fallback server under another model's name", async () => {
    const other = await startModel();
    const gone = await startModel();
    await gone.close();
    const fallback = { url: other.url, companies: ["*"], model: "theirs" };
    const relay = await startTestRelay(gone.url, { limits, fallback });
    const answer = await post(relay, "/v1/chat/completions", Buffer.from(`{"a": "${TEXT}" , "MODEL":"m"}`));
    expect(answer.status).toBe(200);
    const expected = Buffer.from(`{"a": "${TEXT}" , "MODEL":"theirs"}`);
    expect(other.seen[0]?.body.equals(expected)).toBe(true);
    expect(found).toEqual([]);
  });

  it("documents: put, fetched, searched and embedded, with long answers of the model server", async () => {
    const model = await startEmbeddingModel();
    model.pad = 2 * MIB;
    const relay = await startDocumentsRelay(model.url, { changes: { limits } });
    const path = at("A", "long", { include: "chunks,vectors", encoding: "float" });
    const send = (method: string, target: string, text: string, headers: Record<string, string> = {}) =>
      fetch(relay.url + target, { method, body: Buffer.from(text), headers: { ...asServer, ...headers } });

    const put = await send("PUT", path, `{"chunks":["${TEXT}","가"]}`);
    expect([put.status, (await bytesOf(put)) > LONG]).toEqual([201, true]);
    const got = Buffer.from(await (await fetch(relay.url + path, { headers: asServer })).arrayBuffer());
    expect(got.includes(`"data":[{"index":0,"text":"${"x".repeat(1000)}`)).toBe(true);
    expect(got.subarray(-3).toString()).toBe("}]}");
    const followed = await send("PUT", path, `{"chunks":["${TEXT}","나"]}`, { Accept: "text/event-stream" });
    expect([followed.status, (await bytesOf(followed)) > LONG]).toEqual([200, true]);

    const query = `{"company":"A","title":"long","query":"나","k":2${" ".repeat(LONG)}}`;
    const near = await send("POST", "/v1/documents/search", query);
    expect([near.status, (await bytesOf(near)) > LONG]).toEqual([200, true]);
    const names = { "Slm-Company": "A", "Slm-Document": "other" };
    const made = await send("POST", "/v1/embeddings", `{"model":"embed","input":["${TEXT}","a"]}`, names);
    expect([made.status, made.headers.get("slm-embedded")]).toEqual([200, "2"]);
    await made.arrayBuffer();
    expect(found).toEqual([]);
  });

  const PUT = "PUT /v1/documents?company=A&title=t";
  const SEARCH = "POST /v1/documents/search";
  const EMBED = "POST /v1/embeddings";
  it.each([
    [PUT, "a text", "document_too_large", `{"text":"${"가 나. ".repeat(3 * MIB)}"}`],
    [PUT, "numbers for chunks", "document_invalid", `{"chunks":[${"0,".repeat(LONG)}0]}`],
    [PUT, "nesting", "body_too_deep", `{"chunks":[${"[".repeat(LONG)}`],
    [PUT, "a version", "document_invalid", `{"text":"a","version":"${TEXT}"}`],
    [SEARCH, "base64", "document_invalid", `{"company":"A","title":"t","vector":"${"AAAA".repeat(LONG)}"}`],
    [SEARCH, "marks", "document_name_invalid", `{"company":"A","title":"${"\u0301\u0327".repeat(LONG)}","query":"a"}`],
    [EMBED, "an input", "document_too_large", `{"model":"embed","input":["${TEXT}${TEXT}${TEXT}"]}`],
    [EMBED, "arrays for inputs", "document_invalid", `{"model":"embed","input":[${"[1],".repeat(LONG)}1]}`],
  ])("%s, refused: %s as long gives %s", async (target, _what, code, text) => {
    const [method, path] = target.split(" ") as [string, string];
    const model = await startEmbeddingModel();
    const relay = await startDocumentsRelay(model.url, { changes: { limits } });
    const names: Record<string, string> = target === EMBED ? { "Slm-Company": "A", "Slm-Document": "t" } : {};
    const headers = { ...asServer, ...names };
    const answer = await fetch(relay.url + path, { method, body: Buffer.from(text), headers });
    expect(await codeOf(answer)).toBe(code);
    expect(model.calls).toEqual([]);
    expect(found).toEqual([]);
  });
});
