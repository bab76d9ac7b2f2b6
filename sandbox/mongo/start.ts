/** Chooses and starts the MongoDB behind the sandbox's Atlas. */
import { join } from "node:path";
import type { Log } from "../log.ts";
import type { Reaper } from "../reaper.ts";
import { executablesOnPath } from "../tools/on-path.ts";
import { downloadMongod } from "./download.ts";
import { connectAdmin } from "./driver-admin.ts";
import type { MongoAdmin } from "./mongo-admin.ts";
import { startMongod } from "./mongod.ts";
import { startEmulatedMongo } from "./server.ts";

/** How the MongoDB is started. */
export interface StartMongoOptions {
  /** Folder for its data, made if it is not there. */
  dir: string;
  /** On 127.0.0.1; 0 is any free one. Not used with MONGODB_URI. */
  port: number;
  log: Log;
  /** Ends a mongod when the sandbox dies. */
  reaper?: Reaper;
  /** Time between two runs of the TTL monitor, in ms (whole seconds for a real mongod); 60,000 unless given. */
  ttlMonitorMs?: number;
  /** For our own server: the address clients are taken to come from. */
  clientAddress?: string;
  /** @default process.env */
  env?: NodeJS.ProcessEnv;
}

/** A MongoDB that runs. */
export interface StartedMongo {
  /** Connection string without user and password. */
  uri: string;
  kind: "external" | "mongod" | "downloaded" | "emulated";
  admin: MongoAdmin;
  /** Ends it; an external one only loses our connection. */
  close(): Promise<void>;
}

/**
 * In this order: the server of MONGODB_URI (an administrator's connection string), a `mongod` on PATH, the official
 * binary where it can be downloaded and runs, our own server. Says which in one sentence. Rejects when MONGODB_URI or the
 * mongod on PATH can not be used: falling back quietly would hide a fault.
 */
export async function startMongo(options: StartMongoOptions): Promise<StartedMongo> {
  const { dir, log, env = process.env } = options;
  if (env.MONGODB_URI !== undefined && env.MONGODB_URI !== "") {
    const admin = await connectAdmin(env.MONGODB_URI).catch((error: unknown) => {
      throw new Error(
        `MONGODB_URI is set, but its server can not be used: ${String(error)}. Start it, correct it, or unset it`,
      );
    });
    log("MongoDB: the server named by MONGODB_URI; it has no access list.");
    return { uri: admin.uri, kind: "external", admin, close: () => admin.close() };
  }
  const [onPath] = executablesOnPath("mongod", env.PATH ?? "");
  if (onPath !== undefined) {
    const mongod = await startMongod(onPath, options);
    log(`MongoDB: ${onPath}, which is on PATH; it has no access list.`);
    return { ...mongod, kind: "mongod" };
  }
  const downloaded = await downloadMongod(join(dir, "download"), env);
  if (downloaded !== undefined) {
    // Nobody asked for this one by name: where it lacks a library, the sandbox goes on without it.
    const mongod = await startMongod(downloaded, options).catch((error: unknown) => {
      log(`MongoDB: the downloaded mongod does not run here (${String(error)}).`);
    });
    if (mongod !== undefined) {
      log("MongoDB: the official binary, downloaded; it has no access list.");
      return { ...mongod, kind: "downloaded" };
    }
  }
  const emulated = await startEmulatedMongo({ ...options, dir: join(dir, "emulated") });
  log(
    "MongoDB: the sandbox's own server (no mongod on PATH, none downloaded); it keeps users, roles, access list and TTL.",
  );
  return { uri: emulated.admin.uri, kind: "emulated", admin: emulated.admin, close: () => emulated.close() };
}
