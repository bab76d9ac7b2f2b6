/** The job store is unavailable, recovers, or its callers change. */
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { claimPort } from "../../../../sandbox/machine/ports.ts";
import {
  asServer,
  CLIENT_ID,
  codeOf,
  post,
  startModel,
  startTestRelay,
  temporaryFolder,
  testConfig,
} from "../harness.ts";

const caller = { name: "backend", clientId: CLIENT_ID, companies: ["*"], weight: 1, enabled: true };
const chat = { model: "m", messages: [] };
const status = async (url: string) => (await fetch(url)).status;

/** Locks the file as another relay would; returns how to release it. */
function lock(dataDir: string): () => void {
  const db = new DatabaseSync(join(dataDir, "jobs.db"));
  db.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE;");
  return () => db.close();
}

test("a call with a key is refused while the job store is unavailable, and the store is reopened", async () => {
  const model = await startModel();
  const dataDir = await temporaryFolder();
  const release = lock(dataDir);
  const relay = await startTestRelay(model.url, { dataDir });
  expect(await status(`${relay.url}/readyz`)).toBe(503);
  const keyed = () => post(relay, "/v1/chat/completions", chat, { headers: { "Idempotency-Key": "k" } });
  const refused = await keyed();
  expect([refused.status, await codeOf(refused)]).toEqual([503, "jobs_unavailable"]);
  expect(model.seen).toHaveLength(0);
  expect((await post(relay, "/v1/chat/completions", chat)).status).toBe(200);
  release();
  await expect.poll(() => status(`${relay.url}/readyz`), { timeout: 60_000 }).toBe(200);
  expect((await keyed()).status).toBe(200);
  expect((await keyed()).headers.get("Idempotency-Replayed")).toBe("true");
  expect(model.seen).toHaveLength(2);
  expect(relay.lines.some(({ msg }) => msg === "the job store can be used again")).toBe(true);
}, 120_000);

test("a stop does not wait for a client that disconnected before the stores were open", async () => {
  const model = await startModel();
  const dataDir = await temporaryFolder();
  const release = lock(dataDir);
  const port = await claimPort();
  const starting = startTestRelay(model.url, { dataDir, port, graceSeconds: 170 });
  const open = async () => {
    const socket = connect(port, "127.0.0.1");
    await once(socket, "connect");
    return socket;
  };
  await expect
    .poll(
      () =>
        open().then(
          (socket) => !!socket.destroy(),
          () => false,
        ),
      { timeout: 30_000 },
    )
    .toBe(true);
  const socket = await open();
  socket.write("GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n");
  await new Promise((resolve) => setImmediate(resolve));
  const closed = once(socket, "close");
  socket.destroy();
  await closed;
  const relay = await starting;
  release();
  await expect
    .poll(async () => (await (await fetch(`${relay.admin}/metrics`)).text()).includes("slm_requests_in_flight 0"))
    .toBe(true);
  const since = performance.now();
  await relay.close();
  expect(performance.now() - since).toBeLessThan(60_000); // of 170 s
}, 200_000);

test("disabling a caller ends its running job; it runs again once enabled, without counting an attempt", async () => {
  const answers: ServerResponse[] = [];
  const model = await startModel((_seen, res) => void answers.push(res));
  const relay = await startTestRelay(model.url);
  const { limits } = testConfig(model.url, "");
  const submitted = await post(relay, "/v1/chat/completions", chat, { headers: { Prefer: "respond-async" } });
  const { id } = (await submitted.json()) as { id: string };
  await expect.poll(() => answers.length, { timeout: 20_000 }).toBe(1);
  const cut = once(answers[0]!, "close");
  relay.reload({ callers: [{ ...caller, enabled: false }], limits });
  await cut;
  relay.reload({ callers: [caller], limits });
  await expect.poll(() => answers.length, { timeout: 20_000 }).toBe(2);
  answers[1]!.writeHead(200, { "Content-Type": "application/json" }).end("{}");
  const job = async () =>
    (await (await fetch(`${relay.url}/v1/jobs/${id}`, { headers: asServer })).json()) as Record<string, unknown>;
  await expect.poll(async () => (await job()).state, { timeout: 20_000 }).toBe("completed");
  expect(await job()).toMatchObject({
    attempts_used: 1,
    attempts: [{ outcome: "caller_disabled", counted: false }, { outcome: "answered" }],
  });
}, 60_000);
