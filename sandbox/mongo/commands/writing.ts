/** insert, update, delete, findAndModify. */
import type { Document } from "bson";
import {
  booleanField,
  checkFields,
  checkStatement,
  documentField,
  documentsField,
  numberField,
  stringField,
} from "../args.ts";
import type { Collection } from "../collection.ts";
import type { Command, Commands, Context } from "../context.ts";
import { CommandError } from "../errors.ts";
import { equalities, usesExpr } from "../filter.ts";
import { setAt } from "../paths.ts";
import { compileProjection } from "../projection.ts";
import type { Privilege } from "../roles.ts";
import { select } from "../select.ts";
import { applyUpdate, checkUpdate, isReplacement, type Update } from "../update.ts";
import { cloneValue, isDocument, keyOf } from "../values.ts";

const MAX_STATEMENTS = 100_000;

function statements(command: Document, field: string): Document[] {
  const list = documentsField(command, field);
  if (list.length === 0 || list.length > MAX_STATEMENTS) {
    throw new CommandError(
      72,
      `Write batch sizes must be between 1 and ${MAX_STATEMENTS}. Got ${list.length} operations.`,
    );
  }
  return list;
}

/** Runs each statement. A failed one is reported and ends an ordered batch. */
function runStatements(
  command: Document,
  list: readonly Document[],
  run: (statement: Document, index: number) => void,
): Document {
  const ordered = booleanField(command, "ordered", true);
  const writeErrors: Document[] = [];
  for (const [index, statement] of list.entries()) {
    try {
      run(statement, index);
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      writeErrors.push(error.writeError(index));
      if (ordered) break;
    }
  }
  return writeErrors.length > 0 ? { writeErrors } : {};
}

const insert: Command = {
  needs: (_command, db) => [{ action: "insert", db }],
  run({ store }, command, db) {
    checkFields(command, ["documents", "ordered"], ["bypassDocumentValidation"]);
    const collection = store.ensure(db, stringField(command, "insert"));
    let n = 0;
    const errors = runStatements(command, statements(command, "documents"), (document) => {
      collection.insert(document);
      n += 1;
    });
    return { n, ...errors, ok: 1 };
  },
};

function checkUpsert(filter: Document, upsert: boolean): void {
  if (upsert && usesExpr(filter)) {
    throw new CommandError(224, "$expr is not allowed in the query predicate for an upsert");
  }
}

/** The document an upsert makes from its filter and update. */
function upserted(filter: Document, update: Update, now: Date): Document {
  const start: Document = {};
  for (const [path, value] of equalities(filter)) {
    if (!isReplacement(update) || path === "_id") setAt(start, path, cloneValue(value));
  }
  return applyUpdate(start, update, true, now);
}

function change(collection: Collection, before: Document, update: Update, now: Date): Document {
  const after = applyUpdate(before, update, false, now);
  if (keyOf(after) !== keyOf(before)) collection.replace(before, after);
  return after;
}

const update: Command = {
  needs: (command, db) => {
    const upserts =
      Array.isArray(command.updates) && command.updates.some((one: unknown) => isDocument(one) && one.upsert === true);
    return [{ action: "update", db }, ...(upserts ? [{ action: "insert", db } satisfies Privilege] : [])];
  },
  run({ store }, command, db) {
    checkFields(command, ["updates", "ordered"], ["bypassDocumentValidation", "let"]);
    const name = stringField(command, "update");
    const now = new Date();
    let n = 0;
    let nModified = 0;
    const made: Document[] = [];
    const errors = runStatements(command, statements(command, "updates"), (statement, index) => {
      checkStatement(
        "update.updates",
        statement,
        ["q", "u", "upsert", "multi"],
        ["arrayFilters", "collation", "hint", "c", "sort"],
      );
      const filter: unknown = statement.q;
      const operation: unknown = statement.u;
      if (!isDocument(filter))
        throw new CommandError(40414, "BSON field 'update.updates.q' is missing but a required field");
      checkUpdate(operation);
      const multi = booleanField(statement, "multi", false);
      if (multi && isReplacement(operation))
        throw new CommandError(9, "multi update is not supported for replacement-style update");
      const upsert = booleanField(statement, "upsert", false);
      checkUpsert(filter, upsert);
      const found = select(store.find(db, name), filter, {}, multi ? 0 : 1);
      const collection = store.find(db, name);
      for (const before of collection === undefined ? [] : found) {
        if (keyOf(change(collection!, before, operation, now)) !== keyOf(before)) nModified += 1;
        n += 1;
      }
      if (found.length === 0 && upsert) {
        const { _id } = store.ensure(db, name).insert(upserted(filter, operation, now));
        made.push({ index, _id });
        n += 1;
      }
    });
    return { n, nModified, ...(made.length > 0 ? { upserted: made } : {}), ...errors, ok: 1 };
  },
};

