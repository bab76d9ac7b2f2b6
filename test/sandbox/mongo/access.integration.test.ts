import { once } from "node:events";
import { createConnection } from "node:net";
import { MongoClient } from "mongodb";
import { describe, expect, it } from "vitest";
import { startEmulatedMongo } from "../../../sandbox/mongo/server.ts";
import { atEnd, client, clientWith, DB_ADMIN, READ_WRITE, startServer, temporaryFolder } from "./harness.ts";

describe("authentication", () => {
  it("lets a user in with the password, whatever characters it has", async () => {
    const server = await startServer();
    await server.admin.putUser({ username: "rel=ay,1", password: "p@ss:/wörd 비밀", roles: [READ_WRITE] });
    const { authInfo } = await client(server.admin.uri, "rel=ay,1", "p@ss:/wörd 비밀")
      .db("slm")
      .command({ connectionStatus: 1 });
    expect(authInfo).toEqual({
      authenticatedUsers: [{ user: "rel=ay,1", db: "admin" }],
      authenticatedUserRoles: [READ_WRITE],
    });
  });

  it("refuses a wrong password, an unknown user and another authSource with the same error", async () => {
    const server = await startServer();
    await server.admin.putUser({ username: "relay", password: "right", roles: [READ_WRITE] });
    const clients = [
      client(server.admin.uri, "relay", "wrong"),
      client(server.admin.uri, "nobody", "right"),
      client(server.admin.uri, "relay", "right", { authSource: "slm" }),
    ];
    for (const refused of clients) {
      await expect(refused.db("slm").command({ ping: 1 })).rejects.toMatchObject({
        code: 18,
        codeName: "AuthenticationFailed",
        message: "Authentication failed.",
      });
    }
  });

  it("answers only the handshake and ping to a client that has not signed in", async () => {
    const server = await startServer();
    const stranger = new MongoClient(server.admin.uri, { serverSelectionTimeoutMS: 2000 });
    atEnd(() => stranger.close());
    expect(await stranger.db("admin").command({ ping: 1 })).toMatchObject({ ok: 1 });
    expect(await stranger.db("admin").command({ buildInfo: 1 })).toMatchObject({ version: "8.0.0" });
    await expect(stranger.db("slm").collection("documents").findOne()).rejects.toMatchObject({
      code: 13,
      codeName: "Unauthorized",
      message: "Command find requires authentication",
    });
  });

  it("takes a changed password, and forgets a removed user on open connections too", async () => {
    const server = await startServer();
    await server.admin.putUser({ username: "relay", password: "one", roles: [READ_WRITE] });
    const open = client(server.admin.uri, "relay", "one");
    await open.db("slm").collection("documents").findOne();
    await server.admin.putUser({ username: "relay", password: "two", roles: [READ_WRITE] });
    await expect(client(server.admin.uri, "relay", "one").db("slm").command({ ping: 1 })).rejects.toMatchObject({
      code: 18,
    });
    await client(server.admin.uri, "relay", "two").db("slm").collection("documents").findOne();
    await server.admin.removeUser("relay");
    await server.admin.removeUser("relay");
    await expect(open.db("slm").collection("documents").findOne()).rejects.toMatchObject({ code: 13 });
  });
});

