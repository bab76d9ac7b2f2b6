/** The database side of `TtlCollection`, by the official driver: its own file, since the driver takes a while to load and `diff` needs none. */
import { type Collection, type Db, MongoClient, MongoError, MongoServerError } from "mongodb";
import { ConnectionString } from "mongodb-connection-string-url";

/** The resource's inputs as the engine passes them. */
export interface TtlCollectionInputs {
  uri: string;
  database: string;
  collection: string;
  ttlSeconds: number;
  dropData: boolean;
}

/** The resource's state: the inputs, and the indexes as they are in the database. */
export interface TtlCollectionState extends TtlCollectionInputs {
  /** As the index has it; -1 when there is none, or none that expires. */
  ttlSeconds: number;
  /** Whether (company, title) is unique. */
  uniqueIndex: boolean;
}

/** Index on the time of last use; the relay and this file agree on the field. */
export const ttlIndex = { name: "lastAccessedAt_ttl", key: { lastAccessedAt: 1 } } as const;
/** One record a document. */
export const uniqueIndex = { name: "company_title_unique", key: { company: 1, title: 1 } } as const;

/** A new database user or network address takes up to a few minutes to take effect in Atlas; until then authentication fails. */
const retryForMs = { write: 180_000, read: 20_000 };
const defaultPauseMs = 3_000;

/** Retry options, for tests. */
export interface RetryOptions {
  /** Milliseconds during which transient errors are retried. */
  readonly retryForMs?: number;
  readonly retryPauseMs?: number;
  /** Called once with what is being waited for; by default Pulumi shows it beside the resource. */
  readonly log?: (text: string) => void;
  /** This machine's public address, as others see it; undefined when it is unknown. */
  readonly publicAddress?: () => Promise<string | undefined>;
}

/** Creates the collection and its indexes; existing ones are taken over, and a different TTL is changed. */
export async function create(inputs: TtlCollectionInputs, waiting: RetryOptions = {}) {
  return { id: `${inputs.database}/${inputs.collection}`, outs: await apply(inputs, waiting) };
}

/** Corrects what differs. */
export async function update(news: TtlCollectionInputs, waiting: RetryOptions = {}) {
  return { outs: await apply(news, waiting) };
}

/** The indexes as they are; an empty id when the collection is gone. */
export async function read(id: string, state: TtlCollectionState, waiting: RetryOptions = {}) {
  const seen = await withDatabase(state, { retryForMs: retryForMs.read, ...waiting }, (db) =>
    inspect(db, state.collection),
  );
  if (!seen) return { id: "", props: state };
  return { id, props: { ...state, ...seen } };
}

/** Drops the collection and the relay's collections beside it, only with `dropData`; otherwise only the state forgets it. */
export async function remove(state: TtlCollectionState, waiting: RetryOptions = {}): Promise<void> {
  if (!state.dropData) return;
  await withDatabase(state, { retryForMs: retryForMs.read, ...waiting }, async (db) => {
    for (const suffix of ["", "_leases", "_spending"]) await db.dropCollection(state.collection + suffix);
  });
}

async function apply(inputs: TtlCollectionInputs, waiting: RetryOptions): Promise<TtlCollectionState> {
  return withDatabase(inputs, { retryForMs: retryForMs.write, ...waiting }, async (db) => {
    await db.createCollection(inputs.collection).catch((error: unknown) => {
      if (!isServerError(error, "NamespaceExists")) throw error;
    });
    const collection = db.collection(inputs.collection);
    await ensureTtl(db, collection, inputs.ttlSeconds);
    await ensureUnique(collection);
    return { ...inputs, uniqueIndex: true };
  });
}

async function ensureTtl(db: Db, collection: Collection, ttlSeconds: number): Promise<void> {
  const there = await indexOn(collection, ttlIndex.key);
  if (!there) {
    await collection.createIndex(ttlIndex.key, { name: ttlIndex.name, expireAfterSeconds: ttlSeconds });
  } else if (there.expireAfterSeconds !== ttlSeconds) {
    await db.command({
      collMod: collection.collectionName,
      index: { name: there.name, expireAfterSeconds: ttlSeconds },
    });
  }
}

async function ensureUnique(collection: Collection): Promise<void> {
  const there = await indexOn(collection, uniqueIndex.key);
  if (there?.unique) return;
  if (there) await collection.dropIndex(there.name); // an index cannot be made unique in place
  await collection.createIndex(uniqueIndex.key, { name: uniqueIndex.name, unique: true });
}

interface IndexInfo {
  name: string;
  key: Record<string, unknown>;
  expireAfterSeconds?: number;
  unique?: boolean;
}

async function indexOn(collection: Collection, key: Record<string, number>): Promise<IndexInfo | undefined> {
  const indexes = (await collection.indexes()) as IndexInfo[];
  return indexes.find((index) => JSON.stringify(index.key) === JSON.stringify(key));
}

async function inspect(
  db: Db,
  name: string,
): Promise<Pick<TtlCollectionState, "ttlSeconds" | "uniqueIndex"> | undefined> {
  if (!(await db.listCollections({ name }, { nameOnly: true }).hasNext())) return undefined;
  const collection = db.collection(name);
  return {
    ttlSeconds: (await indexOn(collection, ttlIndex.key))?.expireAfterSeconds ?? -1,
    uniqueIndex: (await indexOn(collection, uniqueIndex.key))?.unique === true,
  };
}

