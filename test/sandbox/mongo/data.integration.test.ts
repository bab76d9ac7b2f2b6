import { Binary, type Collection, type Document, Double, Int32, Long, ObjectId } from "mongodb";
import { describe, expect, it } from "vitest";
import { clientWith, READ_WRITE, startServer } from "./harness.ts";

async function documents(): Promise<Collection<Document>> {
  return (await clientWith(await startServer(), READ_WRITE)).db("slm").collection("documents");
}

describe("reading and writing", () => {
  it("gives back every BSON type as it came", async () => {
    const collection = await documents();
    const document = {
      _id: new ObjectId(),
      int: new Int32(7),
      double: new Double(7),
      long: Long.fromString("9007199254740993"),
      vector: Binary.fromFloat32Array(new Float32Array([1, -0.5])),
      at: new Date("2026-11-22T00:00:00Z"),
      text: "계약서",
      list: [1, { a: null }],
      yes: true,
    };
    await collection.insertOne(document);
    const found = await collection.findOne({ _id: document._id }, { promoteValues: false, promoteLongs: false });
    expect(found).toEqual({ ...document, list: [new Int32(1), { a: null }] });
  });

  it("finds by every filter that is told", async () => {
    const collection = await documents();
    await collection.insertMany([
      { _id: 1, n: 1, tags: ["a", "b"], deep: { x: 5 }, at: new Date(1000) },
      { _id: 2, n: 2.5, tags: ["b"], deep: [{ x: 6 }, { x: 7 }], at: new Date(2000) },
      { _id: 3, n: "3", at: new Date(3000), nothing: null },
    ] as unknown as Document[]);
    const ids = async (filter: Document): Promise<unknown[]> =>
      (await collection.find(filter).sort({ _id: 1 }).toArray()).map(({ _id }) => _id as unknown);
    expect(await ids({ n: 1 })).toEqual([1]);
    expect(await ids({ n: { $gt: 1 } })).toEqual([2]); // never the string
    expect(await ids({ n: { $gte: 1, $lte: 2.5 } })).toEqual([1, 2]);
    expect(await ids({ n: { $ne: 1 } })).toEqual([2, 3]);
    expect(await ids({ n: { $in: [1, "3"] } })).toEqual([1, 3]);
    expect(await ids({ n: { $nin: [1, "3"] } })).toEqual([2]);
    expect(await ids({ tags: "b" })).toEqual([1, 2]);
    expect(await ids({ tags: ["b"] })).toEqual([2]);
    expect(await ids({ tags: { $size: 2 } })).toEqual([1]);
    expect(await ids({ "deep.x": { $gte: 6 } })).toEqual([2]);
    expect(await ids({ "deep.1.x": 7 })).toEqual([2]);
    expect(await ids({ deep: { $elemMatch: { x: 6 } } })).toEqual([2]);
    expect(await ids({ deep: { x: 5 } })).toEqual([1]);
    expect(await ids({ tags: { $exists: false } })).toEqual([3]);
    expect(await ids({ nothing: null })).toEqual([1, 2, 3]);
    expect(await ids({ nothing: { $exists: true } })).toEqual([3]);
    expect(await ids({ at: { $lt: new Date(2000) } })).toEqual([1]);
    expect(await ids({ n: { $not: { $gt: 1 } } })).toEqual([1, 3]);
    expect(await ids({ $or: [{ n: 1 }, { tags: { $exists: false } }] })).toEqual([1, 3]);
    expect(await ids({ $and: [{ tags: "b" }, { n: { $lt: 2 } }] })).toEqual([1]);
    expect(await ids({ $nor: [{ n: 1 }, { n: "3" }] })).toEqual([2]);
  });

  it("hands over large results in batches, and closes a cursor that is left", async () => {
    const collection = await documents();
    await collection.insertMany(Array.from({ length: 250 }, (_, n) => ({ n })));
    const all = await collection.find({}, { batchSize: 40 }).sort({ n: -1 }).skip(10).limit(230).toArray();
    expect(all.map(({ n }) => n as number)).toEqual(Array.from({ length: 230 }, (_, i) => 239 - i));
    const left = collection.find({}, { batchSize: 2 });
    await left.next();
    const id = left.id!;
    await left.close();
    const getMore = collection.db.command({ getMore: id, collection: "documents" });
    await expect(getMore).rejects.toMatchObject({ code: 43, codeName: "CursorNotFound" });
  });

  it("moves documents whose batch is larger than one message may be", async () => {
    const collection = await documents();
    const vector = new Binary(new Uint8Array(9_000_000));
    for (const n of [1, 2, 3]) await collection.insertOne({ n, vector });
    const found = await collection.find().toArray();
    expect(found.map(({ n, vector: stored }) => [n, (stored as Binary).position])).toEqual([
      [1, 9_000_000],
      [2, 9_000_000],
      [3, 9_000_000],
    ]);
    const tooLarge = collection.updateOne({ n: 1 }, { $set: { more: vector } });
    await expect(tooLarge).rejects.toMatchObject({ code: 10334 });
  });

  it("projects, keeping or removing fields", async () => {
    const collection = await documents();
    await collection.insertOne({ _id: 1, a: { b: 1, c: 2 }, d: [{ e: 1, f: 2 }] } as unknown as Document);
    const project = (projection: Document): Promise<Document | null> => collection.findOne({}, { projection });
    expect(await project({ "a.b": 1 })).toEqual({ _id: 1, a: { b: 1 } });
    expect(await project({ "d.e": 1, _id: 0 })).toEqual({ d: [{ e: 1 }] });
    expect(await project({ a: 0 })).toEqual({ _id: 1, d: [{ e: 1, f: 2 }] });
    await expect(project({ a: 1, d: 0 })).rejects.toMatchObject({ code: 31254 });
  });

  it("updates by each operator", async () => {
    const collection = await documents();
    await collection.insertOne({ _id: 1, n: 1, low: 5, high: 5, gone: true } as unknown as Document);
    const result = await collection.updateOne(
      { n: 1 },
      {
        $set: { "deep.x": 1 },
        $inc: { n: 2, fresh: 1 },
        $min: { low: 3 },
        $max: { high: 4 },
        $unset: { gone: 1 },
        $setOnInsert: { never: 1 },
      },
    );
    expect(result).toMatchObject({ matchedCount: 1, modifiedCount: 1 });
    expect(await collection.findOne()).toEqual({ _id: 1, n: 3, low: 3, high: 5, deep: { x: 1 }, fresh: 1 });
    const before = Date.now();
    await collection.updateOne({}, { $currentDate: { at: true } });
    expect(await collection.findOne({ at: { $gte: new Date(before) } })).not.toBeNull();
    expect(await collection.updateOne({}, { $set: { n: 3 } })).toMatchObject({ matchedCount: 1, modifiedCount: 0 });
    await expect(collection.updateOne({}, { $set: { _id: 2 } })).rejects.toMatchObject({ code: 66 });
    await expect(collection.updateOne({}, { $inc: { at: 1 } })).rejects.toMatchObject({ code: 14 });
    await expect(collection.updateOne({}, { $set: { a: 1, "a.b": 2 } })).rejects.toMatchObject({ code: 40 });
  });

  it("upserts, replaces, and changes many", async () => {
    const collection = await documents();
    const upsert = await collection.updateOne(
      { title: "a", size: { $gt: 1 } },
      { $set: { n: 1 }, $setOnInsert: { first: true } },
      { upsert: true },
    );
    expect(upsert.upsertedCount).toBe(1);
    expect(await collection.findOne({ title: "a" })).toEqual({ _id: upsert.upsertedId, title: "a", n: 1, first: true });
    expect(await collection.replaceOne({ title: "a" }, { title: "b" })).toMatchObject({ modifiedCount: 1 });
    await collection.insertOne({ title: "c" });
    expect(await collection.updateMany({}, { $set: { all: 1 } })).toMatchObject({ matchedCount: 2, modifiedCount: 2 });
    expect(await collection.deleteOne({ all: 1 })).toMatchObject({ deletedCount: 1 });
    expect(await collection.deleteMany({})).toMatchObject({ deletedCount: 1 });
  });

  it("finds and changes one document in one step", async () => {
    const collection = await documents();
    await collection.insertMany([{ n: 1 }, { n: 2 }]);
    const before = await collection.findOneAndUpdate(
      {},
      { $inc: { n: 10 } },
      { sort: { n: -1 }, projection: { _id: 0 } },
    );
    expect(before).toEqual({ n: 2 });
    const after = await collection.findOneAndUpdate(
      { n: 12 },
      { $set: { n: 3 } },
      { returnDocument: "after", projection: { _id: 0 } },
    );
    expect(after).toEqual({ n: 3 });
    expect(await collection.findOneAndDelete({ n: 1 })).toMatchObject({ n: 1 });
    expect(await collection.findOneAndUpdate({ n: 99 }, { $set: { n: 1 } })).toBeNull();
    const made = await collection.findOneAndUpdate(
      { n: 99 },
      { $set: { x: 1 } },
      { upsert: true, returnDocument: "after" },
    );
    expect(made).toMatchObject({ n: 99, x: 1 });
  });

  it("counts, lists distinct values and aggregates", async () => {
    const collection = await documents();
    await collection.insertMany([
      { company: "a", size: 1 },
      { company: "a", size: 2 },
      { company: "b", size: 4 },
    ]);
    expect(await collection.countDocuments({ company: "a" })).toBe(2);
    expect(await collection.estimatedDocumentCount()).toBe(3);
    expect(await collection.distinct("company")).toEqual(["a", "b"]);
    const groups = await collection
      .aggregate([
        { $group: { _id: "$company", total: { $sum: "$size" }, n: { $sum: 1 } } },
        { $sort: { total: -1 } },
        { $limit: 1 },
      ])
      .toArray();
    expect(groups).toEqual([{ _id: "b", total: 4, n: 1 }]);
    expect(await collection.aggregate([{ $match: { size: { $gt: 1 } } }, { $count: "n" }]).toArray()).toEqual([
      { n: 2 },
    ]);
    const projected = await collection
      .aggregate([{ $sort: { size: 1 } }, { $skip: 2 }, { $project: { _id: 0, who: "$company" } }])
      .toArray();
    expect(projected).toEqual([{ who: "b" }]);
  });

  it("refuses what it does not know, and what it does not have, instead of ignoring it", async () => {
    const collection = await documents();
    const { db } = collection;
    const code = (error: number, codeName: string): object => ({ code: error, codeName });
    await expect(db.command({ frobnicate: 1 })).rejects.toMatchObject(code(59, "CommandNotFound"));
    await expect(db.command({ find: "documents", frobnicate: 1 })).rejects.toMatchObject(
      code(40415, "IDLUnknownField"),
    );
    await expect(db.command({ find: "documents", filter: { a: { $frob: 1 } } })).rejects.toMatchObject(
      code(2, "BadValue"),
    );
    await expect(db.command({ find: "documents", filter: 1 })).rejects.toMatchObject(code(14, "TypeMismatch"));
    await expect(collection.find({ a: /x/ }).toArray()).rejects.toMatchObject(code(238, "NotImplemented"));
    await expect(collection.find({}).hint("x").toArray()).rejects.toMatchObject(code(238, "NotImplemented"));
    await expect(collection.updateOne({}, { $frob: { a: 1 } } as Document)).rejects.toMatchObject({ code: 9 });
    await expect(collection.updateOne({}, { $push: { a: 1 } } as Document)).rejects.toMatchObject({ code: 238 });
    await expect(collection.aggregate([{ $lookup: {} }]).toArray()).rejects.toMatchObject(code(238, "NotImplemented"));
    await expect(collection.aggregate([{ $frob: {} }]).toArray()).rejects.toMatchObject({ code: 40324 });
    await expect(db.createCollection("c", { capped: true, size: 10 })).rejects.toMatchObject(
      code(238, "NotImplemented"),
    );
  });

  it("keeps the server up after a client that does not speak the protocol", async () => {
    const server = await startServer();
    const { createConnection } = await import("node:net");
    const socket = createConnection(server.port, "127.0.0.1");
    socket.on("error", () => {});
    socket.end("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    await new Promise((resolve) => socket.once("close", resolve));
    await (await clientWith(server, READ_WRITE)).db("slm").command({ ping: 1 });
  });
});
