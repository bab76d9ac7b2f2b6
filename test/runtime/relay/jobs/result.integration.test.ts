/** Results of jobs as their owners get them: in pieces, and never silently wrong. */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { asServer, codeOf, post, startModel, startTestRelay, temporaryFolder } from "../harness.ts";

const KIB = 1024;
const chat = { model: "m", messages: [] };
const asJob = { Prefer: "respond-async, wait=30" };

test.each([0, 1, 256 * KIB - 1, 256 * KIB, 256 * KIB + 1, 512 * KIB, 3 * 1024 * KIB + 7])(
  "a result of %i bytes is complete, also when replayed by its key",
  async (size) => {
    const bytes = randomBytes(size);
    const model = await startModel((_seen, res) => res.writeHead(200, { "Content-Type": "a/b" }).end(bytes));
    const relay = await startTestRelay(model.url);
    const headers = { ...asJob, "Idempotency-Key": "k" };
    const done = await post(relay, "/v1/chat/completions", chat, { headers });
    const job = done.headers.get("location")!;
    expect(Buffer.from(await done.arrayBuffer()).equals(bytes)).toBe(true);
    const again = await fetch(`${relay.url}${job}/result`, { headers: asServer });
    expect([again.headers.get("content-length"), again.headers.get("content-type")]).toEqual([String(size), "a/b"]);
    expect(again.headers.get("repr-digest")).toMatch(/^sha-256=:/);
    expect(Buffer.from(await again.arrayBuffer()).equals(bytes)).toBe(true);
    const repeated = await post(relay, "/v1/chat/completions", chat, { headers });
    expect(repeated.headers.get("idempotency-replayed")).toBe("true");
    expect(Buffer.from(await repeated.arrayBuffer()).equals(bytes)).toBe(true);
    expect(model.seen.filter(({ url }) => url === "/v1/chat/completions")).toHaveLength(1);
  },
);

test("a result damaged on the disk never looks complete", async () => {
  const sizes = [1000 * KIB, 1000];
  const model = await startModel(({ body }, res) => {
    const { n } = JSON.parse(body.toString()) as { n: number };
    res.writeHead(200).end(Buffer.alloc(sizes[n]!, "y"));
  });
  const dataDir = await temporaryFolder();
  const first = await startTestRelay(model.url, { dataDir });
  const jobs: string[] = [];
  for (const n of [0, 1]) {
    const done = await post(first, "/v1/chat/completions", { ...chat, n }, { headers: asJob });
    await done.arrayBuffer();
    jobs.push(done.headers.get("location")!);
  }
  await first.close();
  const db = new DatabaseSync(join(dataDir, "jobs.db"));
  db.exec("UPDATE answer_parts SET data = zeroblob(length(data)) WHERE part = 1");
  db.exec("DROP TRIGGER answers_never_change; UPDATE answers SET body = zeroblob(length(body)) WHERE bytes IS NULL");
  db.close();
  const relay = await startTestRelay(model.url, { dataDir });
  const long = await fetch(`${relay.url}${jobs[0]}/result`, { headers: asServer });
  expect(long.status).toBe(200);
  await expect(long.arrayBuffer()).rejects.toThrow(); // cut before its announced end
  const short = await fetch(`${relay.url}${jobs[1]}/result`, { headers: asServer });
  expect([short.status, await codeOf(short)]).toEqual([503, "jobs_unavailable"]);
});
