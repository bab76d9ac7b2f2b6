/**
 * The emulated Atlas' interface to the MongoDB behind it: users and access list. The sandbox's own server implements it
 * directly, a real mongod by `createUser` and similar commands.
 */

/** A role on a database, with Atlas' role names. */
export interface MongoRole {
  role: string;
  db: string;
}

/** Applies declared users and addresses. */
export interface MongoAdmin {
  /** Creates the user or replaces its password and roles. */
  putUser(user: { username: string; password: string; roles: MongoRole[] }): Promise<void>;
  /** Removes the user. A missing one is not an error. */
  removeUser(username: string): Promise<void>;
  /** The CIDR blocks that may connect. Ignored by a server that cannot enforce them. */
  setAccessList(cidrBlocks: string[]): Promise<void>;
  /** Connection string without user and password. */
  readonly uri: string;
}
