/** Databases, users and the access list of the sandbox's MongoDB: in memory, kept in a folder as BSON. */
import { mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { type Document, deserialize, serialize } from "bson";
import { z } from "zod";
import type { Log } from "../log.ts";
import { Collection } from "./collection.ts";
import { CommandError } from "./errors.ts";
import { describeIndex, parseIndex } from "./indexes.ts";
import type { MongoRole } from "./mongo-admin.ts";
import type { ScramKeys } from "./scram.ts";
import { BSON_OPTIONS } from "./values.ts";
import { encodeDocument } from "./wire.ts";

/** A stored user: SCRAM's verifier, never the password. */
export interface StoredUser {
  username: string;
  roles: MongoRole[];
  keys: ScramKeys;
}

const catalogSchema = z.object({
  users: z.array(
    z.object({
      username: z.string(),
      roles: z.array(z.object({ role: z.string(), db: z.string() })),
      keys: z.object({ salt: z.string(), iterations: z.int(), storedKey: z.string(), serverKey: z.string() }),
    }),
  ),
  accessList: z.array(z.string()),
  collections: z.array(
    z.object({
      database: z.string(),
      name: z.string(),
      id: z.uuid(),
      indexes: z.array(z.record(z.string(), z.unknown())),
    }),
  ),
});

const CATALOG = "catalog.bson";
const FLUSH_AFTER_MS = 200;

async function writeDocuments(path: string, documents: readonly Document[]): Promise<void> {
  const temporary = `${path}.new`;
  const file = await open(temporary, "w", 0o600);
  try {
    for (const document of documents) await file.writeFile(encodeDocument(document));
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}

async function readDocuments(path: string): Promise<Document[]> {
  const bytes = await readFile(path).catch((error: unknown) => {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return Buffer.alloc(0);
    throw error;
  });
  const documents: Document[] = [];
  for (let at = 0; at < bytes.length; ) {
    const size = at + 4 <= bytes.length ? bytes.readInt32LE(at) : 0;
    if (size < 5 || at + size > bytes.length) {
      throw new Error(`${path} is damaged at byte ${at}. Remove the folder it is in to start with empty databases`);
    }
    documents.push(deserialize(bytes.subarray(at, at + size), BSON_OPTIONS));
    at += size;
  }
  return documents;
}

/** All data. Changes are written within about 200 ms and by `close`; a crash may lose the last ones. */
export class Store {
  readonly users = new Map<string, StoredUser>();
  accessList: string[] = [];
  readonly #dir: string;
  readonly #log: Log;
  readonly #databases = new Map<string, Map<string, Collection>>();
  readonly #dirty = new Set<Collection>();
  #timer: NodeJS.Timeout | undefined;
  #flushing: Promise<void> = Promise.resolve();

  constructor(dir: string, log: Log) {
    this.#dir = dir;
    this.#log = log;
  }

  /** Opens the folder, created if missing. Rejects when a file in it is damaged. */
  static async open(dir: string, log: Log): Promise<Store> {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const store = new Store(dir, log);
    const [raw] = await readDocuments(join(dir, CATALOG));
    if (raw === undefined) return store;
    const catalog = catalogSchema.parse(deserialize(serialize(raw)));
    for (const user of catalog.users) store.users.set(user.username, user);
    store.accessList = catalog.accessList;
    for (const { database, name, id, indexes } of catalog.collections) {
      const collection = new Collection(database, name, (changed) => store.#touch(changed), id);
      for (const document of await readDocuments(join(dir, `${id}.bson`))) collection.insert(document);
      for (const index of indexes) if (index.name !== "_id_") collection.addIndex(parseIndex(index));
      store.#database(database).set(name, collection);
    }
    store.#dirty.clear();
    clearTimeout(store.#timer);
    store.#timer = undefined;
    return store;
  }

  /** Names of the non-empty databases. */
  databaseNames(): string[] {
    return [...this.#databases].filter(([, collections]) => collections.size > 0).map(([name]) => name);
  }

  collections(database: string): Collection[] {
    return [...(this.#databases.get(database)?.values() ?? [])];
  }

  find(database: string, name: string): Collection | undefined {
    return this.#databases.get(database)?.get(name);
  }

  /** The collection, created if missing. @throws CommandError 73 for an invalid name. */
  ensure(database: string, name: string): Collection {
    const existing = this.find(database, name);
    if (existing !== undefined) return existing;
    if (database === "" || /[\0/\\. "$]/.test(database) || Buffer.byteLength(database) > 63) {
      throw new CommandError(73, `Invalid database name: '${database}'`);
    }
    if (name === "" || name.includes("$") || name.includes("\0") || name.startsWith(".") || name.endsWith(".")) {
      throw new CommandError(73, `Invalid collection name: '${database}.${name}'`);
    }
    const collection = new Collection(database, name, (changed) => this.#touch(changed));
    this.#database(database).set(name, collection);
    this.#touch(collection);
    return collection;
  }

  drop(collection: Collection): void {
    this.#databases.get(collection.database)?.delete(collection.name);
    this.#dirty.delete(collection);
    this.changed();
  }

  /** Marks users and access list as changed; they are written soon. */
  changed(): void {
    this.#timer ??= setTimeout(() => {
      this.flush().catch((error: unknown) =>
        this.#log(`The sandbox's MongoDB could not write to ${this.#dir}: ${String(error)}`),
      );
    }, FLUSH_AFTER_MS);
  }

  /** Resolves when all changes so far are on disk. */
  flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const next = this.#flushing.then(() => this.#write());
    this.#flushing = next.catch(() => {});
    return next;
  }

  #database(name: string): Map<string, Collection> {
    const collections = this.#databases.get(name) ?? new Map<string, Collection>();
    this.#databases.set(name, collections);
    return collections;
  }

  #touch(collection: Collection): void {
    this.#dirty.add(collection);
    this.changed();
  }

  async #write(): Promise<void> {
    const dirty = [...this.#dirty];
    this.#dirty.clear();
    try {
      for (const collection of dirty)
        await writeDocuments(join(this.#dir, `${collection.id}.bson`), collection.documents());
      const all = [...this.#databases.values()].flatMap((collections) => [...collections.values()]);
      const collections = all.map((collection) => ({
        database: collection.database,
        name: collection.name,
        id: collection.id,
        indexes: collection.indexes.map(describeIndex),
      }));
      const catalog = { users: [...this.users.values()], accessList: this.accessList, collections };
      await writeDocuments(join(this.#dir, CATALOG), [catalog]);
      const wanted = new Set(all.map((collection) => `${collection.id}.bson`));
      for (const file of await readdir(this.#dir)) {
        if (file.endsWith(".bson") && file !== CATALOG && !wanted.has(file)) await rm(join(this.#dir, file));
      }
    } catch (error) {
      for (const collection of dirty) this.#dirty.add(collection);
      throw error;
    }
  }
}
