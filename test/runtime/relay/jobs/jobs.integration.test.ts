import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import OpenAI from "openai";
import { describe, expect, test } from "vitest";
import { jobsSchema } from "../../../../runtime/limits-config.ts";
import {
  asServer,
  CLIENT_ID,
  codeOf,
  post,
  type Seen,
  startModel,
  startTestRelay,
  type TestRelay,
  temporaryFolder,
  token,
} from "../harness.ts";

const ASYNC = { Prefer: "respond-async" };
const chat = (text: string) => ({ model: "slm", messages: [{ role: "user", content: text }] });

interface View {
  id: string;
  state: string;
  place: number | null;
  expected_wait_seconds: number | null;
  attempts: { outcome: string | null; counted: boolean }[];
  attempts_used: number;
  error: { code: string; message: string } | null;
  result: { status: number; bytes: number; sha256: string } | null;
}

const get = (relay: TestRelay, path: string, headers: Record<string, string> = {}) =>
  fetch(relay.url + path, { headers: { ...asServer, ...headers } });
const view = async (relay: TestRelay, id: string, headers = {}) =>
  (await (await get(relay, `/v1/jobs/${id}`, headers)).json()) as View;
const ended = (relay: TestRelay, id: string) => view(relay, id, { Prefer: "wait=20" });
const submit = async (relay: TestRelay, body: unknown, headers: Record<string, string> = {}) =>
  (await (await post(relay, "/v1/chat/completions", body, { headers: { ...ASYNC, ...headers } })).json()) as View;

/** A model server whose answers wait until they are released, one by one. */
async function startHeldModel() {
  const held: (() => void)[] = [];
  const arrivals = new EventTarget();
  const model = await startModel(({ url, body }, res) => {
    if (url.startsWith("/api/tags")) return res.writeHead(200).end('{"models":[]}');
    held.push(() => res.writeHead(200, { "Content-Type": "application/json" }).end(body));
    arrivals.dispatchEvent(new Event("one"));
    return undefined;
  });
  return {
    ...model,
    held,
    async next() {
      if (held.length === 0) await once(arrivals, "one");
      return held.shift()!;
    },
  };
}

