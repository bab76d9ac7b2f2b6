/** Users of a real MongoDB, made with the official driver. */
import { MongoClient, MongoServerError } from "mongodb";
import type { MongoAdmin, MongoRole } from "./mongo-admin.ts";

/** Atlas' own role, expressed by the roles of a server outside Atlas. */
function ownRole({ role, db }: MongoRole): MongoRole {
  return role === "atlasAdmin" ? { role: "root", db: "admin" } : { role, db };
}

/** The connection string without user and password. */
export function withoutCredentials(uri: string): string {
  return uri.replace(/^(mongodb(?:\+srv)?:\/\/)[^@/]*@/u, "$1");
}

/**
 * Connects with an administrator's connection string. Rejects after `timeoutMs` without an answer, or when the password is
 * wrong. `close` ends the connection; created users stay.
 */
export async function connectAdmin(uri: string, timeoutMs = 10_000): Promise<MongoAdmin & { close(): Promise<void> }> {
  const client = new MongoClient(uri, { serverSelectionTimeoutMS: timeoutMs, appName: "slm-network-sandbox" });
  try {
    await client.db("admin").command({ ping: 1 });
  } catch (error) {
    await client.close();
    throw error;
  }
  const admin = client.db("admin");
  return {
    uri: withoutCredentials(uri),
    putUser: async ({ username, password, roles }) => {
      const fields = { pwd: password, roles: roles.map(ownRole), mechanisms: ["SCRAM-SHA-256"] };
      try {
        await admin.command({ updateUser: username, ...fields });
      } catch (error) {
        if (!(error instanceof MongoServerError) || error.code !== 11) throw error; // 11: UserNotFound
        await admin.command({ createUser: username, ...fields });
      }
    },
    removeUser: async (username) => {
      try {
        await admin.command({ dropUser: username });
      } catch (error) {
        if (!(error instanceof MongoServerError) || error.code !== 11) throw error;
      }
    },
    setAccessList: async () => {}, // a mongod has no access list
    close: () => client.close(),
  };
}
