/** The bound of the embedded document store: each caller's part, the error when it is reached, and freed space. */
import { statSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, test } from "vitest";
import { jobsSchema } from "../../../../runtime/limits-config.ts";
import { openSqliteFile } from "../../../../runtime/relay/documents/sqlite-file.ts";
import type { DocumentMeta } from "../../../../runtime/relay/documents/store.ts";
import { asServer, CLIENT_ID, codeOf, startTestRelay, temporaryFolder } from "../harness.ts";
import { startEmbeddingModel } from "./model.ts";
import { put, record } from "./stores.ts";

const MIB = 1024 * 1024;
const bounds = { maxBytes: 8 * MIB, minFreeBytes: 0 };
const callers = ["greedy", "quiet"];

/** A document with this many bytes of vectors. */
function sized(title: string, bytes: number, changes: Partial<DocumentMeta> = {}) {
  const { meta, content } = record({ title, bytes, ...changes });
  return { meta, content: { ...content, vectors: new Float32Array(bytes / 4) } };
}

async function file(): Promise<string> {
  return join(await temporaryFolder(), "documents.sqlite");
}

describe("the embedded store", () => {
  test("cannot be filled by one caller, and reports that it is full instead of evicting documents", async () => {
    const store = await openSqliteFile(await file(), bounds);
    const greedy = { caller: "greedy", callers };
    let stored = 0;
    for (; ; stored += 1) {
      const { meta, content } = sized(`d${stored}`, MIB / 2);
      if ((await put(store, meta, content, greedy)) !== true) break;
    }
    expect(stored).toBeGreaterThanOrEqual(10); // half of it, and the free rest of the other half
    expect(await store.hasRoom(MIB / 2, greedy)).toBe(false);
    const { meta, content } = sized("d0", MIB / 2, { revision: "new" });
    expect(await put(store, meta, content, greedy)).toBe(true); // one that replaces another fits
    for (const title of ["q1", "q2", "q3"]) {
      const one = sized(title, MIB / 2);
      expect(await put(store, one.meta, one.content, { caller: "quiet", callers })).toBe(true);
    }
    const grown = sized("d1", 2 * MIB);
    expect(await put(store, grown.meta, grown.content, greedy)).toBe("full");
    expect((await store.meta(grown.meta, 0))?.bytes).toBe(MIB / 2); // the earlier document stays
    await store.close();
  });

  test("works when the file cannot grow: look-ups and uses succeed, a document does not fit", async () => {
    const store = await openSqliteFile(await file(), bounds);
    const small = sized("a", MIB);
    expect(await put(store, small.meta, small.content)).toBe(true);
    // Larger than stated, so that SQLite itself runs out of room while writing.
    const { content } = sized("b", 40 * MIB);
    const { meta } = sized("b", 100);
    expect(await put(store, meta, content)).toBe("full");
    await store.touch([{ company: "회사", title: "a", at: Date.now() }]);
    await store.setVersion(small.meta, "r1", "v2");
    expect(await store.lease(meta, "1:me", 1000)).toBe(true);
    expect((await store.content(small.meta, "r1"))?.vectors.length).toBe(MIB / 4);
    expect(await store.remove(small.meta)).toBe(true);
    await store.close();
  });

  test("stores nothing while the disk has less free space than configured", async () => {
    const store = await openSqliteFile(await file(), { ...bounds, minFreeBytes: Number.MAX_SAFE_INTEGER });
    const { meta, content } = sized("a", 1000);
    expect(await put(store, meta, content)).toBe("full");
    await store.close();
  });

  test.each(["removal", "expiry"])("gives the space back to the disk after %s", async (how) => {
    const path = await file();
    const store = await openSqliteFile(path, { ...bounds, maxBytes: 64 * MIB });
    for (let n = 0; n < 6; n += 1) {
      const { meta, content } = sized(`d${n}`, 4 * MIB, { lastAccessedAt: 1000 });
      await put(store, meta, content);
    }
    if (how === "removal") while ((await store.removeCompany("회사")).more);
    while (await store.sweep(2000));
    await store.close();
    expect(statSync(path).size).toBeLessThan(2 * MIB);
  });

  test("migrates a file of the previous release, counts its documents, and lets it shrink", async () => {
    const path = await file();
    const old = new DatabaseSync(path);
    old.exec(`PRAGMA journal_mode = WAL; ${SCHEMA_BEFORE}`);
    const { meta } = sized("old", 8 * MIB, { lastAccessedAt: 1000 });
    const values = [meta.fingerprint, meta.model, meta.dimensions, meta.revision, 2, meta.bytes, 1, 1000];
    old.prepare(`INSERT INTO documents VALUES (1, '회사', 'old', NULL, ?, ?, ?, NULL, ?, ?, ?, ?, ?)`).run(...values);
    old.prepare("INSERT INTO contents VALUES (1, '[]', ?)").run(new Uint8Array(8 * MIB));
    old.close();
    const store = await openSqliteFile(path, { ...bounds, maxBytes: 12 * MIB });
    expect((await store.meta(meta, 0))?.bytes).toBe(8 * MIB);
    // It belongs to no caller, so it uses free space, not the callers' parts.
    expect(await store.hasRoom(3 * MIB, { caller: "quiet", callers })).toBe(true);
    expect(await store.hasRoom(3.5 * MIB, { caller: "quiet", callers })).toBe(false);
    await store.close();
    const back = new DatabaseSync(path); // after a rollback the previous release's statements work, and count
    back.exec("PRAGMA foreign_keys = ON; DELETE FROM documents WHERE title = 'old'");
    expect(back.prepare("SELECT sum(bytes) AS bytes FROM usage").get()).toEqual({ bytes: 0 });
    back.close();
    const again = await openSqliteFile(path, bounds);
    await again.sweep(2000);
    await again.close();
    expect(statSync(path).size).toBeLessThan(MIB);
  });
});

