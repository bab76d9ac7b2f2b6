/** Documents in MongoDB, by the official driver. Expiry is the collection's TTL index, which Pulumi declares. */
import { createHash } from "node:crypto";
import { Binary, type Collection, type Filter, MongoClient, MongoServerError } from "mongodb";
import { z } from "zod";
import type { DocumentKey } from "../access/names.ts";
import type { Chunk, DocumentContent, DocumentMeta, DocumentStore } from "./store.ts";
import { storedNames } from "./stored-names.ts";
import { rowOf } from "./vectors.ts";

/** A stored record. Times are dates, since TTL indexes require them. */
interface Stored extends Omit<DocumentMeta, "createdAt" | "lastAccessedAt"> {
  createdAt: Date;
  lastAccessedAt: Date;
  chunks: (Chunk & { vector: Binary })[];
  /**
   * Write intent of the revision in progress. In the same record, since MongoDB changes one record atomically: a removal
   * deletes it too, and then there is no record to replace. A record with only a write intent is not a document yet.
   */
  begun?: string;
}
interface Lease {
  _id: string;
  owner: string;
  until: Date;
}

const time = z.date().transform((date) => date.getTime());
const metaSchema = storedNames.extend({
  createdAt: time,
  lastAccessedAt: time,
});
const contentSchema = z.object({
  dimensions: z.int(),
  chunks: z.array(z.object({ hash: z.string(), text: z.string(), vector: z.instanceof(Binary) })),
});

/** Connection settings. */
export interface AtlasStoreOptions {
  /** With user and password; both need only `readWrite` on the database. */
  readonly uri: string;
  readonly database: string;
  /** Documents; leases are in `<collection>_leases`. Releases before the ledger also had `<collection>_spending`. */
  readonly collection: string;
}

/** Most documents of a company removed per step: `deleteMany` over gigabytes would exceed the time-out of `StoreGuard`. */
const STEP_DOCUMENTS = 200;
/** An acknowledged removal survives a power cut and a change of the primary. */
const DURABLE = { writeConcern: { w: "majority", journal: true } } as const;

/** Connects and waits up to 5 s for the first answer. Rejects if there is none; then everything is closed. */
export async function openAtlasStore(options: AtlasStoreOptions): Promise<DocumentStore> {
  const client = new MongoClient(options.uri, {
    appName: "slm-network-relay",
    serverSelectionTimeoutMS: 3_000,
    connectTimeoutMS: 3_000,
    waitQueueTimeoutMS: 5_000,
    socketTimeoutMS: 60_000,
    maxPoolSize: 20,
    retryReads: true,
    retryWrites: true,
  });
  try {
    const db = client.db(options.database);
    const store = atlasStore(client, {
      documents: db.collection(options.collection),
      leases: db.collection(`${options.collection}_leases`),
    });
    await store.ping();
    return store;
  } catch (cause) {
    await client.close();
    throw cause;
  }
}

interface Collections {
  readonly documents: Collection<Stored>;
  readonly leases: Collection<Lease>;
}

