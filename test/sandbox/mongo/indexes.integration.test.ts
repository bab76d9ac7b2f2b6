import { once } from "node:events";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Db } from "mongodb";
import { describe, expect, it } from "vitest";
import { startEmulatedMongo } from "../../../sandbox/mongo/server.ts";
import { atEnd, client, clientWith, DB_ADMIN, READ_WRITE, startServer, temporaryFolder } from "./harness.ts";

async function database(ttlMonitorMs?: number): Promise<Db> {
  return (await clientWith(await startServer({ ttlMonitorMs }), READ_WRITE, DB_ADMIN)).db("slm");
}

describe("unique indexes", () => {
  it("refuse a second document with the same keys and say which", async () => {
    const documents = (await database()).collection("documents");
    await documents.createIndex({ company: 1, title: 1 }, { unique: true });
    await documents.insertOne({ company: "가", title: "a" });
    await documents.insertOne({ company: "가", title: "b" });
    const duplicate = {
      code: 11000,
      keyPattern: { company: 1, title: 1 },
      keyValue: { company: "가", title: "a" },
    };
    await expect(documents.insertOne({ company: "가", title: "a" })).rejects.toMatchObject(duplicate);
    await expect(documents.insertOne({ company: "가", title: "a" })).rejects.toThrow(
      'E11000 duplicate key error collection: slm.documents index: company_1_title_1 dup key: { company: "가", title: "a" }',
    );
    await expect(documents.updateOne({ title: "b" }, { $set: { title: "a" } })).rejects.toMatchObject({ code: 11000 });
    const modify = documents.findOneAndUpdate({ title: "b" }, { $set: { title: "a" } });
    await expect(modify).rejects.toMatchObject({ ...duplicate, codeName: "DuplicateKey" });
    await documents.deleteOne({ title: "a" });
    await documents.updateOne({ title: "b" }, { $set: { title: "a" } });
  });

  it("take 5 as an int, a long and a double for one key", async () => {
    const documents = (await database()).collection<{ _id: number }>("documents");
    await documents.insertOne({ _id: 5 });
    await expect(documents.insertOne({ _id: 5.0 })).rejects.toMatchObject({ code: 11000 });
  });

  it("are not made over documents that break them, and leave nothing behind", async () => {
    const documents = (await database()).collection("documents");
    await documents.insertMany([{ a: 1 }, { a: 1 }]);
    await expect(documents.createIndexes([{ key: { b: 1 } }, { key: { a: 1 }, unique: true }])).rejects.toMatchObject({
      code: 11000,
    });
    expect((await documents.indexes()).map(({ name }) => name)).toEqual(["_id_"]);
  });

  it("report the failed statement of a batch and go on when it is unordered", async () => {
    const documents = (await database()).collection<{ _id: number }>("documents");
    const batch = [{ _id: 1 }, { _id: 1 }, { _id: 2 }];
    await expect(documents.insertMany(batch, { ordered: false })).rejects.toMatchObject({
      code: 11000,
      insertedCount: 2,
    });
    expect(await documents.countDocuments()).toBe(2);
  });
});

