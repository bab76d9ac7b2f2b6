import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MongoClient } from "mongodb";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { withCredentials } from "../../components/document-store.ts";
import { explain } from "../../components/ttl-collection-database.ts";
import {
  create,
  diff,
  read,
  remove,
  type TtlCollectionInputs,
  update,
} from "../../components/ttl-collection-provider.ts";
import { startMongo } from "../../sandbox/mongo/start.ts";

const password = "p@ss:/?#%";
const folder = mkdtempSync(join(tmpdir(), "slm-ttl-"));
let mongo: Awaited<ReturnType<typeof startMongo>>;
let inputs: TtlCollectionInputs;
let client: MongoClient;

beforeAll(async () => {
  mongo = await startMongo({ dir: folder, port: 0, log: () => {}, env: { SANDBOX_OFFLINE: "1" } });
  await mongo.admin.setAccessList(["203.0.113.7/32"]);
  const roles = ["readWrite", "dbAdmin"].map((role) => ({ role, db: "slm" }));
  await mongo.admin.putUser({ username: "slm-schema", password, roles });
  const uri = withCredentials(mongo.uri, "slm-schema", password);
  inputs = { uri, database: "slm", collection: "documents", ttlSeconds: 2_592_000, dropData: false };
  client = new MongoClient(uri);
});
afterAll(async () => {
  await client.close();
  await mongo.close();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  await client
    .db("slm")
    .dropCollection("documents")
    .catch(() => {});
});

const indexes = () => client.db("slm").collection("documents").indexes();

describe("the TTL collection", () => {
  it("is made with its TTL index and its unique index", async () => {
    const { id, outs } = await create(inputs);
    expect(id).toBe("slm/documents");
    expect(outs).toMatchObject({ ttlSeconds: 2_592_000, uniqueIndex: true });
    expect(await indexes()).toMatchObject([
      {},
      { name: "lastAccessedAt_ttl", key: { lastAccessedAt: 1 }, expireAfterSeconds: 2_592_000 },
      { name: "company_title_unique", key: { company: 1, title: 1 }, unique: true },
    ]);
  });

  it("takes over a collection that is there, and changes its TTL in place", async () => {
    const documents = client.db("slm").collection("documents");
    await documents.insertOne({ company: "a", title: "b" });
    await documents.createIndex({ lastAccessedAt: 1 }, { name: "by_hand", expireAfterSeconds: 60 });
    await create(inputs);
    expect(await indexes()).toContainEqual(expect.objectContaining({ name: "by_hand", expireAfterSeconds: 2_592_000 }));
    expect(await documents.countDocuments()).toBe(1);
  });

  it("reads the indexes as they are, so that what was done by hand shows as a difference", async () => {
    const { id, outs } = await create(inputs);
    const clean = await read(id, outs);
    expect(await diff(clean.props, inputs)).toMatchObject({ changes: false });
    await client
      .db("slm")
      .command({ collMod: "documents", index: { name: "lastAccessedAt_ttl", expireAfterSeconds: 60 } });
    await client.db("slm").collection("documents").dropIndex("company_title_unique");
    const drifted = await read(id, outs);
    expect(drifted.props).toMatchObject({ ttlSeconds: 60, uniqueIndex: false });
    expect(await diff(drifted.props, inputs)).toMatchObject({ changes: true, replaces: [] });
    await update(inputs);
    expect((await read(id, outs)).props).toMatchObject({ ttlSeconds: 2_592_000, uniqueIndex: true });
  });

  it("is gone when the collection is", async () => {
    const { outs } = await create(inputs);
    await client.db("slm").dropCollection("documents");
    expect(await read("slm/documents", outs)).toMatchObject({ id: "" });
  });

  it("is replaced when it moves to another place, not when only its TTL changes", async () => {
    const { outs } = await create(inputs);
    expect(await diff(outs, { ...inputs, collection: "other" })).toMatchObject({
      changes: true,
      replaces: ["collection"],
    });
    expect(await diff(outs, { ...inputs, ttlSeconds: 1 })).toMatchObject({ changes: true, replaces: [] });
  });

  it("leaves the documents when it is removed, unless told otherwise", async () => {
    const { outs } = await create(inputs);
    await client.db("slm").collection("documents").insertOne({ company: "a", title: "b" });
    await remove(outs);
    expect(await client.db("slm").collection("documents").countDocuments()).toBe(1);
    await remove({ ...outs, dropData: true });
    expect(await client.db("slm").listCollections({ name: "documents" }).hasNext()).toBe(false);
  });

  it("waits for a user that takes effect only after a while", async () => {
    const uri = withCredentials(mongo.uri, "slm-late", password);
    const late = create({ ...inputs, uri });
    await new Promise((resolve) => setTimeout(resolve, 300));
    await mongo.admin.putUser({ username: "slm-late", password, roles: [{ role: "dbAdmin", db: "slm" }] });
    await expect(late).resolves.toMatchObject({ id: "slm/documents" });
  });
});

describe("a DNS look-up of SRV records that fails", () => {
  const failing = (syscall: string) => Object.assign(new Error(`${syscall} ETIMEOUT _mongodb._tcp.x`), { syscall });

  it.each(["querySrv", "queryTxt"])(
    "is reported as one of DNS, with the switch for networks without (%s)",
    (syscall) => {
      const { message } = explain(failing(syscall), inputs);
      expect(message).toMatch(
        /DNS did not resolve.*nslookup -type=srv _mongodb\._tcp\..*documents\.atlas\.connection to standard/,
      );
      expect(message).not.toMatch(/MongoDB refused/);
    },
  );

  it("is retried, since a new cluster's record takes a while", async () => {
    const said: string[] = [];
    const uri = "mongodb+srv://slm-schema:x@cluster.invalid/";
    const options = { retryForMs: 100, retryPauseMs: 10, log: (text: string) => said.push(text) };
    await expect(create({ ...inputs, uri }, options)).rejects.toThrow(/DNS did not resolve/);
    expect(said).toEqual([expect.stringMatching(/waiting up to .* the cluster's name in DNS/)]);
  });
});

describe("an error of MongoDB is reported with the fix", () => {
  it.each([
    [{ code: 18, codeName: "AuthenticationFailed" }, /slm-schema was rejected.*atlasSchemaPassword/],
    [{ code: 13, codeName: "Unauthorized" }, /lacks a privilege.*readWrite and dbAdmin/],
    [{ code: 86, codeName: "IndexKeySpecsConflict" }, /with other keys or settings.*Drop it in Atlas/],
    [{ code: 11000 }, /two documents have the same company and title/],
  ])("%o", async (fields, words) => {
    const { MongoServerError } = await import("mongodb");
    const error = explain(new MongoServerError({ message: "as the server says", ...fields }), inputs);
    expect(error.message).toMatch(words);
    expect(error.message).toContain("slm.documents on 127.0.0.1");
    expect(error.message).not.toContain(encodeURIComponent(password));
  });

  it("an unreachable database names the access list", async () => {
    const { MongoServerSelectionError } = await import("mongodb");
    const error = explain(
      Object.create(MongoServerSelectionError.prototype, { message: { value: "timed out" } }),
      inputs,
    );
    expect(error.message).toMatch(/allowFrom/);
  });
});
