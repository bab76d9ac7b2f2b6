/**
 * No secret of the relay and no token of a caller comes out of it: not in its log, metrics, errors, status or description, not
 * on its command line or environment, not when it fails or crashes. Elsewhere: files, plists and the process list of the Mac
 * (`test/runtime/installer/install.integration.test.ts`), Pulumi's state and output (`test/e2e/main-job.test.ts`), settings
 * that cannot be read (`test/runtime/relay/settings.test.ts`).
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { freePorts } from "../child.ts";
import {
  asPerson,
  asServer,
  CLIENT_ID,
  post,
  raw,
  serverToken,
  startModel,
  startTestRelay,
  temporaryFolder,
  testConfig,
} from "../harness.ts";

const SECRETS = {
  mongodbUri: "mongodb://relay-user:hunter2-mongo@127.0.0.1:9/slm?serverSelectionTimeoutMS=300",
  fallbackKey: "sk-hunter2-fallback",
  modelKey: "hunter2-model-key",
};
const CALLER_SECRETS = {
  "CF-Access-Client-Secret": "hunter2-client-secret",
  Authorization: "Bearer hunter2-authorization",
  Cookie: `CF_Authorization=${serverToken}; other=hunter2-cookie`,
  "Idempotency-Key": "hunter2-idempotency",
  "X-Api-Key": "hunter2-api-key",
};
const secretText = /hunter2|eyJ[\w-]{20,}/;
/** Secrets in a text, each with what stands around it. */
const leaksIn = (text: string): string[] =>
  [...text.matchAll(new RegExp(secretText, "g"))].map(({ index }) => text.slice(Math.max(0, index - 60), index + 60));
const PATIENT = { timeout: 20_000, interval: 50 };
const MAIN = join(import.meta.dirname, "../../../../runtime/relay/main.ts");

const config = (url: string) => ({
  callers: [{ name: "backend", clientId: CLIENT_ID, companies: ["*"], weight: 1, enabled: true }],
  documents: { store: "atlas" as const, ttlDays: 30 },
  fallback: { url: "http://127.0.0.1:9", model: "m", companies: ["*"] },
  model: { kind: "ollama" as const, url, embeddingModel: "embed" },
});

test("nothing that a caller or an operator can read has a secret, whatever fails", async () => {
  const model = await startModel((seen, res) => {
    // The model server repeats what it got, as some do in their errors.
    const { authorization = "", "cf-access-client-secret": secret = "" } = seen.headers;
    res
      .writeHead(401, { "Content-Type": "application/json" })
      .end(JSON.stringify({ error: `${authorization}${String(secret)}` }));
  });
  const relay = await startTestRelay(model.url, config(model.url), { secrets: SECRETS });
  const read: string[] = [];
  const call = async (method: string, path: string, body?: string, headers: Record<string, string> = {}) => {
    const response = await fetch(relay.url + path, {
      method,
      headers: { ...asServer, ...CALLER_SECRETS, ...headers },
      ...(body !== undefined && { body }),
    });
    read.push([...response.headers].join("\n"), await response.text());
  };
  const chat = JSON.stringify({ model: "m", messages: [{ role: "user", content: "hunter2-prompt" }] });
  await call("POST", "/v1/chat/completions?key=hunter2-query", chat);
  await call("POST", "/v1/chat/completions", chat, {
    Prefer: "respond-async, wait=1",
    "Idempotency-Key": "hunter2-job",
  });
  await call("POST", "/v1/chat/completions", "{hunter2-broken");
  await call("POST", "/v1/embeddings", chat, { "Slm-Company": "A", "Slm-Document": "hunter2-title" });
  await call("PUT", "/v1/documents?company=A&title=hunter2-title", '{"text":"hunter2-text"}');
  await call("GET", "/v1/documents?company=A&title=hunter2-title");
  await call("POST", "/v1/documents/search", '{"company":"A","title":"x","query":"hunter2-query"}');
  await call("GET", "/v1/models", undefined, { "Cf-Access-Jwt-Assertion": `${serverToken.slice(0, -9)}AAAAAAAAA` });
  await call("GET", "/v1/models");
  await call("GET", "/openapi.json");
  read.push(await raw(relay.port, `GET /hunter2-path HTTP/1.1\r\nHost: x\r\nX: hunter2\nY: z\r\n\r\n`));
  for (const path of ["/status", "/status/data.json"]) {
    read.push(await (await fetch(relay.url + path, { headers: asPerson })).text());
  }
  for (const path of ["/metrics", "/readyz", "/status/data.json"]) {
    read.push(await (await fetch(relay.admin + path)).text());
  }
  await vi.waitFor(() => {
    expect(relay.lines.some(({ msg }) => String(msg).includes("document store does not answer"))).toBe(true);
  }, PATIENT);
  await relay.close();
  // What a caller wrote itself may be repeated to it in an error's message, and only there.
  const own = /hunter2-(title|query|path|prompt|broken|text)/g;
  expect(leaksIn(read.join("\n").replaceAll(own, ""))).toEqual([]);
  expect(leaksIn(JSON.stringify(relay.lines).replaceAll("/hunter2-path", ""))).toEqual([]);
});

