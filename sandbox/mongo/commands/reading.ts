/** find, getMore, killCursors, count, distinct. */
import type { Document, Long } from "bson";
import { booleanField, checkFields, countField, documentField, numberField, stringField } from "../args.ts";
import type { Command, Commands } from "../context.ts";
import { CommandError } from "../errors.ts";
import { valuesAt } from "../paths.ts";
import { compileProjection } from "../projection.ts";
import { select } from "../select.ts";
import { keyOf, toInteger } from "../values.ts";

const reads: Command["needs"] = (_command, db) => [{ action: "find", db }];

const find: Command = {
  needs: reads,
  run({ store, cursors, user }, command, db) {
    checkFields(
      command,
      ["filter", "sort", "projection", "skip", "limit", "batchSize", "singleBatch", "noCursorTimeout"],
      [
        "hint",
        "max",
        "min",
        "returnKey",
        "showRecordId",
        "tailable",
        "awaitData",
        "oplogReplay",
        "allowPartialResults",
        "collation",
        "allowDiskUse",
        "let",
      ],
    );
    const name = stringField(command, "find");
    const project = compileProjection(documentField(command, "projection", {}));
    const skip = countField(command, "skip", 0);
    const limit = countField(command, "limit", 0);
    const found = select(
      store.find(db, name),
      documentField(command, "filter", {}),
      documentField(command, "sort", {}),
      limit && skip + limit,
    );
    const batchSize = command.batchSize === undefined ? undefined : countField(command, "batchSize", 0);
    const results = found.slice(skip).map(project);
    return cursors.first(
      `${db}.${name}`,
      user?.username ?? "",
      results,
      batchSize,
      booleanField(command, "singleBatch", false),
    );
  },
};

function cursorId(value: unknown): bigint {
  const id = toInteger(value);
  if (id === undefined) throw new CommandError(14, "A cursor's id must be a 64-bit integer");
  return id;
}

const getMore: Command = {
  needs: "authenticated", // the cursor belongs to the user who opened it
  run({ cursors, user }, command, db) {
    checkFields(command, ["collection", "batchSize"]);
    const namespace = `${db}.${stringField(command, "collection")}`;
    return cursors.next(
      cursorId(command.getMore),
      namespace,
      user?.username ?? "",
      countField(command, "batchSize", 0),
    );
  },
};

const killCursors: Command = {
  needs: "authenticated",
  run({ cursors, user }, command, db) {
    checkFields(command, ["cursors"]);
    const namespace = `${db}.${stringField(command, "killCursors")}`;
    if (!Array.isArray(command.cursors))
      throw new CommandError(14, "BSON field 'killCursors.cursors' must be an array");
    const cursorsKilled: Long[] = [];
    const cursorsNotFound: Long[] = [];
    for (const id of command.cursors as Long[]) {
      (cursors.kill(cursorId(id), namespace, user?.username ?? "") ? cursorsKilled : cursorsNotFound).push(id);
    }
    return { cursorsKilled, cursorsNotFound, cursorsAlive: [], cursorsUnknown: [], ok: 1 };
  },
};

const count: Command = {
  needs: reads,
  run({ store }, command, db) {
    checkFields(command, ["query", "limit", "skip"], ["hint", "collation", "fields"]);
    const collection = store.find(db, stringField(command, "count"));
    const limit = Math.abs(numberField(command, "limit", 0));
    const found = select(collection, documentField(command, "query", {})).length - countField(command, "skip", 0);
    return { n: Math.max(0, limit > 0 ? Math.min(found, limit) : found), ok: 1 };
  },
};

const distinct: Command = {
  needs: reads,
  run({ store }, command, db) {
    checkFields(command, ["key", "query"], ["collation", "hint"]);
    const path = stringField(command, "key");
    const values = new Map<string, unknown>();
    for (const document of select(
      store.find(db, stringField(command, "distinct")),
      documentField(command, "query", {}),
    )) {
      for (const leaf of valuesAt(document, path)) {
        for (const value of Array.isArray(leaf) ? (leaf as unknown[]) : [leaf]) {
          if (value !== undefined && !values.has(keyOf(value))) values.set(keyOf(value), value);
        }
      }
    }
    return { values: [...values.values()], ok: 1 } satisfies Document;
  },
};

/** find, getMore, killCursors, count, distinct. */
export const readingCommands: Commands = { find, getMore, killCursors, count, distinct };
