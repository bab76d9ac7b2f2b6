/** Databases and collections: create, drop, list. */
import { calculateObjectSize, type Document } from "bson";
import { checkFields, commandName, documentField, stringField } from "../args.ts";
import type { Command, Commands } from "../context.ts";
import { CommandError } from "../errors.ts";
import { compileFilter } from "../filter.ts";
import { describeIndex, idIndex } from "../indexes.ts";
import { isAllowed } from "../roles.ts";

const CREATE_OPTIONS =
  `capped size max timeseries expireAfterSeconds clusteredIndex changeStreamPreAndPostImages validator
  validationLevel validationAction storageEngine indexOptionDefaults viewOn pipeline collation encryptedFields`.split(
    /\s+/,
  );

const create: Command = {
  needs: (_command, db) => [{ action: "createCollection", db }],
  run({ store }, command, db) {
    const name = stringField(command, "create");
    // Real options that this server lacks; on an existing collection they are reported as a conflict first.
    const existing = store.find(db, name);
    const wanted = CREATE_OPTIONS.filter((option) => command[option] !== undefined && command[option] !== false);
    if (existing !== undefined && wanted.length > 0) {
      throw new CommandError(
        48,
        `namespace ${db}.${name} already exists, but with different options: { uuid: UUID("${existing.id}") }`,
      );
    }
    checkFields(command, [], CREATE_OPTIONS);
    store.ensure(db, name); // an existing one with the same options is not an error since MongoDB 5.0
    return { ok: 1 };
  },
};

const drop: Command = {
  needs: (_command, db) => [{ action: "dropCollection", db }],
  run({ store }, command, db) {
    checkFields(command, []);
    const collection = store.find(db, stringField(command, "drop"));
    if (collection === undefined) return { ok: 1 }; // not an error since MongoDB 7.0
    store.drop(collection);
    return { nIndexesWas: collection.indexes.length, ns: collection.namespace, ok: 1 };
  },
};

const dropDatabase: Command = {
  needs: (_command, db) => [{ action: "dropDatabase", db }],
  run({ store }, command, db) {
    checkFields(command, []);
    const collections = store.collections(db);
    for (const collection of collections) store.drop(collection);
    return collections.length > 0 ? { dropped: db, ok: 1 } : { ok: 1 };
  },
};

const listCollections: Command = {
  needs: (_command, db) => [{ action: "listCollections", db }],
  run({ store, cursors, user }, command, db) {
    checkFields(command, ["filter", "nameOnly", "authorizedCollections", "cursor"]);
    const matches = compileFilter(documentField(command, "filter", {}));
    const infos = store.collections(db).map((collection): Document => {
      const brief = { name: collection.name, type: "collection" };
      if (command.nameOnly === true) return brief;
      return { ...brief, options: {}, info: { readOnly: false }, idIndex: describeIndex(idIndex()) };
    });
    return cursors.first(`${db}.$cmd.listCollections`, user?.username ?? "", infos.filter(matches), undefined, false);
  },
};

const listDatabases: Command = {
  adminOnly: true,
  needs: "authenticated",
  run({ store, user }, command) {
    checkFields(command, ["filter", "nameOnly", "authorizedDatabases"]);
    const matches = compileFilter(documentField(command, "filter", {}));
    const roles = user?.roles ?? [];
    const all = isAllowed(roles, { action: "listDatabases" });
    if (command.authorizedDatabases === false && !all) {
      throw new CommandError(
        13,
        `not authorized on admin to execute command { ${commandName(command)}: 1.0, authorizedDatabases: false }`,
      );
    }
    const visible = store.databaseNames().filter((db) => all || isAllowed(roles, { action: "find", db }));
    const databases = visible
      .sort()
      .map((name): Document => {
        if (command.nameOnly === true) return { name };
        const documents = store.collections(name).flatMap((collection) => collection.documents());
        const sizeOnDisk = documents.reduce((sum, document) => sum + calculateObjectSize(document), 0);
        return { name, sizeOnDisk, empty: documents.length === 0 };
      })
      .filter(matches);
    const totalSize = databases.reduce(
      (sum, { sizeOnDisk }) => sum + (typeof sizeOnDisk === "number" ? sizeOnDisk : 0),
      0,
    );
    return { databases, ...(command.nameOnly === true ? {} : { totalSize }), ok: 1 };
  },
};

/** create, drop, dropDatabase, listCollections, listDatabases. */
export const collectionCommands: Commands = { create, drop, dropDatabase, listCollections, listDatabases };
