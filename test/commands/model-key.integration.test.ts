/** A model server that wants a key: how init asks for it, what preflight and the doctor say. The Mac's curl and Node are this machine's. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { modelProbe, repeatedPrompts, reproducibleVectors } from "../../commands/doctor/checks/model-probe.ts";
import { MODEL_KEY_VARIABLE, unlock } from "../../commands/init/model-key.ts";
import { modelServerAt } from "../../commands/init/model-server.ts";
import { type Asker, asker } from "../../commands/init/prompts.ts";
import { askModelServer } from "../../commands/model-request.ts";
import { model as checkModel } from "../../commands/preflight/mac.ts";
import { limitsSchema } from "../../runtime/limits-config.ts";
import { startModelServer } from "../../sandbox/model/server.ts";
import type { CommandResult, MacSession } from "../../ssh/session.ts";
import { evaluate } from "./doctor/evaluate.ts";

const KEY = 'llama"key\\1$%';
const commands: string[][] = [];
/** Runs commands on this machine. */
const session: MacSession = {
  async run(command, { stdin = "" } = {}): Promise<CommandResult> {
    const [program = "", ...args] = typeof command === "string" ? ["/bin/sh", "-c", command] : command;
    commands.push([program, ...args]);
    const child = spawn(program, args, { stdio: "pipe" });
    child.stdin.on("error", () => {}).end(stdin);
    const [stdout, stderr, [exitCode]] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, "close") as Promise<[number]>,
    ]);
    return { exitCode, stdout, stderr };
  },
  checkSudo: () => Promise.resolve(),
  forward: () => Promise.reject(new Error("not here")),
  close: () => Promise.resolve(),
};

/** As llama-server with `--api-key`. */
async function locked(): Promise<string> {
  const server = await startModelServer({
    port: 0,
    log: () => {},
    plays: "llama-server",
    apiKey: KEY,
    slots: 2,
    promptPool: true,
  });
  onTestFinished(() => server.close());
  return server.url;
}

/** Lists its models without a key, and wants one to compute, as other versions of llama-server do. */
async function lockedHalf(): Promise<string> {
  const server = createServer((request, response) => {
    const isOpen = request.url === "/v1/models" || request.headers.authorization === `Bearer ${KEY}`;
    const json = (status: number, value: unknown) =>
      response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(value));
    request.resume().on("end", () => {
      if (!isOpen) return void json(401, { error: { message: "Invalid API Key", code: 401 } });
      if (request.url === "/v1/models") return void json(200, { data: [{ id: "e5" }] });
      json(request.url === "/v1/embeddings" ? 400 : 404, { error: { message: "input is missing" } });
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const says: string[] = [];
const about = (who: Partial<Asker>, stored?: string) => ({
  asker: { ...asker(false), ...who },
  say: (line: string) => void says.push(line),
  storedKey: () => Promise.resolve(stored),
});
/** Answers with these keys, one after the other. */
const person = (...keys: string[]): Partial<Asker> => ({
  asks: true,
  secret: () => Promise.resolve(keys.shift() ?? ""),
});

afterEach(() => {
  vi.unstubAllEnvs();
  // Arguments show in `ps`.
  expect(commands.flat().filter((argument) => argument.includes(KEY))).toEqual([]);
  commands.length = 0;
  says.length = 0;
});

describe.each([
  ["a server that wants its key everywhere", locked],
  ["a server whose list of models is open", lockedHalf],
])("%s", (_what, start) => {
  test("init: found as locked, opened by the person's key at the second try", async () => {
    const url = await start();
    expect(await modelServerAt(session, url)).toEqual({ url, isLocked: true });
    const { server, newKey } = (await unlock(session, url, about(person("wrong", "with a blank", KEY))))!;
    expect([server.kind, server.key, newKey]).toEqual(["openai", KEY, KEY]);
    expect(says.join("\n")).toMatch(/wants a key[\s\S]*refuses that key[\s\S]*no spaces/);
  });

  test("init: the stack's own key is not asked for and not stored again; a key from the environment is", async () => {
    const url = await start();
    expect((await unlock(session, url, about({}, KEY)))?.newKey).toBeUndefined();
    vi.stubEnv(MODEL_KEY_VARIABLE, KEY);
    expect((await unlock(session, url, about({}, "an old one")))?.newKey).toBe(KEY);
  });

  test("init: without anybody to ask it says how to give the key", async () => {
    const url = await start();
    vi.stubEnv(MODEL_KEY_VARIABLE, "wrong");
    expect(await unlock(session, url, about({}))).toBeUndefined();
    expect(says.join("\n")).toMatch(/refuses the key in SLM_NETWORK_MODEL_KEY[\s\S]*config set --secret modelKey/);
  });

  test("preflight: 401 without the key or with a wrong one, and in order with the right one", async () => {
    const url = await start();
    const { body } = (await askModelServer(session, `${url}/v1/models`, { key: KEY })) as { body: string };
    const [{ id }] = (JSON.parse(body) as { data: [{ id: string }] }).data;
    const wanted = (modelKey?: string) => ({
      target: { host: "mac", port: 22, user: "deploy", hostKey: "" },
      model: { kind: "openai" as const, url, embeddingModel: id },
      modelKey,
      jobs: { minFreeMiB: 0 },
    });
    const without = await checkModel(session, wanted());
    expect(without).toMatchObject({
      id: "mac.model",
      level: "fail",
      todo: expect.stringContaining("modelKey") as unknown,
    });
    expect(without.says).toContain("wants a key");
    expect((await checkModel(session, wanted("wrong"))).says).toContain("refuses modelKey");
    expect(await checkModel(session, wanted(KEY))).toMatchObject({ level: "ok" });
  });
});

test("the doctor's probe sends the installed key, and says 401 where it has none", { timeout: 60_000 }, async () => {
  const url = await locked();
  const folder = await mkdtemp(join(tmpdir(), "slm-key-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const secrets = join(folder, "secrets.json");
  await writeFile(secrets, JSON.stringify({ modelKey: KEY }));
  const limits = limitsSchema.parse({ chat: 2 });
  const found = async (...file: string[]) => {
    const settings = { model: { kind: "openai" as const, url, embeddingModel: "slm-ko:latest" }, limits };
    const probe = await session.run(modelProbe(`'${process.execPath}'`, settings, ...file));
    return [evaluate(repeatedPrompts, { probe }), evaluate(reproducibleVectors, { probe })];
  };
  expect(await found(secrets)).toMatchObject([
    { level: "ok" },
    { level: "ok", found: expect.stringContaining("cosine") as unknown },
  ]);
  for (const result of await found())
    expect(result).toMatchObject({ level: "fail", found: expect.stringContaining("401") as unknown });
});

test("preflight: models of Ollama's cloud are named, with how to remove them", async () => {
  const list = {
    models: [
      { name: "bge-m3:latest" },
      { name: "gpt-oss:120b-cloud" },
      { name: "mine:latest", remote_host: "https://ollama.com" },
    ],
  };
  const server = createServer((_request, response) => response.end(JSON.stringify(list))).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const finding = await checkModel(session, {
    target: { host: "mac", port: 22, user: "deploy", hostKey: "" },
    model: { kind: "ollama", url, embeddingModel: "bge-m3" },
    jobs: { minFreeMiB: 0 },
  });
  expect(finding).toMatchObject({
    id: "mac.model",
    level: "warn",
    todo: expect.stringContaining("OLLAMA_NO_CLOUD=1") as unknown,
  });
  expect(finding.says).toContain("gpt-oss:120b-cloud, mine:latest");
});
