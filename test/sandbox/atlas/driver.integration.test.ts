/** Declarations through Atlas' API, seen by MongoDB's own driver: refused until they take effect, then admitted with the roles' privileges. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { startAtlasApi } from "../../../sandbox/atlas/api.ts";
import { startEmulatedMongo } from "../../../sandbox/mongo/server.ts";
import { Secret } from "../../../sandbox/providers/plugin/values.ts";
import { atEnd, client, temporaryFolder } from "../mongo/harness.ts";
import { startPlugin } from "../providers/plugin.ts";
import { projectId } from "./harness.ts";

/** Longer than any test: what was declared does not count yet, however busy the machine is. */
const never = 3_600_000;

test("a declared user and a declared address are refused at first, then admitted", async () => {
  const folder = await temporaryFolder();
  const mongo = await startEmulatedMongo({ dir: join(folder, "mongo"), port: 0, log: () => {} });
  atEnd(() => mongo.close());
  const start = (delays: { userMs: number; accessMs: number }) =>
    startAtlasApi({
      port: 0,
      projectId,
      clusterName: "main",
      publicKey: "public",
      privateKey: "private",
      mongo: mongo.admin,
      statePath: join(folder, "atlas.json"),
      delays,
      log: () => {},
    });
  const signIn = () =>
    client(mongo.admin.uri, "relay", "password-1", { serverSelectionTimeoutMS: 1500 })
      .db("slm")
      .collection("documents");

  const slow = await start({ userMs: never, accessMs: never });
  const plugin = await startPlugin("mongodbatlas");
  atEnd(() => plugin.stop());
  await plugin.configure({ publicKey: "public", privateKey: new Secret("private"), baseUrl: slow.url });
  await plugin.create("mongodbatlas:index/databaseUser:DatabaseUser", {
    projectId,
    username: "relay",
    authDatabaseName: "admin",
    password: new Secret("password-1"),
    roles: [{ roleName: "readWrite", databaseName: "slm" }],
  });
  // The address the sandbox's callers come from.
  await plugin.create("mongodbatlas:index/projectIpAccessList:ProjectIpAccessList", {
    projectId,
    cidrBlock: "203.0.113.7/32",
  });
  await expect(signIn().findOne()).rejects.toMatchObject({ name: "MongoServerSelectionError" });
  await mongo.admin.setAccessList(["203.0.113.7/32"]); // now the address counts, and the user does not yet
  await expect(signIn().findOne()).rejects.toMatchObject({ code: 18, codeName: "AuthenticationFailed" });
  await slow.close();

  const later = await start({ userMs: 0, accessMs: 0 });
  atEnd(() => later.close());
  await signIn().insertOne({ title: "a" });
  const changing = signIn().db.command({ collMod: "documents", index: { name: "_id_", hidden: false } });
  await expect(changing).rejects.toMatchObject({ code: 13, codeName: "Unauthorized" });
});
