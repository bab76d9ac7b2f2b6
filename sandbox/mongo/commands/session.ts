/** Handshake, authentication and other commands on the connection. */
import { Binary, type Document } from "bson";
import { booleanField, checkFields, stringField } from "../args.ts";
import { MAX_DOCUMENT_BYTES } from "../collection.ts";
import type { Command, Commands, Connection, Context } from "../context.ts";
import { CommandError } from "../errors.ts";
import { startScram } from "../scram.ts";
import { isDocument, toNumber } from "../values.ts";
import { MAX_MESSAGE_BYTES } from "../wire.ts";

const MECHANISM = "SCRAM-SHA-256";
/** Version 25 is MongoDB 8.0's. */
const MAX_WIRE_VERSION = 25;
const VERSION = "8.0.0";

const failed = (): CommandError => new CommandError(18, "Authentication failed.");

function payloadText(value: unknown): string {
  if (value instanceof Binary) return Buffer.from(value.buffer.subarray(0, value.position)).toString();
  throw new CommandError(14, "BSON field 'saslStart.payload' is the wrong type, expected type 'binData'");
}

function begin(context: Context, connection: Connection, command: Document, db: string): Document {
  connection.scram = undefined;
  const mechanism = stringField(command, "mechanism");
  if (mechanism !== MECHANISM) {
    throw new CommandError(334, `Received authentication for mechanism ${mechanism} which is not enabled`);
  }
  // All users are in `admin`, as in Atlas; another authSource finds none.
  const conversation = startScram(payloadText(command.payload), (username) =>
    db === "admin" ? context.store.users.get(username)?.keys : undefined,
  );
  if (conversation === undefined) throw failed();
  const skipEmptyExchange = isDocument(command.options) && command.options.skipEmptyExchange === true;
  connection.scram = { conversation, skipEmptyExchange, proved: false };
  return { conversationId: 1, done: false, payload: new Binary(Buffer.from(conversation.serverFirst)), ok: 1 };
}

const saslStart: Command = {
  needs: "anyone",
  run(context, command, db) {
    checkFields(command, ["mechanism", "payload", "autoAuthorize", "options"]);
    return begin(context, context.connection, command, db);
  },
};

const saslContinue: Command = {
  needs: "anyone",
  run({ connection }, command) {
    checkFields(command, ["conversationId", "payload"]);
    const { scram } = connection;
    if (scram === undefined || toNumber(command.conversationId) !== 1) {
      throw new CommandError(17, "No SASL session state found");
    }
    if (scram.proved) {
      connection.scram = undefined;
      connection.username = scram.conversation.username;
      return { conversationId: 1, done: true, payload: new Binary(), ok: 1 };
    }
    const serverFinal = scram.conversation.finish(payloadText(command.payload));
    if (serverFinal === undefined) {
      connection.scram = undefined;
      throw failed();
    }
    if (scram.skipEmptyExchange) {
      connection.scram = undefined;
      connection.username = scram.conversation.username;
    } else scram.proved = true;
    return { conversationId: 1, done: scram.skipEmptyExchange, payload: new Binary(Buffer.from(serverFinal)), ok: 1 };
  },
};

function mechanismsOf(context: Context, asked: unknown): Document {
  if (typeof asked !== "string") return {};
  const dot = asked.indexOf(".");
  const known = asked.slice(0, dot) === "admin" && context.store.users.has(asked.slice(dot + 1));
  return known ? { saslSupportedMechs: [MECHANISM] } : {};
}

/** Its response, or nothing on failure: the client then authenticates the regular way and gets the error. */
function speculate(context: Context, asked: unknown): Document {
  if (!isDocument(asked) || asked.saslStart === undefined) return {};
  try {
    const { ok: _ok, ...answer } = begin(
      context,
      context.connection,
      asked,
      typeof asked.db === "string" ? asked.db : "",
    );
    return { speculativeAuthenticate: answer };
  } catch (error) {
    if (error instanceof CommandError) return {};
    throw error;
  }
}

