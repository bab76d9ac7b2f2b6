/** Starts the sandbox's own MongoDB in a temporary folder, and clients of the official driver. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MongoClient, type MongoClientOptions } from "mongodb";
import { afterEach } from "vitest";
import type { MongoRole } from "../../../sandbox/mongo/mongo-admin.ts";
import { type EmulatedMongo, startEmulatedMongo } from "../../../sandbox/mongo/server.ts";

const ends: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/** Runs after the test, last one first. */
export function atEnd(end: () => Promise<unknown>): void {
  ends.push(end);
}

/** A folder that is gone after the test. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "slm-mongo-test-"));
  atEnd(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A server whose access list takes the clients. */
export async function startServer(options: { dir?: string; ttlMonitorMs?: number } = {}): Promise<EmulatedMongo> {
  const dir = options.dir ?? (await temporaryFolder());
  const server = await startEmulatedMongo({
    dir,
    port: 0,
    log: () => {},
    ttlMonitorMs: options.ttlMonitorMs ?? 60_000,
  });
  atEnd(() => server.close());
  await server.admin.setAccessList(["203.0.113.0/24"]);
  return server;
}

/** A client with that user and password, closed after the test. */
export function client(uri: string, username: string, password: string, options: MongoClientOptions = {}): MongoClient {
  const made = new MongoClient(uri, { auth: { username, password }, serverSelectionTimeoutMS: 2000, ...options });
  atEnd(() => made.close());
  return made;
}

/** Makes a user with these roles and gives a client for it. */
export async function clientWith(server: EmulatedMongo, ...roles: MongoRole[]): Promise<MongoClient> {
  const username = `user-${roles.map(({ role }) => role).join("-")}`;
  await server.admin.putUser({ username, password: "p@ss:/word", roles });
  return client(server.admin.uri, username, "p@ss:/word");
}

/** `readWrite` on the database `slm`. */
export const READ_WRITE: MongoRole = { role: "readWrite", db: "slm" };
/** `dbAdmin` on the database `slm`. */
export const DB_ADMIN: MongoRole = { role: "dbAdmin", db: "slm" };
