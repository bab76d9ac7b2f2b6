/** createIndexes, listIndexes, dropIndexes, collMod. */
import type { Document } from "bson";
import { checkFields, checkStatement, documentField, documentsField, stringField } from "../args.ts";
import type { Collection } from "../collection.ts";
import type { Command, Commands } from "../context.ts";
import { CommandError } from "../errors.ts";
import { checkExpireSeconds, describeIndex, existsAlready, type IndexSpec, parseIndex } from "../indexes.ts";
import { isDocument, keyOf, shellText, toNumber } from "../values.ts";

const createIndexes: Command = {
  needs: (_command, db) => [{ action: "createIndex", db }],
  run({ store }, command, db) {
    checkFields(command, ["indexes", "commitQuorum"], ["ignoreUnknownIndexOptions"]);
    const name = stringField(command, "createIndexes");
    const wanted = documentsField(command, "indexes").map(parseIndex);
    if (wanted.length === 0) throw new CommandError(2, "Must specify at least one index to create");
    const created = store.find(db, name) === undefined;
    const collection = store.ensure(db, name);
    const before = collection.indexes.length;
    const missing: IndexSpec[] = [];
    for (const index of wanted) if (!existsAlready([...collection.indexes, ...missing], index)) missing.push(index);
    const added: string[] = [];
    try {
      for (const index of missing) {
        collection.addIndex(index);
        added.push(index.name);
      }
    } catch (error) {
      for (const index of added) collection.dropIndex(index); // all of a command's indexes or none
      throw error;
    }
    return {
      numIndexesBefore: before,
      numIndexesAfter: collection.indexes.length,
      ...(created ? { createdCollectionAutomatically: true } : {}),
      ...(missing.length === 0 ? { note: "all indexes already exist" } : {}),
      ok: 1,
    };
  },
};

const listIndexes: Command = {
  needs: (_command, db) => [{ action: "listIndexes", db }],
  run({ store, cursors, user }, command, db) {
    checkFields(command, ["cursor"], ["includeBuildUUIDs", "includeIndexBuildInfo"]);
    const name = stringField(command, "listIndexes");
    const collection = store.find(db, name);
    if (collection === undefined) throw new CommandError(26, `ns does not exist: ${db}.${name}`);
    return cursors.first(
      collection.namespace,
      user?.username ?? "",
      collection.indexes.map(describeIndex),
      undefined,
      false,
    );
  },
};

const sameKey = (index: IndexSpec, key: Document): boolean => keyOf(index.key) === keyOf(key);

function namesToDrop(collection: Collection, wanted: unknown): string[] {
  if (wanted === "*") return collection.indexes.map((index) => index.name).filter((name) => name !== "_id_");
  if (Array.isArray(wanted)) return wanted.flatMap((name: unknown) => namesToDrop(collection, name));
  const found =
    typeof wanted === "string"
      ? collection.indexes.filter((index) => index.name === wanted)
      : collection.indexes.filter((index) => isDocument(wanted) && sameKey(index, wanted));
  if (found.length === 0) {
    if (typeof wanted === "string") throw new CommandError(27, `index not found with name [${wanted}]`);
    if (isDocument(wanted)) throw new CommandError(27, `can't find index with key: ${shellText(wanted)}`);
    throw new CommandError(14, "BSON field 'dropIndexes.index' is the wrong type, expected types '[string, object]'");
  }
  if (found.some((index) => index.name === "_id_")) throw new CommandError(72, "cannot drop _id index");
  return found.map((index) => index.name);
}

const dropIndexes: Command = {
  needs: (_command, db) => [{ action: "dropIndex", db }],
  run({ store }, command, db) {
    checkFields(command, ["index"]);
    const name = stringField(command, commandNameOf(command));
    const collection = store.find(db, name);
    if (collection === undefined) throw new CommandError(26, `ns not found ${db}.${name}`);
    const before = collection.indexes.length;
    for (const index of namesToDrop(collection, command.index)) collection.dropIndex(index);
    return { nIndexesWas: before, ok: 1 };
  },
};

const commandNameOf = (command: Document): string => ("dropIndexes" in command ? "dropIndexes" : "deleteIndexes");

function findIndex(collection: Collection, target: Document): IndexSpec {
  if ((target.name === undefined) === (target.keyPattern === undefined)) {
    throw new CommandError(72, "Must specify either index name or key pattern, and not both.");
  }
  const found = collection.indexes.find((index) =>
    typeof target.name === "string"
      ? index.name === target.name
      : isDocument(target.keyPattern) && sameKey(index, target.keyPattern),
  );
  if (found === undefined) {
    const wanted = typeof target.name === "string" ? target.name : shellText(target.keyPattern);
    throw new CommandError(27, `cannot find index ${wanted} for ns ${collection.namespace}`);
  }
  return found;
}

const collMod: Command = {
  needs: (_command, db) => [{ action: "collMod", db }],
  run({ store }, command, db) {
    checkFields(
      command,
      ["index"],
      [
        "validator",
        "validationLevel",
        "validationAction",
        "viewOn",
        "pipeline",
        "expireAfterSeconds",
        "timeseries",
        "capped",
        "cappedSize",
        "cappedMax",
        "changeStreamPreAndPostImages",
        "dryRun",
      ],
    );
    const name = stringField(command, "collMod");
    const collection = store.find(db, name);
    if (collection === undefined) throw new CommandError(26, `ns does not exist: ${db}.${name}`);
    if (command.index === undefined) return { ok: 1 };
    const target = documentField(command, "index");
    checkStatement(
      "collMod.index",
      target,
      ["name", "keyPattern", "expireAfterSeconds", "hidden"],
      ["unique", "prepareUnique", "forceNonUnique"],
    );
    const index = findIndex(collection, target);
    if (target.expireAfterSeconds === undefined && target.hidden === undefined) {
      throw new CommandError(72, "no expireAfterSeconds, hidden, unique, or prepareUnique field");
    }
    const answer: Document = {};
    const change: { expireAfterSeconds?: number; hidden?: boolean } = {};
    if (target.expireAfterSeconds !== undefined) {
      if (index.name === "_id_") throw new CommandError(72, "the _id field does not support TTL indexes");
      if (Object.keys(index.key).length > 1) {
        throw new CommandError(72, "TTL indexes are single-field indexes, compound indexes do not support TTL");
      }
      change.expireAfterSeconds = checkExpireSeconds(target.expireAfterSeconds, 72, target);
      if (index.expireAfterSeconds !== undefined) answer.expireAfterSeconds_old = index.expireAfterSeconds;
      answer.expireAfterSeconds_new = change.expireAfterSeconds;
    }
    if (target.hidden !== undefined) {
      if (index.name === "_id_") throw new CommandError(2, "can't hide _id index");
      change.hidden = target.hidden === true || (toNumber(target.hidden) ?? 0) !== 0;
      answer.hidden_old = index.hidden;
      answer.hidden_new = change.hidden;
    }
    collection.changeIndex(index.name, change);
    return { ...answer, ok: 1 };
  },
};

/** createIndexes, listIndexes, dropIndexes (and its old name deleteIndexes), collMod. */
export const indexCommands: Commands = { createIndexes, listIndexes, dropIndexes, deleteIndexes: dropIndexes, collMod };
