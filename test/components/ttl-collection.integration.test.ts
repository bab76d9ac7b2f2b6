import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MongoClient } from "mongodb";
import { expect, it, onTestFinished } from "vitest";
import { withCredentials } from "../../components/document-store.ts";
import { type RetryOptions, ttlIndex, uniqueIndex } from "../../components/ttl-collection-database.ts";
import {
  create,
  diff,
  read,
  remove,
  type TtlCollectionState,
  update,
} from "../../components/ttl-collection-provider.ts";
import { startEmulatedMongo } from "../../sandbox/mongo/server.ts";

const DAY = 86_400;
const PASSWORD = "p@ss:/w?rd-of-the-schema-user";

async function start() {
  const dir = await mkdtemp(join(tmpdir(), "slm-ttl-"));
  const server = await startEmulatedMongo({ dir, port: 0, log: () => {} });
  onTestFinished(async () => {
    await server.close();
    await rm(dir, { recursive: true, force: true });
  });
  const roles = ["readWrite", "dbAdmin"].map((role) => ({ role, db: "slm" }));
  const allow = () => server.admin.setAccessList(["203.0.113.7/32"]);
  const makeUser = () => server.admin.putUser({ username: "slm-schema", password: PASSWORD, roles });
  const said: string[] = [];
  const waiting: RetryOptions = {
    retryForMs: 10_000,
    retryPauseMs: 20,
    log: (text) => void said.push(text),
    publicAddress: async () => "198.51.100.4",
  };
  const uri = withCredentials(server.admin.uri, "slm-schema", PASSWORD);
  const inputs = { uri, database: "slm", collection: "documents", ttlSeconds: 30 * DAY, dropData: false };
  const client = new MongoClient(uri);
  onTestFinished(() => client.close());
  return {
    server,
    allow,
    makeUser,
    said,
    waiting,
    inputs,
    documents: client.db("slm").collection("documents"),
    client,
  };
}

const ready = async () => {
  const all = await start();
  await all.allow();
  await all.makeUser();
  return all;
};

it("makes the collection with both indexes, takes over what is there, and changes the TTL in place", async () => {
  const { inputs, waiting, documents } = await ready();
  const made = await create(inputs, waiting);
  expect(made).toMatchObject({ id: "slm/documents", outs: { ttlSeconds: 30 * DAY, uniqueIndex: true } });
  await documents.insertOne({ company: "가", title: "a", lastAccessedAt: new Date() });
  await create(inputs, waiting);
  await update({ ...inputs, ttlSeconds: 7 * DAY }, waiting);
  const indexes = await documents.indexes();
  expect(indexes.find(({ name }) => name === ttlIndex.name)?.expireAfterSeconds).toBe(7 * DAY);
  expect(indexes.find(({ name }) => name === uniqueIndex.name)?.unique).toBe(true);
  expect(await documents.countDocuments()).toBe(1);
});

it("reports a state that was written by another module of the provider, so that an up writes the new one", async () => {
  const { inputs, waiting } = await ready();
  const { outs } = await create(inputs, waiting);
  const text = (path: string) => ({ __provider: `import("file://" + process.cwd() + "/components/${path}")` });
  const olds = { ...outs, ...text("ttl-collection-provider.ts") };
  expect((await diff(olds, { ...inputs, ...text("ttl-collection-provider.ts") })).changes).toBe(false);
  expect(await diff(olds, { ...inputs, ...text("documents/ttl-provider.ts") })).toMatchObject({
    changes: true,
    replaces: [],
  });
});

