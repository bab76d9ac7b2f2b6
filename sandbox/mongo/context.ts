/** The context of a command's handler, and its declaration. */
import type { Document } from "bson";
import type { Cursors } from "./cursors.ts";
import type { Privilege } from "./roles.ts";
import type { ScramConversation } from "./scram.ts";
import type { Store, StoredUser } from "./store.ts";

/** One client's connection. */
export interface Connection {
  id: number;
  /** The authenticated name; the user may have been removed since. */
  username?: string;
  scram?: { conversation: ScramConversation; skipEmptyExchange: boolean; proved: boolean };
}

/** The server, as passed to commands. */
export interface Context {
  store: Store;
  cursors: Cursors;
  connection: Connection;
  /** The authenticated user in its current form. */
  user: StoredUser | undefined;
  startedAt: Date;
  ttlMonitorMs: number;
}

/** One command. */
export interface Command {
  /** Required privileges; `"anyone"` needs no authentication, `"authenticated"` nothing else. */
  needs: "anyone" | "authenticated" | ((command: Document, db: string) => Privilege[]);
  adminOnly?: boolean;
  /** @throws CommandError, which becomes the response. */
  run(context: Context, command: Document, db: string): Document | Promise<Document>;
}

/** Commands by name. */
export type Commands = Readonly<Record<string, Command>>;