describe("a job", () => {
  test("is acknowledged with its address, runs, and returns the model's answer unchanged", async () => {
    const answer = '{"choices":[{"message":{"content":"안녕"}}], "usage":{"total_tokens":7}}';
    const model = await startModel((_seen, res) => {
      res.writeHead(201, { "Content-Type": "application/json", "X-Request-Id": "m1", Server: "secret" }).end(answer);
    });
    const relay = await startTestRelay(model.url);
    const body = '{ "model": "slm", "messages": [] }';
    const accepted = await post(relay, "/v1/chat/completions?x=1", body, { headers: { ...ASYNC, Cookie: "a=b" } });
    expect(accepted.status).toBe(202);
    expect(accepted.headers.get("preference-applied")).toBe("respond-async");
    expect(accepted.headers.get("cache-control")).toBe("no-store, no-transform");
    const { id } = (await accepted.json()) as View;
    expect(accepted.headers.get("location")).toBe(`/v1/jobs/${id}`);

    expect(await ended(relay, id)).toMatchObject({
      state: "completed",
      attempts: [{ outcome: "answered", counted: true }],
      result: { status: 201, bytes: Buffer.byteLength(answer) },
    });
    const result = await get(relay, `/v1/jobs/${id}/result`);
    expect([result.status, await result.text()]).toEqual([201, answer]);
    expect(result.headers.get("content-type")).toBe("application/json");
    expect(result.headers.get("x-request-id")).toBe("m1");
    expect(result.headers.get("server")).toBeNull();
    const digest = createHash("sha256").update(answer).digest("base64");
    expect(result.headers.get("repr-digest")).toBe(`sha-256=:${digest}:`);
    const [seen] = model.seen as [Seen];
    expect([seen.url, seen.body.toString()]).toEqual(["/v1/chat/completions?x=1", body]);
    expect(seen.headers.cookie ?? seen.headers.prefer ?? seen.headers["cf-access-jwt-assertion"]).toBeUndefined();
  });

  test("with wait=N is answered directly if it ends in time, otherwise acknowledged", async () => {
    const model = await startHeldModel();
    const relay = await startTestRelay(model.url);
    const asked = post(relay, "/api/chat", chat("a"), { headers: { Prefer: "respond-async, wait=30" } });
    (await model.next())();
    const direct = await asked;
    expect([direct.status, await direct.json()]).toEqual([200, chat("a")]);
    expect(direct.headers.get("preference-applied")).toBe("respond-async, wait=30");
    const late = await post(relay, "/api/chat", chat("b"), { headers: { Prefer: "respond-async, wait=1" } });
    expect(late.status).toBe(202);
    (await model.next())();
  });

  test("is not made without Prefer, and unknown preferences are ignored", async () => {
    const model = await startModel();
    const relay = await startTestRelay(model.url);
    for (const Prefer of ["wait=5", "return=minimal", "respond-asynchronously"]) {
      const response = await post(relay, "/v1/chat/completions", chat("x"), { headers: { Prefer } });
      expect([response.status, response.headers.get("preference-applied")]).toEqual([200, null]);
    }
    // Metadata is not inference, so there is nothing to queue.
    expect((await post(relay, "/api/show", { model: "slm" }, { headers: ASYNC })).status).toBe(200);
  });

  test("states its place and expected start; those with a slot run, the others wait", async () => {
    const model = await startHeldModel();
    const limits = { chat: 1, embeddings: 1, waiting: 0, waitSeconds: 5, bodyMiB: 8, whenBusy: "queue" as const };
    const relay = await startTestRelay(model.url, { limits });
    const ids: string[] = [];
    for (const text of ["a", "b", "c"]) ids.push((await submit(relay, chat(text))).id);
    const first = await model.next();
    expect((await view(relay, ids[0]!)).state).toBe("in_progress");
    expect((await view(relay, ids[2]!)).place).toBe(2);
    first();
    (await model.next())();
    (await model.next())();
    for (const id of ids) expect((await ended(relay, id)).state).toBe("completed");
    expect(
      model.seen.map(({ body }) => (JSON.parse(body.toString()) as ReturnType<typeof chat>).messages[0]?.content),
    ).toEqual(["a", "b", "c"]);
  });

  test("is cancelled while it waits, and while it runs: the model server sees the connection close", async () => {
    const model = await startHeldModel();
    const limits = { chat: 1, embeddings: 1, waiting: 0, waitSeconds: 5, bodyMiB: 8, whenBusy: "queue" as const };
    const relay = await startTestRelay(model.url, { limits });
    const running = await submit(relay, chat("runs"));
    const waiting = await submit(relay, chat("waits"));
    const after = await submit(relay, chat("after"));
    await model.next();
    const cancel = (id: string) => fetch(`${relay.url}/v1/jobs/${id}`, { method: "DELETE", headers: asServer });
    for (const { id } of [waiting, running]) {
      const response = await cancel(id);
      expect([response.status, ((await response.json()) as View).state]).toEqual([200, "cancelled"]);
    }
    (await model.next())();
    expect((await ended(relay, after.id)).state).toBe("completed");
    expect(model.seen).toHaveLength(2);
    const result = await get(relay, `/v1/jobs/${running.id}/result`);
    expect([result.status, await codeOf(result)]).toEqual([410, "job_cancelled"]);
  });

  test("has no result before its end: 409 with Retry-After", async () => {
    const model = await startHeldModel();
    const relay = await startTestRelay(model.url);
    const { id } = await submit(relay, chat("x"));
    const early = await get(relay, `/v1/jobs/${id}/result`);
    expect([early.status, early.headers.get("x-should-retry"), await codeOf(early)]).toEqual([
      409,
      "true",
      "job_not_finished",
    ]);
    expect(Number(early.headers.get("retry-after"))).toBeGreaterThan(0);
    (await model.next())();
    expect((await get(relay, `/v1/jobs/${id}/result`, { Prefer: "wait=20" })).status).toBe(200);
  });

  test("is visible to its own caller only", async () => {
    const model = await startModel();
    const other = "ffffffffffffffffffffffffffffffff.access";
    const caller = { companies: ["*"], weight: 1, enabled: true };
    const relay = await startTestRelay(model.url, {
      callers: [
        { ...caller, name: "backend", clientId: CLIENT_ID },
        { ...caller, name: "other", clientId: other },
      ],
    });
    const { id } = await submit(relay, chat("mine"), { "Idempotency-Key": "k" });
    const theirs = { "Cf-Access-Jwt-Assertion": await token({ common_name: other }) };
    for (const [method, path] of [
      ["GET", `/v1/jobs/${id}`],
      ["GET", `/v1/jobs/${id}/result`],
      ["GET", `/v1/jobs/${id}/events`],
      ["DELETE", `/v1/jobs/${id}`],
    ]) {
      const response = await fetch(relay.url + path, { method, headers: theirs });
      expect([path, response.status, await codeOf(response)]).toEqual([path, 404, "job_not_found"]);
    }
    // Keys belong to one caller as well.
    expect((await submit(relay, chat("theirs"), { ...theirs, "Idempotency-Key": "k" })).id).not.toBe(id);
    expect((await ended(relay, id)).state).toBe("completed");
  });

  test("that the model server refuses fails, with the refusal as its result; 5xx is retried", async () => {
    let tries = 0;
    const model = await startModel(({ body }, res) => {
      tries += 1;
      const refuse = body.includes("bad") || tries > 3;
      res.writeHead(refuse ? 404 : 500, { "Content-Type": "application/json" }).end('{"error":{"message":"no"}}');
    });
    const relay = await startTestRelay(model.url, { jobs: jobsSchema.parse({ minFreeMiB: 0, maxAttempts: 2 }) });
    const bad = await submit(relay, chat("bad"));
    expect(await ended(relay, bad.id)).toMatchObject({ state: "failed", error: { code: "model_refused" } });
    expect((await get(relay, `/v1/jobs/${bad.id}/result`)).status).toBe(404);
    const broken = await submit(relay, chat("x"));
    expect(await ended(relay, broken.id)).toMatchObject({
      state: "failed",
      attempts: [{ outcome: "model_error" }, { outcome: "model_error" }],
      error: { code: "attempts_used_up" },
    });
    expect((await get(relay, `/v1/jobs/${broken.id}/result`)).status).toBe(500);
  });

  test("waits while the model server is down, without counting an attempt, and runs when it is back", async () => {
    const model = await startModel();
    const { port } = new URL(model.url);
    await model.close();
    const relay = await startTestRelay(model.url);
    const { id } = await submit(relay, chat("later"));
    await expect
      .poll(async () => (await view(relay, id)).attempts.at(-1)?.outcome, { timeout: 5000 })
      .toBe("model_unreachable");
    const now = await view(relay, id);
    expect(now).toMatchObject({ state: "queued", attempts_used: 0, expected_wait_seconds: null });
    const back = await startModel((_seen, res) => res.writeHead(200).end('{"models":[]}'), Number(port));
    expect((await ended(relay, id)).state).toBe("completed");
    expect(back.seen.some(({ url }) => url === "/v1/chat/completions")).toBe(true);
  });

  test("sends its changes as events, from the current state to the final one", async () => {
    const model = await startHeldModel();
    const relay = await startTestRelay(model.url);
    const { id } = await submit(relay, chat("x"));
    const finish = await model.next();
    const response = await get(relay, `/v1/jobs/${id}/events`);
    expect(response.headers.get("content-type")).toContain("text/event-stream");
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    const first = await reader.read();
    expect(first.value).toMatch(/^event: job\ndata: \{.*"state":"in_progress"/);
    finish();
    let rest = "";
    for (let part = await reader.read(); !part.done; part = await reader.read()) rest += part.value;
    expect(rest).toMatch(/"state":"completed".*\n\n$/);
  });
});

describe("Idempotency-Key", () => {
  test("returns the same job for the same request, while it runs and after; 422 for another request; without a key always a new job", async () => {
    const model = await startHeldModel();
    const relay = await startTestRelay(model.url);
    const key = { "Idempotency-Key": "3a9f" };
    const first = await submit(relay, chat("x"), key);
    const finish = await model.next();
    expect((await submit(relay, chat("x"), key)).id).toBe(first.id);
    // A direct call with the key of a running job gets the job's address.
    const direct = await post(relay, "/v1/chat/completions", chat("x"), { headers: key });
    expect([direct.status, direct.headers.get("location"), await codeOf(direct)]).toEqual([
      409,
      `/v1/jobs/${first.id}`,
      "idempotency_in_progress",
    ]);
    finish();
    await ended(relay, first.id);
    const again = await post(relay, "/v1/chat/completions", chat("x"), { headers: { ...ASYNC, ...key } });
    expect([again.status, ((await again.json()) as View).id]).toEqual([202, first.id]);
    expect(again.headers.get("idempotency-replayed")).toBe("true");
    const finished = await post(relay, "/v1/chat/completions", chat("x"), { headers: key });
    expect([finished.status, await finished.json()]).toEqual([200, chat("x")]);
    for (const headers of [key, { ...ASYNC, ...key }]) {
      const other = await post(relay, "/v1/chat/completions", chat("y"), { headers });
      expect([other.status, await codeOf(other)]).toEqual([422, "idempotency_mismatch"]);
    }
    expect(model.seen).toHaveLength(1);
    const [one, two] = [await submit(relay, chat("x")), await submit(relay, chat("x"))];
    expect(one.id).not.toBe(two.id);
    (await model.next())();
    (await model.next())();
  });

  test("on a direct call: a retry gets the stored answer, streamed or not; while it runs 409; an error is not kept", async () => {
    let status = 500;
    const model = await startHeldModel();
    const failing = await startModel((_seen, res) => {
      res.writeHead(status, { "Content-Type": "application/json" }).end("{}");
    });
    const relay = await startTestRelay(model.url);
    const call = (key: string, body: unknown = chat("x")) =>
      post(relay, "/v1/chat/completions", body, { headers: { "Idempotency-Key": key } });
    const first = call("k1");
    const finish = await model.next();
    const second = await call("k1");
    expect([second.status, await codeOf(second)]).toEqual([409, "idempotency_in_progress"]);
    finish();
    expect(await (await first).json()).toEqual(chat("x"));
    await expect.poll(async () => (await call("k1")).headers.get("idempotency-replayed")).toBe("true");
    expect(model.seen).toHaveLength(1);

    const flaky = await startTestRelay(failing.url);
    const flakyCall = () => post(flaky, "/v1/chat/completions", chat("x"), { headers: { "Idempotency-Key": "k2" } });
    expect((await flakyCall()).status).toBe(500);
    status = 200;
    await expect.poll(async () => (await flakyCall()).status).toBe(200);
    for (const bad of ["", "a b", "é", "x".repeat(256)]) {
      const response = await call(bad);
      expect([response.status, await codeOf(response)]).toEqual([400, "idempotency_key_invalid"]);
    }
  });
});

describe("OpenAI's background responses", () => {
  const client = (relay: TestRelay) =>
    new OpenAI({ apiKey: "x", baseURL: `${relay.url}/v1`, defaultHeaders: asServer, maxRetries: 0 });
  const said = (text: string) => ({
    id: "resp_model",
    object: "response",
    status: "completed",
    model: "slm",
    output: [{ type: "message", role: "assistant", content: [{ type: "output_text", text, annotations: [] }] }],
  });

  test("are created, retrieved and cancelled by OpenAI's client", async () => {
    const held: (() => void)[] = [];
    const model = await startModel(({ body }, res) => {
      const { input } = JSON.parse(body.toString()) as { input: string };
      held.push(() => res.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(said(input))));
    });
    const relay = await startTestRelay(model.url);
    const openai = client(relay);
    const metadata = { order: "7" };
    const created = await openai.responses.create({ model: "slm", input: "안녕", background: true, metadata });
    expect(created).toMatchObject({ object: "response", background: true, model: "slm", metadata, output_text: "" });
    expect(["queued", "in_progress"]).toContain(created.status);
    await expect.poll(() => held.length).toBe(1);
    expect((await openai.responses.retrieve(created.id)).status).toBe("in_progress");
    held.shift()!();
    await expect.poll(async () => (await openai.responses.retrieve(created.id)).status).toBe("completed");
    const done = await openai.responses.retrieve(created.id);
    expect([done.id, done.output_text, done.background]).toEqual([created.id, "안녕", true]);
    // The model server is not asked for background mode.
    expect(JSON.parse(model.seen[0]!.body.toString())).toEqual({ model: "slm", input: "안녕", metadata });

    const other = await openai.responses.create({ model: "slm", input: "긴 이야기", background: true });
    expect((await openai.responses.cancel(other.id)).status).toBe("cancelled");
    expect((await openai.responses.cancel(other.id)).status).toBe("cancelled");
    expect((await openai.responses.cancel(created.id)).status).toBe("completed");
    await expect(openai.responses.retrieve("resp_none")).rejects.toMatchObject({ status: 404, code: "job_not_found" });
    await expect(
      openai.responses.create({ model: "slm", input: "x", background: true, stream: true }),
    ).rejects.toMatchObject({ status: 400, code: "background_not_streamed" });
    // The same job by its job id.
    expect((await view(relay, created.id.replace("resp_", "job_"))).state).toBe("completed");
  });

  test("that the model server refuses fail, with its message", async () => {
    const model = await startModel((_seen, res) => {
      res.writeHead(400, { "Content-Type": "application/json" }).end('{"error":{"message":"too long","code":null}}');
    });
    const relay = await startTestRelay(model.url);
    const openai = client(relay);
    const { id } = await openai.responses.create({ model: "slm", input: "x", background: true });
    await expect.poll(async () => (await openai.responses.retrieve(id)).status).toBe("failed");
    expect((await openai.responses.retrieve(id)).error).toEqual({ code: "server_error", message: "too long" });
  });
});