it("shows as drift an index that was dropped or changed by hand, and a collection that is gone; and mends it", async () => {
  const { inputs, waiting, documents, client } = await ready();
  const { outs: state } = await create(inputs, waiting);
  const seen = async () => (await read("slm/documents", state, waiting)).props as TtlCollectionState;
  expect((await diff(await seen(), inputs)).changes).toBe(false);
  await client.db("slm").command({ collMod: "documents", index: { name: ttlIndex.name, expireAfterSeconds: 60 } });
  expect(await seen()).toMatchObject({ ttlSeconds: 60 });
  await documents.dropIndexes();
  const drifted = await seen();
  expect(drifted).toMatchObject({ ttlSeconds: -1, uniqueIndex: false });
  expect((await diff(drifted, inputs)).changes).toBe(true);
  await update(inputs, waiting);
  expect((await diff(await seen(), inputs)).changes).toBe(false);
  await documents.drop();
  expect((await read("slm/documents", state, waiting)).id).toBe("");
});

it("keeps the documents when it is deleted, unless dropData is true", async () => {
  const { inputs, waiting, documents, client } = await ready();
  const { outs } = await create(inputs, waiting);
  await documents.insertOne({ company: "가", title: "a", lastAccessedAt: new Date() });
  await client.db("slm").collection("documents_leases").insertOne({ owner: "x" });
  await remove(outs, waiting);
  expect(await documents.countDocuments()).toBe(1);
  await remove({ ...outs, dropData: true }, waiting);
  expect(await client.db("slm").listCollections().toArray()).toEqual([]);
});

it("waits for a user that was just declared, saying so once", async () => {
  const { allow, makeUser, inputs, waiting, said } = await start();
  await allow();
  const say = (text: string) => {
    said.push(text);
    void makeUser();
  };
  const made = create(inputs, { ...waiting, log: say });
  expect((await made).outs.uniqueIndex).toBe(true);
  expect(said).toEqual(["waiting up to 10 s for the database user that was just declared to take effect in Atlas"]);
});

it("waits for network access that was just declared, saying so once", async () => {
  const { allow, makeUser, inputs, waiting, said } = await start();
  await makeUser();
  const say = (text: string) => {
    said.push(text);
    void allow();
  };
  const made = create(inputs, { ...waiting, log: say });
  expect((await made).outs.uniqueIndex).toBe(true);
  expect(said).toEqual(["waiting up to 10 s for the network access that was just declared to take effect in Atlas"]);
}, 30_000);

it("says what to do when it cannot be, never with the password", async () => {
  const { server, makeUser, allow, inputs, waiting, documents } = await start();
  const brief = { ...waiting, retryForMs: 100 };
  const fails = async (change: Partial<typeof inputs> = {}): Promise<string> => {
    const error = await create({ ...inputs, ...change }, brief).then(
      () => new Error("it went well"),
      (cause: unknown) => cause as Error,
    );
    expect(error.message).not.toContain(PASSWORD);
    expect(error.message).not.toContain(encodeURIComponent(PASSWORD));
    return error.message;
  };
  await makeUser();
  expect(await fails()).toMatch(/no answer.*allowFrom\? Is the cluster paused/);
  await allow();
  const wrong = withCredentials(server.admin.uri, "slm-schema", "wrong-password");
  expect(await fails({ uri: wrong })).toMatch(/user slm-schema was rejected.*atlasSchemaPassword/);
  expect(await fails({ database: "other" })).toMatch(/lacks a privilege; it needs readWrite and dbAdmin on other/);
  await documents.createIndex({ title: 1 }, { name: ttlIndex.name });
  expect(await fails()).toMatch(/index of the name lastAccessedAt_ttl.*other keys.*Drop it/);
  await documents.drop();
  await documents.insertMany([1, 2].map((n) => ({ company: "가", title: "a", n, lastAccessedAt: new Date() })));
  expect(await fails()).toMatch(/two documents have the same company and title/);
});

it("names the address to add when a cluster elsewhere does not answer", async () => {
  const { explain } = await import("../../components/ttl-collection-database.ts");
  const { inputs } = await ready();
  const { MongoServerSelectionError } = await import("mongodb");
  const cause = Object.assign(Object.create(MongoServerSelectionError.prototype) as Error, { message: "closed" });
  expect(explain(cause, inputs, "198.51.100.4").message).toMatch(/Is 198\.51\.100\.4\/32, this machine's address/);
});
