/**
 * Ollama's own clients, npm's and PyPI's, through the emulated edge, Access and the real cloudflared, with the emulated Ollama.
 * The versions are those of package.json and test/e2e/callers/requirements.txt.
 */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Ollama } from "ollama";
import { expect, onTestFinished, test } from "vitest";
import { z } from "zod";
import { CLIENTS, snippetOf } from "../../../../../commands/callers/snippets.ts";
import { OLLAMA_VERSION } from "../../../../../sandbox/model/ollama.ts";
import { type ModelServerRequests, startModelServer } from "../../../../../sandbox/model/server.ts";
import { runCaller, writeCallers } from "../../../../e2e/callers.ts";
import { SERVICE_TOKEN, TOKEN_HEADERS, throughTunnel } from "../../through-tunnel.ts";
import { CALLS } from "./calls.ts";

const outcomeSchema = z.object({
  name: z.string(),
  value: z.unknown().optional(),
  error: z.string().optional(),
  status: z.number().optional(),
});
type Outcome = z.infer<typeof outcomeSchema>;
/** What npm's client throws; its package does not export the type. */
type ResponseError = Error & { error: unknown; status_code: number };

const HELLO = "받은 말: 안녕하세요";
/** What both clients must give. */
const EXPECTED: Readonly<Record<string, unknown>> = {
  chat: HELLO,
  "chat, streamed": HELLO,
  "chat, async": HELLO,
  generate: "받은 말: 안녕",
  "generate, streamed": "받은 말: 안녕",
  embed: [1024, 1024],
  "embed in fewer dimensions": [16],
  embeddings: 1024,
  list: ["slm-ko:latest", "bge-m3:latest"],
  ps: ["bge-m3:latest", "slm-ko:latest"],
  show: ["completion", "tools", "vision", "thinking"],
  version: OLLAMA_VERSION,
  tools: ["weather", "받은 말: weather 서울: 맑음"],
  images: "받은 말: [그림 8 B]뭐가 보여?",
  "generate with an image": "받은 말: [그림 8 B]뭐가 보여?",
  thinking: ["음…", HELLO],
  "thinking, streamed": "음…",
  format: { 요약: "안녕하세요", 수: 5 },
  "format, streamed": { 요약: "가", 수: 1 },
  options: "받은 ",
  "keep alive": HELLO,
};

/** What both must refuse: the status, and what the client's error says. */
const REFUSED: Readonly<Record<string, readonly [status: number, message: RegExp]>> = {
  unload: [403, /^keep_alive 0(?:\.0)? would unload the model/], // PyPI's writes 0.0,
  "load options": [403, /^options\.num_ctx 131072 would load the model again/],
  "unknown model": [404, /^model "nothing" not found$/],
  "unknown model, streamed": [404, /^model "nothing" not found$/],
  pull: [404, /^This path is not served\. Served are: /],
  "pull, streamed": [404, /^This path is not served\. Served are: /],
  push: [404, /^This path is not served\. Served are: /],
  create: [404, /^This path is not served\. Served are: /],
  copy: [404, /^This path is not served\. Served are: /],
  delete: [404, /^This path is not served\. Served are: /],
};

async function start() {
  const model = await startModelServer({ port: 0, log: () => {}, tokensPerSecond: 500, firstTokenMs: 1 });
  onTestFinished(() => model.close());
  const { edge } = await throughTunnel(model.url);
  const requests = async () => (await (await fetch(`${model.url}/sandbox/requests`)).json()) as ModelServerRequests;
  return { url: edge.url, requests };
}

function judge(outcomes: readonly Outcome[]): void {
  const of = new Map(outcomes.map((outcome) => [outcome.name, outcome]));
  for (const [name, value] of Object.entries(EXPECTED)) {
    if (of.has(name)) expect({ name, ...of.get(name) }).toEqual({ name, value });
  }
  for (const [name, [status, message]] of Object.entries(REFUSED)) {
    expect({ name, ...of.get(name) }).toEqual({ name, status, error: expect.stringMatching(message) as unknown });
  }
  // Leaving in the middle of a stream: the first token, and the model server's slot is free again.
  expect(of.get("left")).toEqual({ name: "left", value: "받은 " });
  const known = new Set([...Object.keys(EXPECTED), ...Object.keys(REFUSED), "left"]);
  expect(outcomes.map(({ name }) => name).filter((name) => !known.has(name))).toEqual([]);
}