/** The relay as launchd runs it, with these secrets. */
async function startProcess(secrets: string) {
  const folder = await temporaryFolder();
  const model = await startModel();
  const ports = await freePorts();
  const file = join(folder, "secrets.json");
  await writeFile(
    join(folder, "relay.json"),
    JSON.stringify({ ...testConfig(model.url, folder, config(model.url)), ...ports }),
  );
  await writeFile(file, secrets);
  const args = ["--report-uncaught-exception", `--report-directory=${folder}`, MAIN];
  const child = spawn(process.execPath, [...args, "--config", join(folder, "relay.json"), "--secrets", file], {
    env: { PATH: process.env.PATH },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const exited = once(child, "close");
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await exited;
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data: Buffer) => (output += data.toString()));
  return { child, exited, output: () => output, ...ports, file };
}

test.runIf(process.platform === "linux")(
  "a running relay has them in no argument and no variable, and a kill with SIGABRT prints none",
  async () => {
    const relay = await startProcess(JSON.stringify(SECRETS));
    await vi.waitFor(() => expect(relay.output()).toContain("listening"), PATIENT);
    await post({ url: `http://127.0.0.1:${relay.port}` } as never, "/v1/chat/completions", { model: "m" }).catch(
      () => {},
    );
    for (const name of ["cmdline", "environ"]) {
      expect(await readFile(`/proc/${relay.child.pid}/${name}`, "latin1")).not.toMatch(secretText);
    }
    relay.child.kill("SIGABRT");
    await relay.exited;
    expect(relay.output()).not.toMatch(secretText);
  },
);

test.each([
  ["no JSON", '{"modelKey":"hunter2'],
  ["a key with a line break", JSON.stringify({ ...SECRETS, modelKey: "hunter2\r\nX: y" })],
  ["a fallback key with a line break", JSON.stringify({ ...SECRETS, fallbackKey: "hunter2\r\nX: y" })],
  ["a key beyond ASCII", JSON.stringify({ ...SECRETS, fallbackKey: "hunter2-열쇠" })],
  ["an unknown member", JSON.stringify({ ...SECRETS, hunter2: 1 }).replace('"hunter2":1', '"more":"hunter2"')],
  ["a number", JSON.stringify({ ...SECRETS, mongodbUri: 5, fallbackKey: ["hunter2"] })],
])("settings with %s end the relay with status 78 and without their text", async (_name, secrets) => {
  const relay = await startProcess(secrets);
  const [code] = (await relay.exited) as [number];
  expect(code).toBe(78);
  expect(relay.output()).toContain("secrets.json");
  expect(relay.output()).not.toMatch(secretText);
});

test.each([
  "mongodb://relay:hunter2@",
  "mongodb+srv://hunter2:hunter2@127.0.0.1:5",
  "hunter2",
  "mongodb://a:hunter2%@h/x",
])(
  "a connection string that cannot be used (%#) is not quoted in the log or on the status page",
  async (mongodbUri) => {
    const model = await startModel();
    const relay = await startTestRelay(model.url, config(model.url), { secrets: { ...SECRETS, mongodbUri } });
    await vi.waitFor(() => {
      expect(relay.lines.some(({ msg }) => String(msg).includes("document store does not answer"))).toBe(true);
    }, PATIENT);
    const status = await (await fetch(`${relay.url}/status/data.json`, { headers: asPerson })).text();
    expect(JSON.stringify(relay.lines) + status).not.toMatch(secretText);
  },
);