function atlasStore(client: MongoClient, { documents, leases }: Collections): DocumentStore {
  const names = ({ company, title }: DocumentKey) => ({ company, title });
  const isDocument = { revision: { $exists: true } };
  const isIntentOnly = { revision: { $exists: false } };
  const withoutChunks = { projection: { _id: 0, chunks: 0 } } as const;
  // Hashed, since an _id appears in messages, and a title may have thousands of bytes.
  const idOf = (...parts: string[]): string => createHash("sha256").update(JSON.stringify(parts)).digest("base64url");
  let indexed: Promise<unknown> | undefined;
  const expireHelpers = async (): Promise<void> => {
    const byUntil = [{ until: 1 }, { name: "until_ttl", expireAfterSeconds: 0 }] as const;
    indexed ??= leases.createIndex(...byUntil);
    await indexed.catch((cause: unknown) => {
      indexed = undefined;
      throw cause;
    });
  };

  return {
    async ping() {
      await documents.findOne({ company: "", title: "" }, { projection: { _id: 1 } });
    },
    async meta(key, livingSince) {
      const filter = { ...names(key), lastAccessedAt: { $gt: new Date(livingSince) } };
      const found = await documents.findOne(filter, withoutChunks);
      return metaSchema.safeParse(found).data; // a write intent only, or edited by hand, is not a document
    },
    async content(key, revision) {
      const found = await documents.findOne(
        { ...names(key), revision },
        { projection: { _id: 0, dimensions: 1, chunks: 1 } },
      );
      return unpack(contentSchema.safeParse(found).data);
    },
    async declareWrite(key, token, now, livingSince) {
      // A document that has expired, but was not yet removed by the TTL monitor, must stay gone.
      await documents.deleteOne({ ...names(key), lastAccessedAt: { $lte: new Date(livingSince) } });
      const change = { $set: { begun: token }, $max: { lastAccessedAt: new Date(now) } };
      await twice(() => documents.updateOne(names(key), change, { upsert: true }));
    },
    async hasRoom() {
      return true; // MongoDB has its own bounds
    },
    async put(meta, content, token) {
      const record: Stored = {
        ...meta,
        createdAt: new Date(meta.createdAt),
        lastAccessedAt: new Date(meta.lastAccessedAt),
        chunks: content.chunks.map(({ hash, text }, row) => ({
          hash,
          text,
          vector: Binary.fromFloat32Array(rowOf(content.vectors, meta.dimensions, row)),
        })),
      };
      const mine = { ...names(meta), begun: token };
      return (await documents.replaceOne(mine, record, { ignoreUndefined: true })).matchedCount > 0;
    },
    async withdrawWrite(key, token) {
      await documents.deleteOne({ ...names(key), begun: token, ...isIntentOnly });
    },
    async setVersion(key, revision, version) {
      await documents.updateOne({ ...names(key), revision }, { $set: { version } });
    },
    async touch(uses) {
      if (uses.length === 0) return;
      const updates = uses.map(({ company, title, at }) => ({
        updateOne: { filter: { company, title }, update: { $max: { lastAccessedAt: new Date(at) } } },
      }));
      await documents.bulkWrite(updates, { ordered: false });
    },
    async remove(key) {
      const removed = await documents.findOneAndDelete(names(key), { ...DURABLE, projection: { _id: 0, revision: 1 } });
      return removed?.revision !== undefined; // a write intent only does not count
    },
    async removeCompany(company) {
      const found = await documents
        .find({ company }, { projection: { _id: 1, revision: 1 } })
        .limit(STEP_DOCUMENTS)
        .toArray();
      if (found.length === 0) return { removed: 0, more: false };
      const _id = { $in: found.map((one) => one._id) };
      const { deletedCount } = await documents.deleteMany({ _id, ...isDocument }, DURABLE);
      await documents.deleteMany({ _id }, DURABLE); // write intents, which do not count
      return { removed: deletedCount, more: found.length === STEP_DOCUMENTS };
    },
    async list({ companies, after, limit, livingSince }) {
      const filter: Filter<Stored> = {
        ...isDocument,
        lastAccessedAt: { $gt: new Date(livingSince) },
        ...(companies === "all" ? {} : { company: { $in: [...companies] } }),
        ...(after === undefined
          ? {}
          : { $or: [{ company: { $gt: after.company } }, { company: after.company, title: { $gt: after.title } }] }),
      };
      const found = await documents.find(filter, withoutChunks).sort({ company: 1, title: 1 }).limit(limit).toArray();
      return found.flatMap((one) => metaSchema.safeParse(one).data ?? []);
    },
    async lease(key, owner, forMs) {
      await expireHelpers();
      const me = { $literal: owner };
      // By the server's clock, since those of the relays may differ. In the update, since an upsert's filter accepts no $expr.
      const free = { $or: [{ $eq: ["$owner", me] }, { $lte: ["$until", "$$NOW"] }] };
      const until = { $cond: [free, { $add: ["$$NOW", forMs] }, "$until"] };
      const take = [{ $set: { owner: { $cond: [free, me, "$owner"] }, until } }];
      const _id = idOf(key.company, key.title);
      const lease = await twice(() =>
        leases.findOneAndUpdate({ _id }, take, { upsert: true, returnDocument: "after" }),
      );
      return lease?.owner === owner;
    },
    async releaseLease(key, owner) {
      await leases.deleteOne({ _id: idOf(key.company, key.title), owner });
    },
    async count(livingSince) {
      // By the TTL index alone: anything more would read every record, which has its vectors in it. So write intents of
      // documents that are being made count, too.
      const counted = await documents.countDocuments({ lastAccessedAt: { $gt: new Date(livingSince) } });
      return { documents: counted, bytes: undefined };
    },
    async sweep() {
      return false; // the TTL index removes
    },
    close: () => client.close(),
  };
}

function unpack(found: z.infer<typeof contentSchema> | undefined): DocumentContent | undefined {
  if (found === undefined) return undefined;
  const { dimensions, chunks } = found;
  const vectors = new Float32Array(chunks.length * dimensions);
  for (const [row, { vector }] of chunks.entries()) {
    if (vector.sub_type !== Binary.SUBTYPE_VECTOR || vector.length() !== 2 + dimensions * 4) return undefined;
    const floats = vector.toFloat32Array();
    vectors.set(floats, row * dimensions);
  }
  return { chunks: chunks.map(({ hash, text }) => ({ hash, text })), vectors };
}

/** Two concurrent upserts may both find nothing; the second then fails on the first's record. */
async function twice<T>(upsert: () => Promise<T>): Promise<T> {
  return upsert().catch((cause: unknown) => (isDuplicate(cause) ? upsert() : Promise.reject(cause as Error)));
}

function isDuplicate(cause: unknown): boolean {
  return cause instanceof MongoServerError && cause.code === 11000;
}
