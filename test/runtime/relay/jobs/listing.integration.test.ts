import { join } from "node:path";
import OpenAI from "openai";
import { describe, expect, test } from "vitest";
import { JobDatabase } from "../../../../runtime/relay/jobs/database.ts";
import { openDatabase } from "../../../../runtime/relay/jobs/schema.ts";
import {
  asServer,
  CLIENT_ID,
  post,
  startModel,
  startTestRelay,
  type TestRelay,
  temporaryFolder,
  token,
} from "../harness.ts";
import { openOlderFile } from "./older-file.ts";

const ASYNC = { Prefer: "respond-async" };
const chat = (text: string, more: object = {}) => ({
  model: "slm",
  messages: [{ role: "user", content: text }],
  ...more,
});

interface View {
  id: string;
  state: string;
  place: number | null;
  metadata: Record<string, string>;
  error: { code: string; message: string } | null;
}

interface Page {
  object: string;
  data: View[];
  first_id: string | null;
  last_id: string | null;
  has_more: boolean;
  error?: { code: string; message: string; type: string };
}

const ask = (relay: TestRelay, path: string, init: RequestInit = {}) =>
  fetch(relay.url + path, { ...init, headers: { ...asServer, ...(init.headers as Record<string, string>) } });
const list = async (relay: TestRelay, query = "", headers: Record<string, string> = {}) => {
  const answer = await ask(relay, `/v1/jobs${query}`, { headers });
  return { status: answer.status, ...((await answer.json()) as Page) };
};
const submit = async (relay: TestRelay, body: unknown, headers: Record<string, string> = {}) => {
  const answer = await post(relay, "/v1/chat/completions", body, { headers: { ...ASYNC, ...headers } });
  return { status: answer.status, ...((await answer.json()) as View) };
};
const ended = async (relay: TestRelay, id: string) =>
  (await (await ask(relay, `/v1/jobs/${id}`, { headers: { Prefer: "wait=20" } })).json()) as View;

/** A relay whose model server answers nothing until `answer` is called; jobs beyond its slot wait. */
async function startHeld() {
  const held: (() => void)[] = [];
  let free = false;
  const model = await startModel(({ url, body }, res) => {
    if (url.startsWith("/api/tags")) return void res.end('{"models":[]}');
    const answer = () => void res.writeHead(200, { "Content-Type": "application/json" }).end(body);
    if (free) answer();
    else held.push(answer);
  });
  const limits = { chat: 1, embeddings: 1, waiting: 64, waitSeconds: 60, bodyMiB: 8, whenBusy: "queue" as const };
  const relay = await startTestRelay(model.url, { limits });
  return {
    model,
    relay,
    held,
    answer() {
      free = true;
      for (const one of held.splice(0)) one();
    },
  };
}

