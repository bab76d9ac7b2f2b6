/** The sandbox's MongoDB, a process of its own, with the relay's user and the collection as Pulumi declares it. */
import { MongoClient } from "mongodb";
import { withCredentials } from "../../../components/document-store.ts";
import { ttlIndex, uniqueIndex } from "../../../components/ttl-collection-database.ts";
import { startEmulatedMongo } from "../../../sandbox/mongo/server.ts";
import { DATABASE, type FromMongo, MONGO_PASSWORD, type ToMongo } from "./mongo-messages.ts";

const [dir = "", port = "0"] = process.argv.slice(2);
const server = await startEmulatedMongo({ dir, port: Number(port), log: () => {} });
const tell = (message: FromMongo) => process.send?.(message);
const relayAs = (role: string) =>
  server.admin.putUser({ username: "relay", password: MONGO_PASSWORD, roles: [{ role, db: DATABASE }] });

await server.admin.setAccessList(["203.0.113.0/24"]);
await relayAs("readWrite");
const roles = ["readWrite", "dbAdmin"].map((role) => ({ role, db: DATABASE }));
await server.admin.putUser({ username: "schema", password: MONGO_PASSWORD, roles });
const client = new MongoClient(withCredentials(server.admin.uri, "schema", MONGO_PASSWORD));
const documents = client.db(DATABASE).collection("documents");
await documents.createIndex(ttlIndex.key, { name: ttlIndex.name, expireAfterSeconds: 30 * 86_400 });
await documents.createIndex(uniqueIndex.key, { name: uniqueIndex.name, unique: true });
await client.close();

process.on("message", (message: ToMongo) => {
  void relayAs(message === "read-only" ? "read" : "readWrite").then(() => tell("done"));
});
// The emulator writes what it holds within 200 ms and at its end: a real MongoDB with a journal loses nothing at a SIGKILL.
process.on("SIGTERM", () => void server.close().then(() => process.exit()));
process.on("disconnect", () => process.exit());
tell({ port: server.port });
