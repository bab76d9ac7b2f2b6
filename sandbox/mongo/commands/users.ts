/** createUser, updateUser, dropUser, usersInfo. All users are in `admin`. */
import type { Document } from "bson";
import { checkFields, stringField } from "../args.ts";
import type { Command, Commands, Context } from "../context.ts";
import { CommandError, notImplemented } from "../errors.ts";
import type { MongoRole } from "../mongo-admin.ts";
import { checkRole } from "../roles.ts";
import { makeKeys } from "../scram.ts";
import { isDocument } from "../values.ts";

const MISSING = ["customData", "authenticationRestrictions"];
const FIELDS = ["pwd", "roles", "mechanisms", "digestPassword"];

function roles(command: Document, db: string): MongoRole[] {
  if (!Array.isArray(command.roles)) throw new CommandError(2, `"roles" field must be an array`);
  return command.roles.map((entry: unknown) => {
    const role: MongoRole | undefined =
      typeof entry === "string"
        ? { role: entry, db }
        : isDocument(entry) && typeof entry.role === "string" && typeof entry.db === "string"
          ? { role: entry.role, db: entry.db }
          : undefined;
    if (role === undefined) throw new CommandError(2, "Role names must be either strings or objects");
    checkRole(role);
    return role;
  });
}

function checkUserFields(command: Document, db: string): void {
  checkFields(command, FIELDS, MISSING);
  if (db !== "admin") throw notImplemented(`A user in '${db}' (Atlas keeps all users in admin)`);
  const { mechanisms } = command;
  if (
    mechanisms !== undefined &&
    !(Array.isArray(mechanisms) && mechanisms.length === 1 && mechanisms[0] === "SCRAM-SHA-256")
  ) {
    throw notImplemented("Another mechanism than SCRAM-SHA-256");
  }
}

const createUser: Command = {
  needs: (_command, db) => [{ action: "createUser", db }],
  async run({ store }, command, db) {
    checkUserFields(command, db);
    const username = stringField(command, "createUser");
    const wanted = roles(command, db);
    const keys = await makeKeys(stringField(command, "pwd"));
    if (store.users.has(username)) throw new CommandError(51003, `User "${username}@admin" already exists`);
    store.users.set(username, { username, roles: wanted, keys });
    store.changed();
    return { ok: 1 };
  },
};

const notFound = (username: string): CommandError =>
  new CommandError(11, `Could not find user "${username}" for db "admin"`);

const updateUser: Command = {
  needs: (_command, db) => [{ action: "createUser", db }],
  async run({ store }, command, db) {
    checkUserFields(command, db);
    const username = stringField(command, "updateUser");
    const wanted = command.roles === undefined ? undefined : roles(command, db);
    const keys = command.pwd === undefined ? undefined : await makeKeys(stringField(command, "pwd"));
    if (wanted === undefined && keys === undefined)
      throw new CommandError(2, "Must specify at least one field to update in updateUser");
    const user = store.users.get(username);
    if (user === undefined) throw notFound(username);
    store.users.set(username, { username, roles: wanted ?? user.roles, keys: keys ?? user.keys });
    store.changed();
    return { ok: 1 };
  },
};

const dropUser: Command = {
  needs: (_command, db) => [{ action: "dropUser", db }],
  run({ store }, command, db) {
    checkFields(command, []);
    const username = stringField(command, "dropUser");
    if (db !== "admin" || !store.users.delete(username)) throw notFound(username);
    store.changed();
    return { ok: 1 };
  },
};

function askedNames({ store }: Context, asked: unknown, db: string): string[] {
  const list: unknown[] = Array.isArray(asked) ? asked : [asked];
  return list.flatMap((entry) => {
    if (typeof entry === "string") return db === "admin" ? [entry] : [];
    if (isDocument(entry) && typeof entry.user === "string") return entry.db === "admin" ? [entry.user] : [];
    if (isDocument(entry) && entry.forAllDBs === true) return [...store.users.keys()];
    return db === "admin" ? [...store.users.keys()] : []; // `usersInfo: 1`
  });
}

const usersInfo: Command = {
  needs: (_command, db) => [{ action: "viewUser", db }],
  run(context, command, db) {
    checkFields(
      command,
      [],
      ["showCredentials", "showCustomData", "showPrivileges", "showAuthenticationRestrictions", "filter"],
    );
    const users = askedNames(context, command.usersInfo, db).flatMap((name) => {
      const user = context.store.users.get(name);
      if (user === undefined) return [];
      return [{ _id: `admin.${name}`, user: name, db: "admin", roles: user.roles, mechanisms: ["SCRAM-SHA-256"] }];
    });
    return { users, ok: 1 };
  },
};

/** createUser, updateUser, dropUser, usersInfo. */
export const userCommands: Commands = { createUser, updateUser, dropUser, usersInfo };
