/** The sandbox's own MongoDB server: wire protocol, users, roles, access list, TTL. */
import { once } from "node:events";
import { BlockList, createServer, isIPv4, isIPv6, type Server, type Socket } from "node:net";
import type { Document } from "bson";
import type { Log } from "../log.ts";
import { listenOn } from "../machine/ports.ts";
import { commandName } from "./args.ts";
import { aggregateCommands } from "./commands/aggregate.ts";
import { collectionCommands } from "./commands/collections.ts";
import { indexCommands } from "./commands/indexes.ts";
import { readingCommands } from "./commands/reading.ts";
import { sessionCommands } from "./commands/session.ts";
import { userCommands } from "./commands/users.ts";
import { writingCommands } from "./commands/writing.ts";
import type { Command, Commands, Connection, Context } from "./context.ts";
import { Cursors } from "./cursors.ts";
import { CommandError } from "./errors.ts";
import type { MongoAdmin } from "./mongo-admin.ts";
import { checkRole, isAllowed } from "./roles.ts";
import { makeKeys } from "./scram.ts";
import { Store } from "./store.ts";
import { removeExpired } from "./ttl.ts";
import { shellText } from "./values.ts";
import { encodeReply, ProtocolError, readRequests } from "./wire.ts";

const COMMANDS: Commands = {
  ...sessionCommands,
  ...collectionCommands,
  ...indexCommands,
  ...readingCommands,
  ...writingCommands,
  ...aggregateCommands,
  ...userCommands,
};
const LEGACY = new Set(["hello", "isMaster", "ismaster"]);

/** Options of the server. */
export interface EmulatedMongoOptions {
  /** Folder for the data; created if missing. */
  dir: string;
  /** On 127.0.0.1; 0 picks a free one. */
  port: number;
  log: Log;
  /** Interval of the TTL monitor in ms; mongod's is 60,000. */
  ttlMonitorMs?: number;
  /**
   * The source address assumed for clients. They connect over loopback where Atlas would see the office's public address;
   * the access list is checked against this one.
   * @default "203.0.113.7"
   */
  clientAddress?: string;
}

/** A running server. */
export interface EmulatedMongo {
  port: number;
  admin: MongoAdmin;
  /** Closes connections, writes pending changes, frees the port. */
  close(): Promise<void>;
}

function toBlockList(cidrBlocks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const block of cidrBlocks) {
    const [address = "", bits] = block.split("/");
    const family = isIPv4(address) ? "ipv4" : isIPv6(address) ? "ipv6" : undefined;
    const most = family === "ipv4" ? 32 : 128;
    const prefix = bits === undefined ? most : Number(bits);
    if (family === undefined || !/^\d+$/.test(bits ?? "0") || prefix > most) {
      throw new Error(`'${block}' is neither an address nor a CIDR block; write it as 203.0.113.0/24`);
    }
    list.addSubnet(address, prefix, family);
  }
  return list;
}

function authorize(command: Command, context: Context, document: Document, db: string): void {
  if (command.needs === "anyone") return;
  const { user } = context;
  if (user === undefined) throw new CommandError(13, `Command ${commandName(document)} requires authentication`);
  if (command.adminOnly && db !== "admin") {
    throw new CommandError(13, `${commandName(document)} may only be run against the admin database.`);
  }
  if (command.needs === "authenticated") return;
  const isOwn = commandName(document) === "usersInfo" && document.usersInfo === user.username && db === "admin";
  if (isOwn || command.needs(document, db).every((privilege) => isAllowed(user.roles, privilege))) return;
  throw new CommandError(13, `not authorized on ${db} to execute command ${shellText(document)}`);
}

async function answer(context: Context, document: Document, legacy: boolean): Promise<Document> {
  const name = commandName(document);
  try {
    if (legacy && !LEGACY.has(name)) {
      throw new CommandError(352, `Unsupported OP_QUERY command: ${name}. The client driver may require an upgrade.`);
    }
    const db: unknown = document.$db;
    if (typeof db !== "string") throw new CommandError(40571, "OP_MSG requests require a $db argument");
    const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
    if (command === undefined) throw new CommandError(59, `no such command: '${name}'`);
    authorize(command, context, document, db);
    return await command.run(context, document, db);
  } catch (error) {
    if (error instanceof CommandError) return error.reply();
    throw error;
  }
}

/** Starts the server. Rejects when the port is taken or the data is damaged. */
export async function startEmulatedMongo(options: EmulatedMongoOptions): Promise<EmulatedMongo> {
  const { dir, port, log, ttlMonitorMs = 60_000, clientAddress = "203.0.113.7" } = options;
  const store = await Store.open(dir, log);
  const cursors = new Cursors();
  const startedAt = new Date();
  const sockets = new Set<Socket>();
  const family = isIPv6(clientAddress) ? "ipv6" : "ipv4";
  let allowed = toBlockList(store.accessList);
  let lastConnection = 0;

  const serve = async (socket: Socket): Promise<void> => {
    const connection: Connection = { id: ++lastConnection };
    for await (const request of readRequests(socket)) {
      const { username } = connection;
      const user = username === undefined ? undefined : store.users.get(username);
      const context: Context = { store, cursors, connection, user, startedAt, ttlMonitorMs };
      const reply = await answer(context, request.command, request.legacy);
      if (request.wantsReply && !socket.write(encodeReply(request, reply))) await once(socket, "drain");
    }
  };

  const server: Server = createServer({ noDelay: true }, (socket) => {
    // As in Atlas: a client outside the list is disconnected before a byte is read. Open connections survive a change of
    // the list.
    if (!allowed.check(clientAddress, family)) return void socket.destroy();
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => sockets.delete(socket));
    serve(socket).catch((error: unknown) => {
      const expected = socket.destroyed || (error instanceof Error && "code" in error && error.code === "ABORT_ERR");
      if (error instanceof ProtocolError) log(`The sandbox's MongoDB closed a connection that sent ${error.message}.`);
      else if (!expected) log(`The sandbox's MongoDB closed a connection after a fault of its own: ${String(error)}`);
      socket.destroy();
    });
  });
  const boundPort = await listenOn(server, port, "the sandbox's MongoDB");
  const monitor = setInterval(() => {
    const removed = removeExpired(store, new Date());
    if (removed > 0)
      log(`The sandbox's MongoDB removed ${removed} expired ${removed === 1 ? "document" : "documents"}.`);
  }, ttlMonitorMs);
  monitor.unref();

  return {
    port: boundPort,
    admin: {
      uri: `mongodb://127.0.0.1:${boundPort}`,
      putUser: async ({ username, password, roles }) => {
        for (const role of roles) checkRole(role);
        store.users.set(username, { username, roles, keys: await makeKeys(password) });
        await store.flush();
      },
      removeUser: async (username) => {
        if (store.users.delete(username)) await store.flush();
      },
      setAccessList: async (cidrBlocks) => {
        allowed = toBlockList(cidrBlocks);
        store.accessList = cidrBlocks;
        await store.flush();
      },
    },
    close: async () => {
      clearInterval(monitor);
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
      await store.flush();
    },
  };
}
