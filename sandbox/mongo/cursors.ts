/** Open cursors: results of find and aggregate beyond the first batch. */
import { calculateObjectSize, type Document, Long } from "bson";
import { MAX_DOCUMENT_BYTES } from "./collection.ts";
import { CommandError } from "./errors.ts";

interface Cursor {
  namespace: string;
  username: string;
  documents: Document[];
  usedAt: number;
}

const FIRST_BATCH = 101;
// Source: MongoDB manual, parameter cursorTimeoutMillis.
const IDLE_MS = 600_000;

function takeBatch(documents: Document[], count: number): Document[] {
  let bytes = 0;
  let end = 0;
  for (const document of documents.slice(0, count)) {
    bytes += calculateObjectSize(document);
    if (end > 0 && bytes > MAX_DOCUMENT_BYTES) break;
    end += 1;
  }
  return documents.splice(0, end);
}

/** The cursors of one server; a cursor belongs to the user who opened it and to its collection. */
export class Cursors {
  readonly #open = new Map<bigint, Cursor>();
  #last = BigInt(Date.now()) << 16n;

  /** The first batch; the rest is kept under the cursor's id. `batchSize` defaults to MongoDB's 101. */
  first(
    namespace: string,
    username: string,
    results: Document[],
    batchSize: number | undefined,
    single: boolean,
  ): Document {
    const documents = [...results];
    const firstBatch = takeBatch(documents, batchSize ?? FIRST_BATCH);
    this.#forgetIdle();
    let id = 0n;
    if (documents.length > 0 && !single) {
      id = ++this.#last;
      this.#open.set(id, { namespace, username, documents, usedAt: Date.now() });
    }
    return { cursor: { firstBatch, id: Long.fromBigInt(id), ns: namespace }, ok: 1 };
  }

  /** The next batch. @throws CommandError 43 for an unknown cursor, 13 for another user's. */
  next(id: bigint, namespace: string, username: string, batchSize: number): Document {
    const cursor = this.#open.get(id);
    if (cursor === undefined) throw new CommandError(43, `cursor id ${id} not found`);
    if (cursor.username !== username)
      throw new CommandError(13, `cursor id ${id} was not created by the authenticated user`);
    if (cursor.namespace !== namespace) {
      throw new CommandError(
        13,
        `Requested getMore on namespace '${namespace}', but cursor belongs to a different namespace ${cursor.namespace}`,
      );
    }
    cursor.usedAt = Date.now();
    const nextBatch = takeBatch(cursor.documents, batchSize > 0 ? batchSize : Number.POSITIVE_INFINITY);
    if (cursor.documents.length === 0) this.#open.delete(id);
    return {
      cursor: { nextBatch, id: Long.fromBigInt(cursor.documents.length === 0 ? 0n : id), ns: namespace },
      ok: 1,
    };
  }

  /** Closes a cursor; false when that collection has none with that id. */
  kill(id: bigint, namespace: string, username: string): boolean {
    const cursor = this.#open.get(id);
    if (cursor === undefined || cursor.namespace !== namespace || cursor.username !== username) return false;
    return this.#open.delete(id);
  }

  #forgetIdle(): void {
    const before = Date.now() - IDLE_MS;
    for (const [id, cursor] of this.#open) if (cursor.usedAt < before) this.#open.delete(id);
  }
}