describe("roles", () => {
  it("gives readWrite the data and its indexes, but not collMod", async () => {
    const server = await startServer();
    const db = (await clientWith(server, READ_WRITE)).db("slm");
    await db.collection("documents").insertOne({ title: "a" });
    await db.collection("documents").createIndex({ at: 1 }, { expireAfterSeconds: 60 });
    const refused = db.command({ collMod: "documents", index: { name: "at_1", expireAfterSeconds: 120 } });
    await expect(refused).rejects.toMatchObject({ code: 13, codeName: "Unauthorized" });
    await expect(refused).rejects.toThrow(
      /^not authorized on slm to execute command \{ collMod: "documents", index: \{ name: "at_1"/,
    );
    await expect(db.dropDatabase()).rejects.toMatchObject({ code: 13 });
    await db.collection("documents").dropIndex("at_1");
  });

  it("keeps a user to its databases", async () => {
    const server = await startServer();
    const relay = await clientWith(server, READ_WRITE);
    await expect(relay.db("other").collection("x").insertOne({})).rejects.toMatchObject({ code: 13 });
    const any = await clientWith(server, { role: "readWriteAnyDatabase", db: "admin" });
    await any.db("other").collection("x").insertOne({});
    expect((await relay.db("admin").admin().listDatabases()).databases).toEqual([]);
    expect((await any.db("admin").admin().listDatabases({ nameOnly: true })).databases).toEqual([{ name: "other" }]);
  });

  it("gives dbAdmin the schema and not the data", async () => {
    const server = await startServer();
    const db = (await clientWith(server, DB_ADMIN)).db("slm");
    await db.createCollection("documents");
    await expect(db.collection("documents").findOne()).rejects.toMatchObject({ code: 13 });
    await expect(db.collection("documents").insertOne({})).rejects.toMatchObject({ code: 13 });
  });

  it("gives read no write", async () => {
    const server = await startServer();
    const db = (await clientWith(server, { role: "read", db: "slm" })).db("slm");
    expect(await db.collection("documents").findOne()).toBeNull();
    await expect(db.collection("documents").insertOne({})).rejects.toMatchObject({ code: 13 });
    await expect(db.collection("documents").createIndex({ a: 1 })).rejects.toMatchObject({ code: 13 });
  });

  it("gives atlasAdmin everything but users, which Atlas' API makes", async () => {
    const server = await startServer();
    const owner = await clientWith(server, { role: "atlasAdmin", db: "admin" });
    await owner.db("slm").collection("documents").insertOne({});
    await owner.db("slm").command({ collMod: "documents" });
    await expect(owner.db("admin").command({ createUser: "x", pwd: "y", roles: [] })).rejects.toMatchObject({
      code: 13,
    });
  });

  it("makes, changes, shows and drops users by command for an administrator of users", async () => {
    const server = await startServer();
    const admin = (await clientWith(server, { role: "root", db: "admin" })).db("admin");
    await admin.command({ createUser: "app", pwd: "one", roles: [READ_WRITE] });
    await expect(admin.command({ createUser: "app", pwd: "one", roles: [] })).rejects.toMatchObject({ code: 51003 });
    await admin.command({ updateUser: "app", pwd: "two" });
    expect(await client(server.admin.uri, "app", "two").db("slm").collection("d").findOne()).toBeNull();
    expect((await admin.command({ usersInfo: "app" })).users).toMatchObject([
      { user: "app", db: "admin", roles: [READ_WRITE] },
    ]);
    await admin.command({ dropUser: "app" });
    await expect(admin.command({ dropUser: "app" })).rejects.toMatchObject({ code: 11, codeName: "UserNotFound" });
    await expect(
      admin.command({ createUser: "b", pwd: "x", roles: [{ role: "king", db: "slm" }] }),
    ).rejects.toMatchObject({ code: 31 });
  });
});

describe("the access list", () => {
  it("lets nobody in while it is empty, and says nothing before it closes", async () => {
    const server = await startEmulatedMongo({ dir: await temporaryFolder(), port: 0, log: () => {} });
    atEnd(() => server.close());
    const socket = createConnection(server.port, "127.0.0.1");
    socket.on("error", () => {});
    let bytes = 0;
    socket.on("data", (chunk) => (bytes += chunk.length));
    await once(socket, "close");
    expect(bytes).toBe(0);
    await server.admin.putUser({ username: "relay", password: "p", roles: [READ_WRITE] });
    const relay = client(server.admin.uri, "relay", "p", { serverSelectionTimeoutMS: 300 });
    await expect(relay.db("slm").command({ ping: 1 })).rejects.toMatchObject({ name: "MongoServerSelectionError" });
  });

  it("decides by the address the client stands for", async () => {
    const server = await startServer();
    const relay = await clientWith(server, READ_WRITE);
    await relay.db("slm").command({ ping: 1 });
    await server.admin.setAccessList(["198.51.100.7/32", "2001:db8::/32"]);
    const late = client(server.admin.uri, "user-readWrite", "p@ss:/word", { serverSelectionTimeoutMS: 300 });
    await expect(late.db("slm").command({ ping: 1 })).rejects.toMatchObject({ name: "MongoServerSelectionError" });
    await server.admin.setAccessList(["198.51.100.7/32", "203.0.113.7"]);
    await client(server.admin.uri, "user-readWrite", "p@ss:/word").db("slm").command({ ping: 1 });
  });

  it("refuses an invalid address", async () => {
    const server = await startServer();
    for (const wrong of ["office", "203.0.113.0/33", "203.0.113.0/x"]) {
      await expect(server.admin.setAccessList([wrong])).rejects.toThrow(/is neither an address nor a CIDR block/);
    }
  });
});