describe("GET /v1/jobs", () => {
  test("lists the caller's own jobs, the newest first, in pages that join without a gap", async () => {
    const { relay, answer, held } = await startHeld();
    const ids: string[] = [];
    for (let n = 0; n < 5; n += 1) ids.push((await submit(relay, chat(`${n}`))).id);
    await expect.poll(() => held.length, { timeout: 20_000 }).toBe(1);
    const newest = [...ids].reverse();
    const all = await list(relay);
    expect(all).toMatchObject({ status: 200, object: "list", first_id: newest[0], last_id: ids[0], has_more: false });
    expect(all.data.map(({ id }) => id)).toEqual(newest);
    // The first one runs; each of the others is told its place as by GET /v1/jobs/{id}.
    expect(all.data.map(({ place }) => place)).toEqual([4, 3, 2, 1, null]);
    const first = await list(relay, "?limit=2");
    expect(first).toMatchObject({ has_more: true, last_id: newest[1] });
    const second = await list(relay, `?limit=2&after=${first.last_id}`);
    const third = await list(relay, `?limit=2&after=${second.last_id}`);
    expect([...first.data, ...second.data, ...third.data].map(({ id }) => id)).toEqual(newest);
    expect(third.has_more).toBe(false);
    expect((await list(relay, `?after=${ids[0]}`)).data).toEqual([]);
    answer();
  }, 60_000);

  test("shows one state only, if asked for", async () => {
    const { relay, answer, held } = await startHeld();
    const one = await submit(relay, chat("runs"));
    await expect.poll(() => held.length, { timeout: 20_000 }).toBe(1);
    const two = await submit(relay, chat("waits"));
    const three = await submit(relay, chat("cancelled"));
    await ask(relay, `/v1/jobs/${three.id}`, { method: "DELETE" });
    const states = { in_progress: [one.id], queued: [two.id], cancelled: [three.id], completed: [], failed: [] };
    for (const [state, ids] of Object.entries(states)) {
      expect([state, (await list(relay, `?state=${state}`)).data.map(({ id }) => id)]).toEqual([state, ids]);
    }
    answer();
    await ended(relay, one.id);
    await ended(relay, two.id);
    expect((await list(relay, "?state=completed")).data.map(({ id }) => id)).toEqual([two.id, one.id]);
  }, 60_000);

  test("shows nothing of others, and no answers that were kept for direct calls", async () => {
    const model = await startModel();
    const other = "fedcba9876543210fedcba9876543210.access";
    const base = { companies: ["*"], weight: 1, enabled: true };
    const callers = [
      { name: "backend", clientId: CLIENT_ID, ...base },
      { name: "other", clientId: other, ...base },
    ];
    const relay = await startTestRelay(model.url, { callers });
    const theirs = { "Cf-Access-Jwt-Assertion": await token({ common_name: other }) };
    const mine = await submit(relay, chat("mine"));
    const foreign = await submit(relay, chat("theirs"), theirs);
    const direct = () => post(relay, "/v1/chat/completions", chat("x"), { headers: { "Idempotency-Key": "k" } });
    await (await direct()).text();
    await expect
      .poll(async () => (await direct()).headers.get("idempotency-replayed"), { timeout: 20_000 })
      .toBe("true");
    expect((await list(relay)).data.map(({ id }) => id)).toEqual([mine.id]);
    expect((await list(relay, "", theirs)).data.map(({ id }) => id)).toEqual([foreign.id]);
    // Another's job is no cursor either.
    expect(await list(relay, `?after=${foreign.id}`)).toMatchObject({ status: 400 });
  }, 60_000);

  test.each([
    ["?state=done", /state: "done" is not a state.*queued/],
    ["?limit=0", /limit: "0" is not a whole number from 1 to 100/],
    ["?limit=101", /limit: "101"/],
    ["?limit=x", /limit: "x"/],
    ["?after=job_1", /after: "job_1" is not a job's id/],
    [`?after=job_${"0".repeat(32)}`, /after: .* is not a job of yours, or has been deleted/],
    ["?limit=1&limit=2", /limit more than once/],
    ["?owner=other", /"owner"\. Use state, limit and after/],
  ])("refuses %s with what to send", async (query, words) => {
    const relay = await startTestRelay((await startModel()).url);
    const answer = await list(relay, query);
    expect([answer.status, answer.error?.code]).toEqual([400, "job_listing_invalid"]);
    expect(answer.error?.message).toMatch(words);
  });

  test("takes GET and HEAD only", async () => {
    const relay = await startTestRelay((await startModel()).url);
    const refused = await ask(relay, "/v1/jobs", { method: "POST", body: "{}" });
    expect([refused.status, refused.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
    expect((await ask(relay, "/v1/jobs", { method: "HEAD" })).status).toBe(200);
  });
});

describe("metadata", () => {
  test("is kept with the job, survives a restart of the relay, and finds a lost job again", async () => {
    const model = await startModel();
    const dataDir = await temporaryFolder();
    const first = await startTestRelay(model.url, { dataDir });
    const metadata = { 주문: "2026-11-28/가나상사", batch: "7" };
    const made = await submit(first, chat("x", { metadata }));
    expect(made).toMatchObject({ status: 202, metadata });
    expect((await submit(first, chat("y"))).metadata).toEqual({});
    expect((await submit(first, chat("z", { metadata: null }))).metadata).toEqual({});
    await ended(first, made.id);
    // The model server gets the body as it was sent.
    expect(model.seen.find(({ body }) => body.includes("주문"))?.body.toString()).toBe(
      JSON.stringify(chat("x", { metadata })),
    );
    await first.close();
    const second = await startTestRelay(model.url, { dataDir });
    const found = (await list(second)).data.find((job) => job.metadata.주문 === metadata.주문);
    expect(found?.id).toBe(made.id);
  }, 60_000);

  test.each([
    ["a text", "x", /metadata: .*expected record.*metadata is "x"/],
    ["a list", ["x"], /metadata: .*expected record/],
    ["a number in it", { n: 7 }, /metadata\.n: .*expected string/],
    ["seventeen keys", Object.fromEntries(Array.from({ length: 17 }, (_, n) => [`k${n}`, ""])), /more than 16 keys/],
    ["a long value", { k: "가".repeat(513) }, /metadata\.k: .*512/],
    ["a long key", { ["k".repeat(65)]: "" }, /64/],
    ["far too much", { k: "x".repeat(200_000) }, /metadata: .*expected record/],
  ])("that is %s is refused, and no job is made", async (_what, metadata, words) => {
    const model = await startModel();
    const relay = await startTestRelay(model.url);
    const answer = await post(relay, "/v1/chat/completions", chat("x", { metadata }), { headers: ASYNC });
    const { error } = (await answer.json()) as Page;
    expect([answer.status, error?.code, error?.type]).toEqual([400, "metadata_invalid", "invalid_request_error"]);
    expect(error?.message).toMatch(words);
    expect((await list(relay)).data).toEqual([]);
    expect(model.seen).toHaveLength(0);
  });

  test("of a direct call is the model server's business", async () => {
    const model = await startModel();
    const relay = await startTestRelay(model.url);
    expect((await post(relay, "/v1/chat/completions", chat("x", { metadata: { n: 7 } }))).status).toBe(200);
  });

  test("of OpenAI's background responses stands in the Response and in the job", async () => {
    const model = await startModel();
    const relay = await startTestRelay(model.url);
    const client = new OpenAI({ baseURL: `${relay.url}/v1`, apiKey: "-", defaultHeaders: asServer, maxRetries: 0 });
    const metadata = { 고객: "국민" };
    const made = await client.responses.create({ model: "slm", input: "x", background: true, metadata });
    expect(made.metadata).toEqual(metadata);
    expect((await list(relay)).data).toMatchObject([{ id: made.id.replace("resp_", "job_"), metadata }]);
  });
});

describe("DELETE /v1/jobs/{id}", () => {
  test("cancels a job that waits, and removes it once it has ended, with its result and its key", async () => {
    const { relay, answer, held } = await startHeld();
    const key = { "Idempotency-Key": "order-1" };
    const done = await submit(relay, chat("done"), key);
    await expect.poll(() => held.length, { timeout: 20_000 }).toBe(1);
    const waiting = await submit(relay, chat("waits"));
    const remove = async (id: string) => {
      const response = await ask(relay, `/v1/jobs/${id}`, { method: "DELETE" });
      return { status: response.status, ...((await response.json()) as Record<string, unknown>) };
    };
    expect(await remove(waiting.id)).toMatchObject({ status: 200, object: "job", state: "cancelled" });
    expect(await remove(waiting.id)).toEqual({ status: 200, id: waiting.id, object: "job.deleted", deleted: true });
    answer();
    await ended(relay, done.id);
    expect(await remove(done.id)).toEqual({ status: 200, id: done.id, object: "job.deleted", deleted: true });
    for (const path of [done.id, `${done.id}/result`, `${done.id}/events`]) {
      expect((await ask(relay, `/v1/jobs/${path}`)).status).toBe(404);
    }
    expect(await remove(done.id)).toMatchObject({ status: 404 });
    expect((await list(relay)).data).toEqual([]);
    // The key is free: the same request is a new job.
    expect((await submit(relay, chat("done"), key)).id).not.toBe(done.id);
  }, 60_000);

  test("gives back what the job took of its owner's part of the disk", async () => {
    const file = join(await temporaryFolder(), "jobs.db");
    const options = { file, retentionMs: 9e9, maxBytes: 8 << 20, minFreeBytes: 0, maxAttempts: 3, boot: "b" };
    const database = new JobDatabase(options);
    const job = (digit: string) => ({
      id: digit.repeat(32),
      owner: "backend",
      lane: "chat" as const,
      path: "/v1/chat/completions",
      query: "",
      headers: {},
      body: Buffer.alloc(3 << 20),
      requestSha256: digit,
      estimatedTokens: 1,
      idempotencyKey: undefined,
      requestParameters: undefined,
    });
    expect(database.add(job("1")).kind).toBe("added");
    expect(database.remove("backend", "1".repeat(32))).toBe(false); // it waits
    database.claim("1".repeat(32), "attempt", 1000);
    database.finish("attempt", { status: 200, headers: {}, sha256: "", body: Buffer.alloc(4 << 20) });
    expect(database.add(job("2")).kind).toBe("store_full");
    expect(database.remove("other", "1".repeat(32))).toBe(false);
    expect(database.remove("backend", "1".repeat(32))).toBe(true);
    expect(database.add(job("2")).kind).toBe("added");
    database.close();
  });
});

describe("a file of the release before", () => {
  test("is listed: its jobs, without the answers it kept for direct calls", async () => {
    const all = { ...(await openOlderFile(3)), retentionMs: 9e12, maxBytes: 64 << 20, minFreeBytes: 0, maxAttempts: 3 };
    const database = new JobDatabase({ ...all, boot: "b" });
    const jobs = database.list("backend", { limit: 10 });
    expect(jobs?.map(({ id, state, metadata }) => [id, state, metadata])).toEqual([
      ["2".repeat(32), "queued", undefined],
      ["1".repeat(32), "completed", undefined],
    ]);
    expect(database.remove("backend", "1".repeat(32))).toBe(true);
    expect(database.remove("backend", "2".repeat(32))).toBe(false);
    database.close();
    // What each owner takes is still counted right: nothing but the job that waits is left.
    const db = openDatabase(all.file, all.maxBytes);
    const { bytes } = db.prepare("SELECT bytes FROM usage").get() as { bytes: number };
    const { rest } = db.prepare("SELECT count(*) * 8192 AS rest FROM jobs").get() as { rest: number };
    expect(bytes).toBeGreaterThanOrEqual(rest);
    expect(bytes).toBeLessThan(rest + 200);
    db.close();
  });
});