test("npm's client: every call of it", async () => {
  const { url, requests } = await start();
  const client = new Ollama({ host: url, headers: TOKEN_HEADERS });
  const outcomes: Outcome[] = [];
  for (const [name, call] of Object.entries(CALLS)) {
    const outcome = await call(client).then(
      (value): Outcome => ({ name, value }),
      // `message` is what a person sees, `error` what the client read from the answer.
      ({ message, error, status_code: status }: ResponseError): Outcome => ({
        name,
        error: message === error ? message : `${message} ${JSON.stringify(error)}`,
        status,
      }),
    );
    outcomes.push(outcome);
  }
  judge(outcomes);
  expect(outcomes.filter(({ name }) => name in EXPECTED)).toHaveLength(Object.keys(EXPECTED).length - 1); // "chat, async"
  await expect.poll(requests, { timeout: 20_000 }).toMatchObject({ active: 0, waiting: 0, cancelled: 1 });
}, 120_000);

test("PyPI's client: every call of it", async () => {
  const { url, requests } = await start();
  const folder = await mkdtemp(join(tmpdir(), "slm-ollama-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  await writeCallers(new Map([["calls.py", await readFile(join(import.meta.dirname, "calls.py"), "utf8")]]), folder);
  const ran = await runCaller(folder, "calls.py", {
    SLM_URL: url,
    SLM_CLIENT_ID: SERVICE_TOKEN.clientId,
    SLM_CLIENT_SECRET: SERVICE_TOKEN.clientSecret,
  });
  expect(ran.code, ran.stderr).toBe(0);
  const outcomes = ran.stdout
    .trim()
    .split("\n")
    .map((line) => outcomeSchema.parse(JSON.parse(line)));
  judge(outcomes);
  expect(outcomes.filter(({ name }) => name in EXPECTED)).toHaveLength(Object.keys(EXPECTED).length - 1); // "version"
  await expect.poll(requests, { timeout: 20_000 }).toMatchObject({ active: 0, waiting: 0, cancelled: 1 });
}, 600_000);

test("the token's two headers are what counts: without them Access refuses, with an Authorization besides they pass", async () => {
  const { url, requests } = await start();
  const list = (headers: Record<string, string>) => new Ollama({ host: url, headers }).list();
  await expect(list({})).rejects.toMatchObject({ status_code: 403 });
  await expect(list({ ...TOKEN_HEADERS, "CF-Access-Client-Secret": "wrong" })).rejects.toMatchObject({
    status_code: 403,
  });
  // `OLLAMA_API_KEY` becomes `Authorization: Bearer …` in both clients: a key of another server, which the relay drops.
  const client = new Ollama({ host: url, headers: { ...TOKEN_HEADERS, Authorization: "Bearer of-another-server" } });
  expect(
    (await client.chat({ model: "slm-ko", messages: [{ role: "user", content: "안녕하세요" }] })).message.content,
  ).toBe(HELLO);
  const [seen] = (await requests()).last;
  expect(seen?.headerNames).not.toContain("authorization");
  expect(seen?.headerNames.filter((name) => name.startsWith("cf-"))).toEqual([]);
});

test("what `npm run callers` prints for them runs as printed, with no environment", async () => {
  const { url } = await start();
  const folder = await mkdtemp(join(tmpdir(), "slm-ollama-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const clients = CLIENTS.filter(({ path }) => path === "/api/chat");
  expect(clients.map(({ name }) => name)).toEqual(["ollama-python", "ollama-javascript"]);
  const values = { url, model: "slm-ko", embeddingModel: "bge-m3", ...SERVICE_TOKEN, singleHeader: undefined };
  await writeCallers(new Map(clients.map((client) => [client.template, snippetOf(client, values)])), folder);
  for (const { template } of clients) {
    const ran = await runCaller(folder, template, {});
    expect([template, ran.code, ran.stdout, ran.stderr]).toEqual([template, 0, "받은 말: 계약서를 요약해 주세요.", ""]);
  }
}, 600_000);