test("a document that does not fit is refused with 507; embeddings of inputs are answered with Slm-Stored: false", async () => {
  const model = await startEmbeddingModel();
  const relay = await startTestRelay(model.url, {
    callers: [{ name: "backend", clientId: CLIENT_ID, companies: ["*"], weight: 1, enabled: true }],
    jobs: jobsSchema.parse({ minFreeMiB: 1_048_576 }),
  });
  const address = `${relay.url}/v1/documents?company=a&title=b`;
  const refused = await fetch(address, { method: "PUT", headers: asServer, body: JSON.stringify({ text: "가나다" }) });
  expect([refused.status, await codeOf(refused)]).toEqual([507, "documents_full"]);
  const embedded = await fetch(`${relay.url}/v1/embeddings`, {
    method: "POST",
    headers: { ...asServer, "Slm-Company": "a", "Slm-Document": "b" },
    body: JSON.stringify({ model: "embed", input: ["가나다"] }),
  });
  expect([embedded.status, embedded.headers.get("slm-stored")]).toEqual([200, "false"]);
  expect((await fetch(address, { headers: asServer })).status).toBe(404);
});

const SCHEMA_BEFORE = `
  CREATE TABLE documents (
    id INTEGER PRIMARY KEY, company TEXT NOT NULL, title TEXT NOT NULL, version TEXT, fingerprint TEXT NOT NULL,
    model TEXT NOT NULL, dimensions INTEGER NOT NULL, textHash TEXT, revision TEXT NOT NULL, chunkCount INTEGER NOT NULL,
    bytes INTEGER NOT NULL, createdAt INTEGER NOT NULL, lastAccessedAt INTEGER NOT NULL, UNIQUE (company, title)
  ) STRICT;
  CREATE INDEX documents_lastAccessedAt ON documents (lastAccessedAt);
  CREATE TABLE contents (
    document INTEGER PRIMARY KEY REFERENCES documents (id) ON DELETE CASCADE, chunks TEXT NOT NULL, vectors BLOB NOT NULL
  ) STRICT;
  CREATE TABLE leases (
    company TEXT NOT NULL, title TEXT NOT NULL, owner TEXT NOT NULL, until INTEGER NOT NULL, PRIMARY KEY (company, title)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE spending (
    company TEXT NOT NULL, day TEXT NOT NULL, tokens INTEGER NOT NULL, PRIMARY KEY (company, day)
  ) STRICT, WITHOUT ROWID;
  PRAGMA user_version = 1;`;