const remove: Command = {
  needs: (_command, db) => [{ action: "remove", db }],
  run({ store }, command, db) {
    checkFields(command, ["deletes", "ordered"], ["let"]);
    const collection = store.find(db, stringField(command, "delete"));
    let n = 0;
    const errors = runStatements(command, statements(command, "deletes"), (statement) => {
      checkStatement("delete.deletes", statement, ["q", "limit"], ["collation", "hint"]);
      if (!isDocument(statement.q))
        throw new CommandError(40414, "BSON field 'delete.deletes.q' is missing but a required field");
      const limit = numberField(statement, "limit", -1);
      if (limit !== 0 && limit !== 1)
        throw new CommandError(9, `The limit field in delete objects must be 0 or 1. Got ${limit}`);
      for (const document of select(collection, statement.q, {}, limit)) {
        collection!.remove(document);
        n += 1;
      }
    });
    return { n, ...errors, ok: 1 };
  },
};

function modifyOne(
  context: Context,
  command: Document,
  db: string,
  name: string,
  before: Document | undefined,
): Document {
  const { store } = context;
  const filter = documentField(command, "query", {});
  const wantsNew = booleanField(command, "new", false);
  const upsert = booleanField(command, "upsert", false);
  if (booleanField(command, "remove", false)) {
    if (command.update !== undefined) throw new CommandError(9, "Cannot specify both an update and remove=true");
    if (upsert) throw new CommandError(9, "Cannot specify both upsert=true and remove=true");
    if (wantsNew)
      throw new CommandError(
        9,
        "Cannot specify both new=true and remove=true; 'remove' always returns the deleted document",
      );
    if (before !== undefined) store.find(db, name)?.remove(before);
    return { lastErrorObject: { n: before === undefined ? 0 : 1 }, value: before ?? null };
  }
  const operation: unknown = command.update;
  if (operation === undefined) throw new CommandError(9, "Either an update or remove=true must be specified");
  checkUpdate(operation);
  checkUpsert(filter, upsert);
  const now = new Date();
  if (before !== undefined) {
    const after = change(store.find(db, name)!, before, operation, now);
    return { lastErrorObject: { n: 1, updatedExisting: true }, value: wantsNew ? after : before };
  }
  if (!upsert) return { lastErrorObject: { n: 0, updatedExisting: false }, value: null };
  const made = store.ensure(db, name).insert(upserted(filter, operation, now));
  return {
    lastErrorObject: { n: 1, updatedExisting: false, upserted: made._id as unknown },
    value: wantsNew ? made : null,
  };
}

const findAndModify: Command = {
  needs: (command, db) => [
    { action: "find", db },
    { action: command.remove === true ? "remove" : "update", db },
    ...(command.upsert === true ? [{ action: "insert", db } satisfies Privilege] : []),
  ],
  run(context, command, db) {
    checkFields(
      command,
      ["query", "sort", "remove", "update", "new", "upsert", "fields"],
      ["arrayFilters", "bypassDocumentValidation", "collation", "hint", "let"],
    );
    const name = stringField(command, Object.keys(command)[0] ?? "");
    const project = compileProjection(documentField(command, "fields", {}));
    const [before] = select(
      context.store.find(db, name),
      documentField(command, "query", {}),
      documentField(command, "sort", {}),
      1,
    );
    const { lastErrorObject, value } = modifyOne(context, command, db, name, before);
    return { lastErrorObject: lastErrorObject as unknown, value: isDocument(value) ? project(value) : null, ok: 1 };
  },
};

/** insert, update, delete, findAndModify (and its old spelling). */
export const writingCommands: Commands = {
  insert,
  update,
  delete: remove,
  findAndModify,
  findandmodify: findAndModify,
};
