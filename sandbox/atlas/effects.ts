/**
 * Applies declared users and the access list to the MongoDB behind the emulator, after a delay like Atlas'. Changes are
 * applied one by one, in the order of declaration.
 */
import type { Log } from "../log.ts";
import type { MongoAdmin, MongoRole } from "../mongo/mongo-admin.ts";
import type { AtlasState, StoredUser } from "./state.ts";

type MongoUser = { username: string; password: string; roles: MongoRole[] };

/** Users valid on one of `clusters`: all except those whose scopes name only other clusters. */
export function effectiveUsers(state: AtlasState, clusters: string[]): MongoUser[] {
  const counts = (user: StoredUser): boolean =>
    user.scopes.length === 0 || user.scopes.some(({ type, name }) => type === "CLUSTER" && clusters.includes(name));
  return Object.values(state.users)
    .filter(counts)
    .map(({ username, password, roles }) => ({
      username,
      password,
      roles: roles.map(({ roleName, databaseName }) => ({ role: roleName, db: databaseName })),
    }));
}

/** See the file's comment. */
export class Effects {
  readonly #mongo: MongoAdmin;
  readonly #log: Log;
  readonly #applied = new Map<string, string>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #chain: Promise<void> = Promise.resolve();

  constructor(mongo: MongoAdmin, log: Log) {
    this.#mongo = mongo;
    this.#log = log;
  }

  /** Sets MongoDB's users. Without a delay it resolves once they are set, and rejects when MongoDB refuses. */
  users(users: MongoUser[], delayMs: number): Promise<void> {
    return this.#after(delayMs, () => this.#applyUsers(users));
  }

  /** Sets MongoDB's access list. Without a delay it resolves once it is set, and rejects when MongoDB refuses. */
  accessList(cidrBlocks: string[], delayMs: number): Promise<void> {
    return this.#after(delayMs, () => this.#mongo.setAccessList(cidrBlocks));
  }

  /** Drops pending changes and waits for the one being applied. */
  async close(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    await this.#chain;
  }

  #enqueue(apply: () => Promise<void>): Promise<void> {
    const done = this.#chain.then(apply);
    this.#chain = done.catch((error: unknown) => this.#log(`atlas: MongoDB refused a change: ${String(error)}`));
    return done;
  }

  #after(delayMs: number, apply: () => Promise<void>): Promise<void> {
    if (delayMs <= 0) return this.#enqueue(apply);
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      // The chain logs failures; this promise has no consumer.
      this.#enqueue(apply).catch(() => undefined);
    }, delayMs);
    this.#timers.add(timer);
    return Promise.resolve();
  }

  async #applyUsers(users: MongoUser[]): Promise<void> {
    for (const username of [...this.#applied.keys()]) {
      if (users.some((user) => user.username === username)) continue;
      await this.#mongo.removeUser(username);
      this.#applied.delete(username);
    }
    for (const user of users) {
      const text = JSON.stringify(user);
      if (this.#applied.get(user.username) === text) continue;
      await this.#mongo.putUser(user);
      this.#applied.set(user.username, text);
    }
  }
}
