/** What a command's code is given, and how it is declared. */
import type { Document } from "bson";
import type { Cursors } from "./cursors.ts";
import type { Privilege } from "./roles.ts";
import type { ScramConversation } from "./scram.ts";
import type { Store, StoredUser } from "./store.ts";

/** One client's connection. */
export interface Connection {
  id: number;
  /** The name it has proved; the user may have been removed since. */
  username?: string;
  scram?: { conversation: ScramConversation; skipEmptyExchange: boolean; proved: boolean };
}

/** The server as commands see it. */
export interface Context {
  store: Store;
  cursors: Cursors;
  connection: Connection;
  /** The authenticated user, as it is now. */
  user: StoredUser | undefined;
  startedAt: Date;
  ttlMonitorMs: number;
}

/** One command. */
export interface Command {
  /** What the user must be allowed; `"anyone"` needs no authentication, `"authenticated"` only that. */
  needs: "anyone" | "authenticated" | ((command: Document, db: string) => Privilege[]);
  adminOnly?: boolean;
  /** @throws CommandError, which becomes the answer. */
  run(context: Context, command: Document, db: string): Document | Promise<Document>;
}

/** Commands by name. */
export type Commands = Readonly<Record<string, Command>>;
