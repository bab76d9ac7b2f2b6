/** The stores that the contract suite and others run on: SQLite, the sandbox's MongoDB, and the one of MONGODB_URI. */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { MongoClient } from "mongodb";
import { onTestFinished } from "vitest";
import { withCredentials } from "../../../../components/document-store.ts";
import { ttlIndex, uniqueIndex } from "../../../../components/ttl-collection-database.ts";
import { openAtlasStore } from "../../../../runtime/relay/documents/atlas-store.ts";
import { openSqliteStore } from "../../../../runtime/relay/documents/sqlite-store.ts";
import type {
  DocumentContent,
  DocumentMeta,
  DocumentStore,
  Sharing,
} from "../../../../runtime/relay/documents/store.ts";
import { type EmulatedMongo, startEmulatedMongo } from "../../../../sandbox/mongo/server.ts";
import { hostsElsewhere } from "../../../../sandbox/mongo/start.ts";
import { temporaryFolder } from "../harness.ts";

export interface TestMongo {
  readonly uri: string;
  readonly database: string;
  readonly collection: "documents";
  /** The sandbox's own; absent with MONGODB_URI. */
  readonly server: EmulatedMongo | undefined;
  /** A client with all rights on the database. */
  readonly client: MongoClient;
}

export const TTL_DAYS = 30;
const PASSWORD = "p@ss:/w?rd";

/** A database of the sandbox's MongoDB, with a relay's user and the collection as Pulumi declares it. */
export async function startMongoForTest(options: { port?: number; dir?: string } = {}): Promise<TestMongo> {
  const dir = options.dir ?? (await temporaryFolder());
  const server = await startEmulatedMongo({ dir, port: options.port ?? 0, log: () => {}, ttlMonitorMs: 50 });
  onTestFinished(() => server.close());
  await server.admin.setAccessList(["203.0.113.0/24"]);
  const database = "slm";
  await server.admin.putUser({ username: "relay", password: PASSWORD, roles: [{ role: "readWrite", db: database }] });
  await server.admin.putUser({
    username: "schema",
    password: PASSWORD,
    roles: [
      { role: "readWrite", db: database },
      { role: "dbAdmin", db: database },
    ],
  });
  const client = new MongoClient(withCredentials(server.admin.uri, "schema", PASSWORD));
  onTestFinished(() => client.close());
  await declare(client, database);
  return {
    uri: withCredentials(server.admin.uri, "relay", PASSWORD),
    database,
    collection: "documents",
    server,
    client,
  };
}

async function startExternal(uri: string): Promise<TestMongo> {
  const database = `slm_test_${randomBytes(6).toString("hex")}`;
  const client = new MongoClient(uri);
  onTestFinished(async () => {
    await client.db(database).dropDatabase();
    await client.close();
  });
  await declare(client, database);
  return { uri, database, collection: "documents", server: undefined, client };
}

async function declare(client: MongoClient, database: string): Promise<void> {
  const documents = client.db(database).collection("documents");
  await documents.createIndex(ttlIndex.key, { name: ttlIndex.name, expireAfterSeconds: TTL_DAYS * 86_400 });
  await documents.createIndex(uniqueIndex.key, { name: uniqueIndex.name, unique: true });
}

const atlas = async (mongo: TestMongo): Promise<DocumentStore> => {
  const store = await openAtlasStore(mongo);
  onTestFinished(() => store.close());
  return store;
};

/** Opens an empty store; closed at the end of the test. */
export type OpenStore = () => Promise<DocumentStore>;

// Local only, unless requested by name: a shell may have it set for a real database, and the suite writes to it.
const named = process.env.MONGODB_URI || undefined;
const isForTests = named !== undefined && (process.env.SANDBOX_MONGO === "real" || hostsElsewhere(named).length === 0);
const MONGODB_URI = isForTests ? named : undefined;

export const stores: [name: string, open: OpenStore][] = [
  [
    "SQLite",
    async () => {
      const store = await openSqliteStore(join(await temporaryFolder(), "documents.sqlite"));
      onTestFinished(() => store.close());
      return store;
    },
  ],
  ["the sandbox's MongoDB", async () => atlas(await startMongoForTest())],
  ...(MONGODB_URI === undefined
    ? []
    : [["MONGODB_URI", async () => atlas(await startExternal(MONGODB_URI))] satisfies [string, OpenStore]]),
];

/** Declares a write and puts the document; false when another intent voided it. */
export async function put(
  store: DocumentStore,
  meta: DocumentMeta,
  content: DocumentContent,
  sharing?: Sharing,
): Promise<boolean | "full"> {
  await store.declareWrite(meta, meta.revision, meta.lastAccessedAt, 0);
  return store.put(meta, content, meta.revision, sharing);
}

/** A record of two chunks with three dimensions. */
export function record(changes: Partial<DocumentMeta> = {}) {
  const meta: DocumentMeta = {
    company: "회사",
    title: "계약서.pdf",
    version: null,
    fingerprint: "f",
    model: "m",
    dimensions: 3,
    textHash: "t",
    revision: "r1",
    chunkCount: 2,
    bytes: 100,
    createdAt: 1_000,
    lastAccessedAt: Date.now(),
    ...changes,
  };
  const content = {
    chunks: [
      { hash: "a", text: "가나다 🇰🇷" },
      { hash: "b", text: "" },
    ],
    vectors: Float32Array.from([1, -2.5, 3.4e38, 1e-38, 0, 0.1]),
  };
  return { meta, content, key: { company: meta.company, title: meta.title } };
}
