/** One collection in memory: documents by `_id`, indexes, unique keys. Documents are replaced, never changed in place. */
import { randomUUID } from "node:crypto";
import { calculateObjectSize, type Document, ObjectId } from "bson";
import { CommandError } from "./errors.ts";
import { type IndexSpec, idIndex, indexKeys } from "./indexes.ts";
import { keyOf, shellText, typeName } from "./values.ts";

/** Largest document, in bytes. Source: MongoDB manual, "Limits and Thresholds". */
export const MAX_DOCUMENT_BYTES = 16 * 1024 * 1024;

function duplicate(namespace: string, index: IndexSpec, value: Document): CommandError {
  return new CommandError(
    11000,
    `E11000 duplicate key error collection: ${namespace} index: ${index.name} dup key: ${shellText(value)}`,
    { keyPattern: index.key, keyValue: value },
  );
}

/** A collection. Every change calls `changed`, which schedules the write to disk. */
export class Collection {
  readonly database: string;
  readonly name: string;
  readonly id: string;
  readonly #changed: (collection: Collection) => void;
  #documents = new Map<string, Document>();
  #indexes: IndexSpec[] = [idIndex()];
  readonly #unique = new Map<string, Map<string, string>>();

  constructor(database: string, name: string, changed: (collection: Collection) => void, id: string = randomUUID()) {
    this.database = database;
    this.name = name;
    this.#changed = changed;
    this.id = id;
  }

  /** `database.collection`. */
  get namespace(): string {
    return `${this.database}.${this.name}`;
  }

  get size(): number {
    return this.#documents.size;
  }

  get indexes(): readonly IndexSpec[] {
    return this.#indexes;
  }

  /** All documents, in insertion order. */
  documents(): Document[] {
    return [...this.#documents.values()];
  }

  /** The document with that `_id`, without a scan. */
  byId(id: unknown): Document | undefined {
    return this.#documents.get(keyOf(id));
  }

  /** Adds an index. @throws CommandError 11000 when it is unique and the documents are not. */
  addIndex(index: IndexSpec): void {
    if (index.unique) {
      const keys = new Map<string, string>();
      for (const [id, document] of this.#documents) {
        for (const { key, value } of indexKeys(index, document)) {
          if (keys.has(key) && keys.get(key) !== id) throw duplicate(this.namespace, index, value);
          keys.set(key, id);
        }
      }
      this.#unique.set(index.name, keys);
    }
    this.#indexes.push(index);
    this.#changed(this);
  }

  /** Removes an index; the one on `_id` stays. */
  dropIndex(name: string): void {
    this.#indexes = this.#indexes.filter((index) => index.name !== name || name === "_id_");
    this.#unique.delete(name);
    this.#changed(this);
  }

  /** Changes the options that `collMod` may change. */
  changeIndex(name: string, change: { expireAfterSeconds?: number; hidden?: boolean }): void {
    this.#indexes = this.#indexes.map((index) => (index.name === name ? { ...index, ...change } : index));
    this.#changed(this);
  }

  /**
   * Inserts a document, with a new `_id` if missing, and returns it as stored.
   * @throws CommandError 11000, 53 (an `_id` of an invalid type), 10334 (larger than 16 MiB).
   */
  insert(document: Document): Document {
    const stored = Object.hasOwn(document, "_id") ? document : { _id: new ObjectId(), ...document };
    if (["array", "regex", "missing"].includes(typeName(stored._id))) {
      throw new CommandError(53, `The '_id' value cannot be of type ${typeName(stored._id)}`);
    }
    const id = keyOf(stored._id);
    if (this.#documents.has(id)) throw duplicate(this.namespace, this.#indexes[0]!, { _id: stored._id as unknown });
    this.#checkSize(stored);
    this.#claim(id, stored);
    this.#documents.set(id, stored);
    this.#changed(this);
    return stored;
  }

  /** Replaces the document with the same `_id`. @throws CommandError 11000 or 10334. */
  replace(before: Document, after: Document): void {
    const id = keyOf(before._id);
    this.#checkSize(after);
    this.#release(id, before);
    try {
      this.#claim(id, after);
    } catch (error) {
      this.#claim(id, before);
      throw error;
    }
    this.#documents.set(id, after);
    this.#changed(this);
  }

  /** Removes a document. */
  remove(document: Document): void {
    const id = keyOf(document._id);
    this.#release(id, document);
    this.#documents.delete(id);
    this.#changed(this);
  }

  #checkSize(document: Document): void {
    const bytes = calculateObjectSize(document);
    if (bytes > MAX_DOCUMENT_BYTES) {
      throw new CommandError(
        10334,
        `BSONObj size: ${bytes} (0x${bytes.toString(16).toUpperCase()}) is invalid. Size must be between 0 and ${MAX_DOCUMENT_BYTES}(16MB)`,
      );
    }
  }

  #claim(id: string, document: Document): void {
    const claims = this.#indexes
      .filter((index) => index.unique && index.name !== "_id_")
      .flatMap((index) =>
        indexKeys(index, document).map((entry) => ({ index, keys: this.#unique.get(index.name), ...entry })),
      );
    for (const { index, keys, key, value } of claims) {
      const holder = keys?.get(key);
      if (holder !== undefined && holder !== id) throw duplicate(this.namespace, index, value);
    }
    for (const { keys, key } of claims) keys?.set(key, id);
  }

  #release(id: string, document: Document): void {
    for (const index of this.#indexes) {
      const keys = this.#unique.get(index.name);
      if (keys === undefined) continue;
      for (const { key } of indexKeys(index, document)) if (keys.get(key) === id) keys.delete(key);
    }
  }
}
