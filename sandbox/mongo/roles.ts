/**
 * The privileges of each role. Source: MongoDB manual, "Built-In Roles"; Atlas, "Configure Database Users" for atlasAdmin.
 */
import { CommandError } from "./errors.ts";
import type { MongoRole } from "./mongo-admin.ts";

/** A privilege action, as MongoDB names them. */
export type Action =
  | "find"
  | "insert"
  | "update"
  | "remove"
  | "listCollections"
  | "listIndexes"
  | "createCollection"
  | "createIndex"
  | "dropCollection"
  | "dropIndex"
  | "dropDatabase"
  | "collMod"
  | "killCursors"
  | "listDatabases"
  | "serverStatus"
  | "getParameter"
  | "createUser"
  | "dropUser"
  | "viewUser";

/** A required privilege: an action on a database, or on the cluster without `db`. */
export interface Privilege {
  action: Action;
  db?: string;
}

const READ: readonly Action[] = ["find", "listCollections", "listIndexes", "killCursors"];
const READ_WRITE: readonly Action[] = [
  ...READ,
  "insert",
  "update",
  "remove",
  "createCollection",
  "createIndex",
  "dropCollection",
  "dropIndex",
];
const DB_ADMIN: readonly Action[] = [
  "listCollections",
  "listIndexes",
  "createCollection",
  "createIndex",
  "dropCollection",
  "dropIndex",
  "dropDatabase",
  "collMod",
];
const USER_ADMIN: readonly Action[] = ["createUser", "dropUser", "viewUser"];
const ON_ONE: Readonly<Record<string, readonly Action[]>> = {
  read: READ,
  readWrite: READ_WRITE,
  dbAdmin: DB_ADMIN,
};
interface Everywhere {
  databases: readonly Action[];
  cluster: readonly Action[];
}
const ON_ALL: Readonly<Record<string, Everywhere>> = {
  readAnyDatabase: { databases: READ, cluster: ["listDatabases"] },
  readWriteAnyDatabase: { databases: READ_WRITE, cluster: ["listDatabases"] },
  dbAdminAnyDatabase: { databases: DB_ADMIN, cluster: ["listDatabases"] },
  userAdminAnyDatabase: { databases: USER_ADMIN, cluster: ["listDatabases"] },
  // Atlas' administrator may do everything except create users, which is done through Atlas' API.
  atlasAdmin: { databases: [...READ_WRITE, ...DB_ADMIN], cluster: ["listDatabases", "serverStatus", "getParameter"] },
  root: {
    databases: [...READ_WRITE, ...DB_ADMIN, ...USER_ADMIN],
    cluster: ["listDatabases", "serverStatus", "getParameter"],
  },
};

/** @throws CommandError 31 (RoleNotFound) for an unknown role, or one that exists only in `admin`. */
export function checkRole({ role, db }: MongoRole): void {
  if (Object.hasOwn(ON_ONE, role) && db !== "") return;
  if (Object.hasOwn(ON_ALL, role) && db === "admin") return;
  throw new CommandError(31, `Could not find role: ${role}@${db}`);
}

function grants({ role, db }: MongoRole, privilege: Privilege): boolean {
  const everywhere = ON_ALL[role];
  if (everywhere !== undefined && db === "admin") {
    if (privilege.db === undefined) return everywhere.cluster.includes(privilege.action);
    // The ...AnyDatabase roles exclude these two.
    if (privilege.db === "local" || privilege.db === "config") return false;
    return everywhere.databases.includes(privilege.action);
  }
  return privilege.db === db && (ON_ONE[role]?.includes(privilege.action) ?? false);
}

/** Whether one of the roles grants the privilege. */
export function isAllowed(roles: readonly MongoRole[], privilege: Privilege): boolean {
  return roles.some((role) => grants(role, privilege));
}