describe("interruptions and limits:", () => {
  test("a stop of the relay: running jobs are requeued without counting an attempt, and run after the start", async () => {
    const model = await startHeldModel();
    const dataDir = await temporaryFolder();
    const first = await startTestRelay(model.url, { dataDir, graceSeconds: 1 });
    const { id } = await submit(first, chat("x"));
    await model.next();
    const events = await get(first, `/v1/jobs/${id}/events`);
    await first.close();
    expect(await events.text()).toMatch(/"state":"in_progress".*\n\n$/); // followers get a regular end, not a cut
    const second = await startTestRelay(model.url, { dataDir });
    (await model.next())();
    expect(await ended(second, id)).toMatchObject({
      state: "completed",
      attempts: [
        { outcome: "relay_stopped", counted: false },
        { outcome: "answered", counted: true },
      ],
    });
  });

  test("a damaged file: direct calls work, jobs are 503, the relay is not ready, and the file is left as it is", async () => {
    const model = await startModel();
    const dataDir = await temporaryFolder();
    const damaged = "this is no database".repeat(1000);
    await writeFile(join(dataDir, "jobs.db"), damaged);
    const relay = await startTestRelay(model.url, { dataDir });
    const job = await post(relay, "/v1/chat/completions", chat("x"), { headers: ASYNC });
    expect([job.status, await codeOf(job)]).toEqual([503, "jobs_unavailable"]);
    const found = await get(relay, `/v1/jobs/job_${"0".repeat(32)}`);
    expect([found.status, await codeOf(found)]).toEqual([503, "jobs_unavailable"]);
    expect((await post(relay, "/v1/chat/completions", chat("x"))).status).toBe(200);
    const keyed = await post(relay, "/v1/chat/completions", chat("x"), { headers: { "Idempotency-Key": "k" } });
    expect([keyed.status, await codeOf(keyed)]).toEqual([503, "jobs_unavailable"]); // a repetition could not be detected
    expect((await fetch(`${relay.url}/readyz`)).status).toBe(503);
    expect(await readFile(join(dataDir, "jobs.db"), "utf8")).toBe(damaged);
    expect(relay.lines.find(({ msg }) => String(msg).includes("job store"))?.reason).toMatch(/not a database/);
  });

  test("low disk space: 507 for new jobs, and everything else works", async () => {
    const model = await startModel();
    const relay = await startTestRelay(model.url, { jobs: jobsSchema.parse({ minFreeMiB: 1_048_576 }) });
    const response = await post(relay, "/v1/chat/completions", chat("x"), { headers: ASYNC });
    expect([response.status, response.headers.get("x-should-retry"), await codeOf(response)]).toEqual([
      507,
      "false",
      "disk_low",
    ]);
    for (const headers of [{}, { "Idempotency-Key": "k" }]) {
      expect((await post(relay, "/v1/chat/completions", chat("x"), { headers })).status).toBe(200);
    }
    expect((await fetch(`${relay.url}/readyz`)).status).toBe(200);
  });

  test("a full quota: 507 for new jobs", async () => {
    const model = await startHeldModel();
    const relay = await startTestRelay(model.url, { jobs: jobsSchema.parse({ minFreeMiB: 0, maxDiskMiB: 64 }) });
    const big = chat("x".repeat(7 * 1024 * 1024));
    const statuses: number[] = [];
    for (let i = 0; i < 9; i += 1) {
      statuses.push((await post(relay, "/v1/chat/completions", big, { headers: ASYNC })).status);
    }
    expect(statuses.slice(0, 6)).toEqual(Array(6).fill(202));
    expect(statuses.at(-1)).toBe(507);
    const metrics = await (await fetch(`${relay.admin}/metrics`)).text();
    expect(metrics).toMatch(/slm_jobs\{state="queued",lane="chat"\} \d/);
    expect(metrics).toMatch(/slm_job_commit_seconds_count [1-9]/);
  });
});
