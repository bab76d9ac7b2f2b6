import { describe, expect, it } from "vitest";
import { put, record, stores } from "./stores.ts";

const HOUR = 3_600_000;

describe.each(stores)("the store on %s", (_name, open) => {
  it("returns what was put, bit for bit, and nothing of another name", async () => {
    const store = await open();
    const { meta, content, key } = record({ version: "v1" });
    await put(store, meta, content);
    expect(await store.meta(key, 0)).toEqual(meta);
    expect(await store.content(key, "r1")).toEqual(content);
    expect(await store.content(key, "r0")).toBeUndefined();
    expect(await store.meta({ ...key, title: "계약서" }, 0)).toBeUndefined();
    expect(await store.meta({ ...key, company: "회사 " }, 0)).toBeUndefined();
  });

  it("replaces a document atomically, also concurrently", async () => {
    const store = await open();
    const revisions = Array.from({ length: 20 }, (_, i) => `r${i}`);
    await Promise.all(
      revisions.map((revision, i) => {
        const { meta, content } = record({ revision, dimensions: 3 });
        return put(store, meta, { ...content, vectors: new Float32Array(6).fill(i) });
      }),
    );
    const { key } = record();
    const meta = await store.meta(key, 0);
    const content = await store.content(key, meta!.revision);
    expect([...content!.vectors]).toEqual(new Array(6).fill(revisions.indexOf(meta!.revision)));
    expect(await store.list({ companies: "all", limit: 10, livingSince: 0 })).toHaveLength(1);
  });

  it("counts what has not expired", async () => {
    const store = await open();
    expect(await store.count(0)).toMatchObject({ documents: 0 });
    // Today's times: MongoDB removes what has expired by its own clock.
    const now = Date.now();
    for (const [title, lastAccessedAt] of [
      ["old", now - 60_000],
      ["new", now],
    ] as const) {
      const { meta, content } = record();
      await put(store, { ...meta, title, lastAccessedAt }, content);
    }
    const counted = await store.count(now - 30_000);
    expect(counted.documents).toBe(1);
    expect((await store.count(0)).documents).toBe(2);
    expect([undefined, record().meta.bytes]).toContain(counted.bytes);
  });

  it("stores only with a valid write intent: a removal or another intent voids it", async () => {
    const store = await open();
    const { meta, content, key } = record();
    const begin = (token: string) => store.declareWrite(key, token, meta.lastAccessedAt, 0);
    expect(await store.put(meta, content, "never begun")).toBe(false);
    await begin("removed");
    expect(await store.remove(key)).toBe(false); // only a write intent so far
    expect(await store.put(meta, content, "removed")).toBe(false);
    await begin("given up");
    await store.withdrawWrite(key, "given up");
    expect(await store.put(meta, content, "given up")).toBe(false);
    await begin("earlier");
    await begin("later");
    await store.withdrawWrite(key, "earlier");
    expect(await store.put(meta, content, "earlier")).toBe(false);
    expect(await store.put(meta, content, "later")).toBe(true);
    expect(await store.put(meta, content, "later")).toBe(false); // once
    await begin("given up");
    await store.withdrawWrite(key, "given up");
    expect(await store.content(key, meta.revision)).toEqual(content);
    await begin("the company leaves");
    await store.declareWrite({ company: "다른 회사", title: key.title }, "not this one's", meta.lastAccessedAt, 0);
    expect(await store.removeCompany(key.company)).toEqual({ removed: 1, more: false });
    expect(await store.put(meta, content, "the company leaves")).toBe(false);
    expect(await store.meta(key, 0)).toBeUndefined();
    expect(await store.put({ ...meta, company: "다른 회사" }, content, "not this one's")).toBe(true);
  });

  it("does not show write intents, and does not revive an expired document", async () => {
    const store = await open();
    const now = Date.now();
    const { meta, content, key } = record({ lastAccessedAt: now });
    await store.declareWrite(key, "a", now, 0);
    expect(await store.meta(key, 0)).toBeUndefined();
    expect(await store.list({ companies: "all", limit: 10, livingSince: 0 })).toEqual([]);
    expect(await store.removeCompany(key.company)).toEqual({ removed: 0, more: false });
    await put(store, meta, content);
    await store.declareWrite(key, "b", now + 2 * HOUR, now - 1); // a use, unless it has expired
    expect((await store.meta(key, 0))?.lastAccessedAt).toBe(now + 2 * HOUR);
    await store.declareWrite(key, "c", now + 4 * HOUR, now + 2 * HOUR);
    expect(await store.meta(key, 0)).toBeUndefined();
  });

  it("stores a document of 12 MB, and one of 3,000 chunks", async () => {
    const store = await open();
    const { meta, content, key } = record({ dimensions: 1024 });
    const vectors = new Float32Array(3000 * 1024).map((_, i) => i / 7);
    const chunks = Array.from({ length: 3000 }, (_, i) => ({ hash: `h${i}`, text: `${i}` }));
    await put(store, { ...meta, chunkCount: 3000 }, { chunks, vectors });
    const found = await store.content(key, "r1");
    expect(found?.chunks.at(-1)).toEqual({ hash: "h2999", text: "2999" });
    expect(Buffer.from(found!.vectors.buffer).equals(Buffer.from(vectors.buffer))).toBe(true);
    expect(content.chunks).toHaveLength(2);
  });

  it("does not show expired documents", async () => {
    const store = await open();
    const now = Date.now();
    const { meta, content, key } = record({ lastAccessedAt: now });
    await put(store, meta, content);
    expect(await store.meta(key, now - 1)).toBeDefined();
    expect(await store.meta(key, now)).toBeUndefined();
    expect(await store.list({ companies: "all", limit: 10, livingSince: now })).toEqual([]);
  });

  it("moves the last-access time forward only, and does not revive removed documents", async () => {
    const store = await open();
    const now = Date.now();
    const { meta, content, key } = record({ lastAccessedAt: now });
    await put(store, meta, content);
    await store.touch([
      { ...key, at: now + HOUR },
      { ...key, at: now - HOUR },
      { company: "회사", title: "없음", at: now },
    ]);
    await store.touch([]);
    expect((await store.meta(key, 0))?.lastAccessedAt).toBe(now + HOUR);
    expect(await store.meta({ company: "회사", title: "없음" }, 0)).toBeUndefined();
  });

  it("changes the version of the given revision only", async () => {
    const store = await open();
    const { meta, content, key } = record();
    await put(store, meta, content);
    await store.setVersion(key, "r0", "old");
    expect((await store.meta(key, 0))?.version).toBeNull();
    await store.setVersion(key, "r1", "2판");
    expect((await store.meta(key, 0))?.version).toBe("2판");
  });

  it("removes one document, or all of a company", async () => {
    const store = await open();
    for (const [company, title] of [
      ["A", "1"],
      ["A", "2"],
      ["A", "3"],
      ["B", "1"],
    ] as const) {
      const { meta, content } = record({ company, title });
      await put(store, meta, content);
    }
    expect(await store.remove({ company: "A", title: "1" })).toBe(true);
    expect(await store.remove({ company: "A", title: "1" })).toBe(false);
    expect(await store.removeCompany("A")).toEqual({ removed: 2, more: false });
    expect(await store.removeCompany("A")).toEqual({ removed: 0, more: false });
    const left = await store.list({ companies: "all", limit: 10, livingSince: 0 });
    expect(left.map(({ company, title }) => [company, title])).toEqual([["B", "1"]]);
  });

  it("lists in pages, in a fixed order, and only the given companies", async () => {
    const store = await open();
    const all = ["A", "B", "가", "😀"].flatMap((company) => ["1", "2", "나"].map((title) => ({ company, title })));
    for (const key of [...all].reverse()) {
      const { meta, content } = record(key);
      await put(store, meta, content);
    }
    const seen: string[] = [];
    let after: { company: string; title: string } | undefined;
    for (;;) {
      const page = await store.list({ companies: ["A", "가", "😀"], after, limit: 2, livingSince: 0 });
      if (page.length === 0) break;
      seen.push(...page.map(({ company, title }) => company + title));
      after = page.at(-1);
    }
    expect(seen).toEqual(["A1", "A2", "A나", "가1", "가2", "가나", "😀1", "😀2", "😀나"]);
    expect(await store.list({ companies: [], limit: 2, livingSince: 0 })).toEqual([]);
  });

  it("leases a document to one owner at a time, until it is released or expires", async () => {
    const store = await open();
    const { key } = record();
    const HELD = 60_000;
    const taken = await Promise.all(["a", "b", "c", "d"].map((owner) => store.lease(key, owner, HELD)));
    expect(taken.filter(Boolean)).toHaveLength(1);
    const owner = "abcd"[taken.indexOf(true)]!;
    expect(await store.lease(key, owner, HELD)).toBe(true); // renewed
    expect(await store.lease(key, "x", HELD)).toBe(false);
    expect(await store.lease({ ...key, title: "다른" }, "x", HELD)).toBe(true);
    await store.releaseLease(key, "x"); // not its own
    expect(await store.lease(key, "x", HELD)).toBe(false);
    expect(await store.lease(key, owner, 1)).toBe(true);
    await expect.poll(() => store.lease(key, "x", HELD), { timeout: 10_000 }).toBe(true); // it has expired
    await store.releaseLease(key, "x");
    expect(await store.lease(key, owner, HELD)).toBe(true);
  });

  it("stores titles unchanged: slashes, dots, quotes, emoji, 1,000 characters", async () => {
    const store = await open();
    for (const title of ["../../etc/passwd", "a/b", "'; DROP TABLE documents; --", "$where", "😀".repeat(1000)]) {
      const { meta, content, key } = record({ title });
      await put(store, meta, content);
      expect((await store.meta(key, 0))?.title).toBe(title);
    }
    expect(await store.list({ companies: ["회사"], limit: 10, livingSince: 0 })).toHaveLength(5);
  });
});