describe("making and changing indexes", () => {
  it("makes an index once, and says so the second time", async () => {
    const db = await database();
    const command = { createIndexes: "documents", indexes: [{ key: { at: 1 }, name: "at_1", expireAfterSeconds: 60 }] };
    expect(await db.command(command)).toMatchObject({
      numIndexesBefore: 1,
      numIndexesAfter: 2,
      createdCollectionAutomatically: true,
    });
    expect(await db.command(command)).toMatchObject({
      numIndexesBefore: 2,
      numIndexesAfter: 2,
      note: "all indexes already exist",
    });
    expect(await db.collection("documents").indexes()).toEqual([
      { v: 2, key: { _id: 1 }, name: "_id_" },
      { v: 2, key: { at: 1 }, name: "at_1", expireAfterSeconds: 60 },
    ]);
  });

  it("refuses the same index with another life (85), another name (85), and the same name with other keys (86)", async () => {
    const documents = (await database()).collection("documents");
    await documents.createIndex({ at: 1 }, { expireAfterSeconds: 60, name: "ttl" });
    const conflict = { code: 85, codeName: "IndexOptionsConflict" };
    await expect(documents.createIndex({ at: 1 }, { expireAfterSeconds: 90, name: "ttl" })).rejects.toMatchObject(
      conflict,
    );
    await expect(documents.createIndex({ at: 1 }, { expireAfterSeconds: 60, name: "other" })).rejects.toMatchObject(
      conflict,
    );
    await expect(documents.createIndex({ at: 1 }, { expireAfterSeconds: 90, name: "other" })).rejects.toThrow(
      /^An equivalent index already exists with a different name and options\. Requested index: \{ v: 2, key: \{ at: 1 \}/,
    );
    await expect(documents.createIndex({ other: 1 }, { name: "ttl" })).rejects.toMatchObject({
      code: 86,
      codeName: "IndexKeySpecsConflict",
    });
  });

  it("refuses an invalid TTL (67)", async () => {
    const documents = (await database()).collection("documents");
    const refused = { code: 67, codeName: "CannotCreateIndex" };
    await expect(documents.createIndex({ at: 1 }, { expireAfterSeconds: -1 })).rejects.toMatchObject(refused);
    await expect(documents.createIndex({ at: 1 }, { expireAfterSeconds: 2 ** 31 })).rejects.toMatchObject(refused);
    await expect(documents.createIndex({ at: 1, b: 1 }, { expireAfterSeconds: 5 })).rejects.toMatchObject(refused);
  });

  it("changes a life by collMod, by name and by keys", async () => {
    const db = await database();
    await db.collection("documents").createIndex({ at: 1 }, { expireAfterSeconds: 60 });
    expect(await db.command({ collMod: "documents", index: { name: "at_1", expireAfterSeconds: 90 } })).toMatchObject({
      expireAfterSeconds_old: 60,
      expireAfterSeconds_new: 90,
    });
    await db.command({ collMod: "documents", index: { keyPattern: { at: 1 }, expireAfterSeconds: 120 } });
    expect((await db.collection("documents").indexes())[1]).toMatchObject({ expireAfterSeconds: 120 });
    const missing = db.command({ collMod: "documents", index: { name: "x", expireAfterSeconds: 1 } });
    await expect(missing).rejects.toMatchObject({ code: 27, codeName: "IndexNotFound" });
    const nowhere = db.command({ collMod: "nowhere", index: { name: "x", expireAfterSeconds: 1 } });
    await expect(nowhere).rejects.toMatchObject({ code: 26, codeName: "NamespaceNotFound" });
  });

  it("drops indexes, but never the one on _id", async () => {
    const documents = (await database()).collection("documents");
    await documents.createIndexes([{ key: { a: 1 } }, { key: { b: 1 } }, { key: { c: 1 } }]);
    await documents.dropIndex("a_1");
    await expect(documents.dropIndex("a_1")).rejects.toMatchObject({ code: 27 });
    await expect(documents.dropIndex("_id_")).rejects.toMatchObject({ code: 72 });
    await documents.dropIndexes();
    expect((await documents.indexes()).map(({ name }) => name)).toEqual(["_id_"]);
    await expect(documents.db.collection("nowhere").indexes()).rejects.toMatchObject({ code: 26 });
  });

  it("creates a collection again without complaint, unless it would be another", async () => {
    const db = await database();
    await db.createCollection("documents");
    await db.createCollection("documents");
    await expect(db.createCollection("documents", { capped: true, size: 4096 })).rejects.toMatchObject({
      code: 48,
      codeName: "NamespaceExists",
    });
    expect(await db.listCollections({ name: "documents" }, { nameOnly: true }).toArray()).toEqual([
      { name: "documents", type: "collection" },
    ]);
    expect(await db.dropCollection("documents")).toBe(true);
    expect(await db.listCollections().toArray()).toEqual([]);
  });
});

describe("the TTL monitor", () => {
  it("runs late: until it does, what is past its life is still found by who does not filter", async () => {
    const server = await startEmulatedMongo({
      dir: await temporaryFolder(),
      port: 0,
      log: () => {},
      ttlMonitorMs: 3_600_000,
    });
    atEnd(() => server.close());
    await server.admin.setAccessList(["0.0.0.0/0"]);
    const documents = (await clientWith(server, READ_WRITE)).db("slm").collection("documents");
    await documents.createIndex({ at: 1 }, { expireAfterSeconds: 60 });
    await documents.insertOne({ n: "old", at: new Date(Date.now() - 100_000) });
    expect(await documents.countDocuments({ n: "old" })).toBe(1);
    const since = new Date(Date.now() - 60_000);
    expect(await documents.countDocuments({ n: "old", at: { $gt: since } })).toBe(0);
  });

  it("removes what is past its life and nothing else", async () => {
    const removed = Promise.withResolvers<string>();
    const server = await startEmulatedMongo({
      dir: await temporaryFolder(),
      port: 0,
      log: removed.resolve,
      ttlMonitorMs: 20,
    });
    atEnd(() => server.close());
    await server.admin.setAccessList(["0.0.0.0/0"]);
    const documents = (await clientWith(server, READ_WRITE)).db("slm").collection("documents");
    const ago = (seconds: number): Date => new Date(Date.now() - seconds * 1000);
    await documents.insertMany([
      { n: "old", at: ago(100) },
      { n: "young", at: ago(10) },
      { n: "old among others", at: [ago(10), ago(100)] },
      { n: "no date", at: "yesterday" },
      { n: "none" },
    ]);
    await documents.createIndex({ at: 1 }, { expireAfterSeconds: 60 });
    expect(await removed.promise).toContain("removed 2 expired documents");
    expect((await documents.find().toArray()).map(({ n }) => n as string)).toEqual(["young", "no date", "none"]);
  });
});

describe("a restart", () => {
  it("keeps documents, indexes, users and the access list", async () => {
    const dir = await temporaryFolder();
    const first = await startEmulatedMongo({ dir, port: 0, log: () => {} });
    await first.admin.setAccessList(["203.0.113.7/32"]);
    await first.admin.putUser({ username: "relay", password: "secret word", roles: [READ_WRITE] });
    const before = client(first.admin.uri, "relay", "secret word").db("slm").collection("문서");
    await before.createIndex({ at: 1 }, { expireAfterSeconds: 60 });
    await before.createIndex({ title: 1 }, { unique: true });
    await before.insertOne({ title: "계약서", at: new Date(Date.now() + 1000) });
    await before.db.collection("dropped").insertOne({});
    await before.db.collection("dropped").drop();
    await first.close();
    expect((await readdir(dir)).filter((file) => file.endsWith(".bson"))).toHaveLength(2);

    const second = await startEmulatedMongo({ dir, port: 0, log: () => {} });
    atEnd(() => second.close());
    const after = client(second.admin.uri, "relay", "secret word").db("slm").collection("문서");
    expect(await after.findOne({}, { projection: { _id: 0, at: 0 } })).toEqual({ title: "계약서" });
    expect((await after.indexes()).map(({ name }) => name)).toEqual(["_id_", "at_1", "title_1"]);
    await expect(after.insertOne({ title: "계약서" })).rejects.toMatchObject({ code: 11000 });
  });

  it("refuses damaged data and names the file", async () => {
    const dir = await temporaryFolder();
    await writeFile(join(dir, "catalog.bson"), "not BSON");
    await expect(startEmulatedMongo({ dir, port: 0, log: () => {} })).rejects.toThrow(
      /catalog\.bson is damaged at byte 0/,
    );
  });

  it("frees its port", async () => {
    const { createServer } = await import("node:net");
    const server = await startEmulatedMongo({ dir: await temporaryFolder(), port: 0, log: () => {} });
    await server.close();
    const next = createServer().listen(server.port, "127.0.0.1");
    await once(next, "listening");
    next.close();
  });
});
