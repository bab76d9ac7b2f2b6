/**
 * What the emulated Atlas needs of the MongoDB behind it: its users and its access list, as declared through the API.
 * The sandbox's own server implements it directly; a real mongod through `createUser` and so on.
 */

/** A role on a database, with Atlas' role names. */
export interface MongoRole {
  role: string;
  db: string;
}

/** Declared users and addresses, put into effect. */
export interface MongoAdmin {
  /** Creates the user or replaces its password and roles. */
  putUser(user: { username: string; password: string; roles: MongoRole[] }): Promise<void>;
  /** Removes the user; none of that name is no error. */
  removeUser(username: string): Promise<void>;
  /** The CIDR blocks from which connections are taken; a server that can not enforce it ignores it. */
  setAccessList(cidrBlocks: string[]): Promise<void>;
  /** Connection string without user and password. */
  readonly uri: string;
}