/**
 * Runs `work` in one connection. Tries again for `retryForMs` while authentication or the network fail, logging it once.
 * @throws Error that says what to do, never with the password in it
 */
async function withDatabase<T>(
  inputs: TtlCollectionInputs,
  waiting: RetryOptions & { readonly retryForMs: number },
  work: (db: Db) => Promise<T>,
): Promise<T> {
  const { log = (text) => console.log(text), publicAddress = askPublicAddress } = waiting;
  const pause = waiting.retryPauseMs ?? defaultPauseMs;
  const deadline = Date.now() + waiting.retryForMs;
  for (let told = false; ; ) {
    const client = new MongoClient(inputs.uri, {
      serverSelectionTimeoutMS: Math.min(10_000, Math.max(500, waiting.retryForMs / 4)),
      appName: "slm-network",
    });
    try {
      return await work(client.db(inputs.database));
    } catch (error) {
      if (!isTransient(error) || Date.now() + pause > deadline) {
        throw explain(error, inputs, isUnreachable(error) && !isLocal(inputs.uri) ? await publicAddress() : undefined);
      }
      if (!told) {
        const what = isSrvFailure(error)
          ? "the cluster's name in DNS"
          : isUnreachable(error)
            ? "the network access that was just declared"
            : "the database user that was just declared";
        log(`waiting up to ${Math.round(waiting.retryForMs / 1000)} s for ${what} to take effect in Atlas`);
        told = true;
      }
      await new Promise((resolve) => setTimeout(resolve, pause));
    } finally {
      await client.close();
    }
  }
}

/** Source: https://developers.cloudflare.com/fundamentals/reference/cdn-cgi-endpoint/ */
async function askPublicAddress(): Promise<string | undefined> {
  try {
    const answer = await fetch("https://www.cloudflare.com/cdn-cgi/trace", { signal: AbortSignal.timeout(3_000) });
    return /^ip=([\d.]+)$/m.exec(await answer.text())?.[1];
  } catch {
    return undefined;
  }
}

const isLocal = (uri: string): boolean =>
  new ConnectionString(uri).hosts.every((host) => /^(127\.|localhost)/.test(host));

/** Errors that a newly declared user or address causes for a while. 8000 is Atlas' own "bad auth". */
function isTransient(error: unknown): boolean {
  if (isServerError(error, "AuthenticationFailed", "Unauthorized") || (error as MongoServerError).code === 8000)
    return true;
  return isUnreachable(error) || isSrvFailure(error);
}

/** The DNS look-up that a `mongodb+srv://` address needs first (`querySrv`, then `queryTxt`) failed: an error of Node's resolver. */
function isSrvFailure(error: unknown): boolean {
  return error instanceof Error && "syscall" in error && /^query(Srv|Txt)$/.test(String(error.syscall));
}

/** Atlas closes connections from addresses that are not on its list before a byte is read. */
function isUnreachable(error: unknown): boolean {
  return error instanceof MongoError && /^Mongo(ServerSelection|Network)/.test(error.name);
}

function isServerError(error: unknown, ...codeNames: string[]): boolean {
  return error instanceof MongoServerError && codeNames.includes(String(error.codeName));
}

/** @returns the error in words that say what to do; `address` is this machine's, as Atlas sees it */
export function explain(error: unknown, inputs: TtlCollectionInputs, address?: string): Error {
  const uri = new ConnectionString(inputs.uri);
  const where = `${inputs.database}.${inputs.collection} on ${uri.hosts.join(",")}`;
  const said = error instanceof Error ? error.message : String(error);
  const advice = () => {
    if (isServerError(error, "AuthenticationFailed") || (error as MongoServerError).code === 8000) {
      return `the user ${decodeURIComponent(uri.username)} was rejected. Was its password changed by hand? Set slm-network:atlasSchemaPassword again (pulumi config set --secret) and run \`pulumi up\``;
    }
    if (isServerError(error, "Unauthorized")) {
      return `the user ${decodeURIComponent(uri.username)} lacks a privilege; it needs readWrite and dbAdmin on ${inputs.database}`;
    }
    if (isServerError(error, "IndexOptionsConflict", "IndexKeySpecsConflict")) {
      return `an index of the name ${ttlIndex.name} or ${uniqueIndex.name} is there already with other keys or settings. Drop it in Atlas (Collections → Indexes), then run \`pulumi up\` again`;
    }
    if (error instanceof MongoServerError && error.code === 11000) {
      return "two documents have the same company and title, so the unique index cannot be created. Remove one of each pair, then run `pulumi up` again";
    }
    if (isSrvFailure(error)) {
      return `DNS did not resolve the cluster's SRV record (_mongodb._tcp.${uri.hosts[0]}). Does \`nslookup -type=srv _mongodb._tcp.${uri.hosts[0]}\` answer here? A new cluster's record takes some minutes. If this network's DNS resolves no SRV records, set slm-network:documents.atlas.connection to standard`;
    }
    if (isTransient(error)) {
      const entry =
        address === undefined ? "this machine's public address with /32" : `${address}/32, this machine's address`;
      return `no answer. Is ${entry}, in slm-network:documents.atlas.allowFrom? Is the cluster paused?`;
    }
    return "MongoDB refused";
  };
  return new Error(`${where}: ${advice()}. (MongoDB said: ${said})`);
}
