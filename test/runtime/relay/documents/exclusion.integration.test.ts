/** Mutual exclusion on a document: requests of one relay, two relays of a hand-over, removals and writes. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, onTestFinished, test } from "vitest";
import { DocumentLock } from "../../../../runtime/relay/documents/document-lock.ts";
import { createDocuments } from "../../../../runtime/relay/documents/documents.ts";
import { KeyedMutex } from "../../../../runtime/relay/documents/keyed-mutex.ts";
import { openSqliteFile } from "../../../../runtime/relay/documents/sqlite-file.ts";
import { openSqliteStore } from "../../../../runtime/relay/documents/sqlite-store.ts";
import type { DocumentStore } from "../../../../runtime/relay/documents/store.ts";
import { StoreGuard, StoreUnavailable } from "../../../../runtime/relay/documents/store-guard.ts";
import { createLog } from "../../../../runtime/relay/telemetry/log.ts";
import { CLIENT_ID, temporaryFolder, testConfig } from "../harness.ts";
import { startEmbeddingModel } from "./model.ts";
import { at, call, startDocumentsRelay } from "./relays.ts";
import { put, record } from "./stores.ts";

const log = createLog({ write: () => {} });
const never = new AbortController().signal;
const KEY = { company: "A", title: "t" };

async function guardOf(store: DocumentStore): Promise<StoreGuard> {
  const guard = new StoreGuard(async () => store, log);
  await guard.try();
  onTestFinished(() => guard.close());
  return guard;
}

describe("a request that gave up waiting", () => {
  test("does not release the holder's key", async () => {
    const mutex = new KeyedMutex();
    const first = Promise.withResolvers<void>();
    const order: string[] = [];
    const run = (name: string, ms: number, until?: Promise<void>) =>
      mutex.runExclusive(
        "k",
        ms,
        () => new Error("busy"),
        async () => {
          order.push(`${name} begins`);
          await until;
          order.push(`${name} ends`);
        },
      );
    const a = run("a", 60_000, first.promise);
    await expect(run("b", 1, undefined)).rejects.toThrow("busy");
    const c = run("c", 60_000);
    first.resolve();
    await Promise.all([a, c]);
    expect(order.slice(0, 3)).toEqual(["a begins", "a ends", "c begins"]);
    expect(mutex.size).toBe(0);
  });

  test("waits for the document again when it is repeated", async () => {
    const store = await openSqliteStore(join(await temporaryFolder(), "documents.sqlite"));
    const lock = new DocumentLock(await guardOf(store), 50);
    const hold = Promise.withResolvers<void>();
    let running = 0;
    const work = async () => {
      running += 1;
      await hold.promise;
      running -= 1;
    };
    const first = lock.run(KEY, never, work);
    await expect.poll(() => running).toBe(1);
    for (let i = 0; i < 3; i++) {
      await expect(lock.run(KEY, never, work)).rejects.toMatchObject({ code: "document_busy" });
      expect(running).toBe(1);
    }
    hold.resolve();
    await first;
    await lock.run(KEY, never, async () => {});
  });
});

describe("two relays on one file, as during a hand-over", () => {
  async function two() {
    const file = join(await temporaryFolder(), "documents.sqlite");
    const open = async () => {
      const store = await openSqliteStore(file);
      await store.list({ companies: "all", limit: 1, livingSince: 0 }); // starts its thread
      onTestFinished(() => store.close());
      return store;
    };
    return { file, old: await open(), open };
  }

  test.each(["remove", "removeCompany"] as const)(
    "%s by the new one voids the old one's running embedding",
    async (how) => {
      const { old, open } = await two();
      const { meta, content, key } = record();
      await old.declareWrite(key, "token", Date.now(), 0);
      const next = await open();
      if (how === "remove") await next.remove(key);
      else await next.removeCompany(key.company);
      expect(await old.put(meta, content, "token")).toBe(false);
      expect(await next.meta(key, 0)).toBeUndefined();
    },
  );

  test("the new one respects the old one's lease, and frees that of a dead process", async () => {
    const { file, old, open } = await two();
    const mine = `${process.pid}:old`;
    expect(await old.lease(KEY, mine, 60_000)).toBe(true);
    expect(await old.lease({ ...KEY, title: "dead" }, "999999999:dead", 60_000)).toBe(true);
    const next = await open();
    expect(await next.lease(KEY, `${process.pid}:next`, 60_000)).toBe(false);
    expect(await next.lease({ ...KEY, title: "dead" }, `${process.pid}:next`, 60_000)).toBe(true);
    // The clock has been set back by an hour: no lease may end later than its length from now.
    const db = new DatabaseSync(file);
    db.exec("UPDATE leases SET until = until + 3600000");
    db.close();
    expect(await next.lease(KEY, `${process.pid}:next`, 60_000)).toBe(true);
  });

  test("a write waits for the other one's", async () => {
    const { file, old } = await two();
    const db = new DatabaseSync(file);
    db.exec("BEGIN IMMEDIATE");
    const { meta, content } = record();
    const stored = put(old, meta, content);
    let settled = false;
    void stored.finally(() => {
      settled = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(settled).toBe(false);
    db.exec("COMMIT");
    db.close();
    expect(await stored).toBe(true);
  });

  test("a file of the previous release gets the new tables, and keeps its documents", async () => {
    const file = join(await temporaryFolder(), "documents.sqlite");
    const made = await openSqliteFile(file);
    const { meta, content, key } = record();
    await put(made, meta, content);
    await made.close();
    const old = new DatabaseSync(file);
    old.exec("DROP TABLE write_intents");
    old.close();
    const store = await openSqliteFile(file);
    expect(await store.meta(key, 0)).toBeDefined();
    expect(await put(store, { ...meta, revision: "r2" }, content)).toBe(true);
    await store.close();
  });
});

test("an acknowledged removal is synced, a use is not", async () => {
  const file = join(await temporaryFolder(), "documents.sqlite");
  const store = await openSqliteFile(file);
  // SQLite pads a synced commit by a repetition of its last page, since `psow` is off: https://www.sqlite.org/walformat.html
  const syncedCommits = (): number => {
    const [log, header, frame] = [readFileSync(`${file}-wal`), 32, 24 + 4096];
    const frames: Buffer[] = [];
    for (let from = header; from + frame <= log.length; from += frame) {
      // Number and content of the page: all of the frame but its size of the file and checksums.
      frames.push(Buffer.concat([log.subarray(from, from + 4), log.subarray(from + 24, from + frame)]));
    }
    return frames.filter((one, i) => i > 0 && one.equals(frames[i - 1]!)).length;
  };
  const { meta, content, key } = record();
  await put(store, meta, content);
  await store.touch([{ ...key, at: Date.now() + 1000 }]);
  expect(syncedCommits()).toBe(0);
  await store.remove(key);
  expect(syncedCommits()).toBe(1);
  await store.removeCompany("회사");
  expect(syncedCommits()).toBe(1); // nothing to write
  await store.close();
});

test("all documents of a company are removed in bounded steps, between which others use the store", async () => {
  const store = await openSqliteStore(join(await temporaryFolder(), "documents.sqlite"));
  onTestFinished(() => store.close());
  const big = { chunks: [{ hash: "a", text: "a" }], vectors: new Float32Array(3 << 20) };
  for (let i = 0; i < 9; i++) {
    const { meta } = record({ company: "gone", title: `${i}`, bytes: 12 << 20, dimensions: 3 << 20 });
    await put(store, meta, big);
  }
  const step = await store.removeCompany("gone");
  expect(step).toEqual({ removed: 3, more: true }); // 36 MiB
  const steps = [step];
  while (steps.at(-1)!.more) steps.push(await store.removeCompany("gone"));
  expect(steps.reduce((sum, { removed }) => sum + removed, 0)).toBe(9);
});

describe("the store's availability", () => {
  test("ends with a failed ping, not with one failed operation", async () => {
    let ping: Promise<void> = Promise.resolve();
    const store = { ping: () => ping, close: async () => {} } as unknown as DocumentStore;
    const guard = await guardOf(store);
    const answered = Promise.withResolvers<void>();
    ping = answered.promise;
    await expect(guard.use(async () => Promise.reject(new Error("this one")))).rejects.toBeInstanceOf(StoreUnavailable);
    expect(await guard.use(async () => 1)).toBe(1); // the ping has not been answered yet
    answered.resolve();
    await ping;
    expect(guard.state.available).toBe(true);
    ping = Promise.reject(new Error("gone"));
    ping.catch(() => {});
    await expect(guard.use(async () => Promise.reject(new Error("all")))).rejects.toBeInstanceOf(StoreUnavailable);
    await expect.poll(() => guard.state.available).toBe(false);
    await expect(guard.use(async () => 1)).rejects.toBeInstanceOf(StoreUnavailable);
  });
});

test("disabling a caller ends its embeddings, running and waiting", async () => {
  const model = await startEmbeddingModel();
  const hold = Promise.withResolvers<void>();
  model.before = () => hold.promise;
  const config = testConfig(model.url, await temporaryFolder());
  const { createAdmission } = await import("../../../../runtime/relay/admission/admission.ts");
  const { createBreaker } = await import("../../../../runtime/relay/model/breaker.ts");
  const { Registry } = await import("prom-client");
  const documents = createDocuments(
    config,
    {},
    {
      log,
      admission: createAdmission(config.limits),
      breaker: createBreaker({ probe: async () => true }),
      registry: new Registry(),
    },
  );
  onTestFinished(() => documents.close());
  const [caller] = config.callers;
  expect(caller?.clientId).toBe(CLIENT_ID);
  const one = (text: string) =>
    documents.put({ key: KEY, version: undefined, source: { text }, caller: caller! }).catch((cause: unknown) => cause);
  const puts = [one("a"), one("b")];
  await expect.poll(() => model.calls.length, { timeout: 20_000 }).toBe(1);
  config.callers = [{ ...caller!, enabled: false }];
  documents.callersChanged();
  for (const outcome of await Promise.all(puts)) expect(outcome).toMatchObject({ code: "caller_disabled" });
  expect(await one("c")).toMatchObject({ code: "caller_disabled" });
  hold.resolve();
  expect(model.calls).toHaveLength(1);
});

describe("a model server", () => {
  test("may be down at a cold start: stored documents are found", async () => {
    const model = await startEmbeddingModel();
    const dataDir = await temporaryFolder();
    const first = await startDocumentsRelay(model.url, { dataDir });
    expect((await call(first, "PUT", at("A", "t"), { text: "가" })).status).toBe(201);
    await first.close();
    await model.close();
    const second = await startDocumentsRelay(model.url, { dataDir });
    expect((await call(second, "GET", at("A", "t"))).status).toBe(200);
    expect((await call(second, "PUT", at("A", "u"), { text: "나" })).status).toBe(502);
  });

  test("that is busy is retried, then 503 model_busy with Retry-After; never a refusal", async () => {
    const { startModel } = await import("../harness.ts");
    let busy = 2;
    const model = await startModel(({ url }, res) => {
      if (url === "/api/tags") return void res.end('{"models":[{"name":"embed:latest","digest":"one"}]}');
      busy -= 1;
      if (busy >= 0) return void res.writeHead(429, { "Retry-After": "0" }).end('{"error":"busy"}');
      res.end('{"embeddings":[[1,0]]}');
    });
    const relay = await startDocumentsRelay(model.url);
    expect((await call(relay, "PUT", at("A", "t"), { text: "가" })).status).toBe(201);
    busy = 100;
    const refused = await call(relay, "PUT", at("A", "u"), { text: "나" });
    expect([refused.status, refused.body.error?.code, refused.headers.get("retry-after")]).toEqual([
      503,
      "model_busy",
      "0",
    ]);
  });

  test("whose list of models is slow still gets chats", async () => {
    const { startModel, asServer } = await import("../harness.ts");
    const model = await startModel(({ url }, res) => {
      if (url !== "/api/tags") res.end("{}"); // the list never comes
    });
    const relay = await startDocumentsRelay(model.url);
    const puts = [1, 2, 3, 4].map((i) => call(relay, "PUT", at("A", `${i}`), { text: "가" }));
    for (const { status } of await Promise.all(puts)) expect(status).toBe(502);
    const chat = await fetch(`${relay.url}/v1/chat/completions`, {
      method: "POST",
      headers: { ...asServer, "Content-Type": "application/json" },
      body: '{"model":"m","messages":[]}',
    });
    expect(chat.status).toBe(200);
  }, 60_000);
});