function hello(primaryField: "isWritablePrimary" | "ismaster"): Command {
  return {
    needs: "anyone",
    run(context, command) {
      checkFields(command, [
        "helloOk",
        "client",
        "compression",
        "saslSupportedMechs",
        "speculativeAuthenticate",
        "loadBalanced",
        "hostInfo",
        "internalClient",
        "topologyVersion",
        "maxAwaitTimeMS",
        "forShell",
        "backpressure",
      ]);
      return {
        ...(booleanField(command, "helloOk", false) ? { helloOk: true } : {}),
        [primaryField]: true,
        maxBsonObjectSize: MAX_DOCUMENT_BYTES,
        maxMessageSizeBytes: MAX_MESSAGE_BYTES,
        maxWriteBatchSize: 100_000,
        localTime: new Date(),
        logicalSessionTimeoutMinutes: 30,
        connectionId: context.connection.id,
        minWireVersion: 0,
        maxWireVersion: MAX_WIRE_VERSION,
        readOnly: false,
        ...mechanismsOf(context, command.saslSupportedMechs),
        ...speculate(context, command.speculativeAuthenticate),
        ok: 1,
      };
    },
  };
}

const simple = (needs: Command["needs"], known: readonly string[], run: Command["run"]): Command => ({
  needs,
  run(context, command, db) {
    checkFields(command, known);
    return run(context, command, db);
  },
});

/** hello, ping, buildInfo, SASL, logout, connectionStatus, endSessions, getParameter, serverStatus. */
export const sessionCommands: Commands = {
  hello: hello("isWritablePrimary"),
  isMaster: hello("ismaster"),
  ismaster: hello("ismaster"),
  ping: simple("anyone", [], () => ({ ok: 1 })),
  buildInfo: simple("anyone", [], () => ({
    version: VERSION,
    versionArray: [8, 0, 0, 0],
    gitVersion: "sandbox",
    modules: ["sandbox"],
    bits: 64,
    debug: false,
    maxBsonObjectSize: MAX_DOCUMENT_BYTES,
    ok: 1,
  })),
  saslStart,
  saslContinue,
  logout: simple("anyone", [], ({ connection }) => {
    connection.username = undefined;
    connection.scram = undefined;
    return { ok: 1 };
  }),
  connectionStatus: simple("anyone", ["showPrivileges"], ({ user }, command) => {
    if (command.showPrivileges === true)
      throw new CommandError(238, "showPrivileges is not supported by the sandbox's MongoDB");
    const authenticatedUsers = user === undefined ? [] : [{ user: user.username, db: "admin" }];
    return { authInfo: { authenticatedUsers, authenticatedUserRoles: user?.roles ?? [] }, ok: 1 };
  }),
  // Sessions hold no state: there are no transactions.
  endSessions: simple("anyone", [], () => ({ ok: 1 })),
  getParameter: {
    adminOnly: true,
    needs: () => [{ action: "getParameter" }],
    run(context, command) {
      const values: Document = {
        ttlMonitorSleepSecs: Math.ceil(context.ttlMonitorMs / 1000),
        featureCompatibilityVersion: { version: "8.0" },
        authenticationMechanisms: [MECHANISM],
      };
      checkFields(command, Object.keys(values));
      const asked = Object.keys(values).filter((name) => name in command || command.getParameter === "*");
      if (asked.length === 0) throw new CommandError(72, "no option found to get");
      return { ...Object.fromEntries(asked.map((name) => [name, values[name] as unknown])), ok: 1 };
    },
  },
  serverStatus: simple(
    () => [{ action: "serverStatus" }],
    [],
    ({ startedAt, connection }) => ({
      host: "sandbox",
      version: VERSION,
      process: "mongod",
      pid: process.pid,
      uptime: Math.floor((Date.now() - startedAt.getTime()) / 1000),
      localTime: new Date(),
      connections: { totalCreated: connection.id },
      ok: 1,
    }),
  ),
};
