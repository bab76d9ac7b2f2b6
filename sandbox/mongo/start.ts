/** Chooses and starts the MongoDB behind the sandbox's Atlas. */
import { isIPv4 } from "node:net";
import { join } from "node:path";
import { ConnectionString } from "mongodb-connection-string-url";
import type { Log } from "../log.ts";
import type { Reaper } from "../machine/reaper.ts";
import { MissingTool } from "../tools/missing-tool.ts";
import { executablesOnPath } from "../tools/on-path.ts";
import { downloadMongod } from "./download.ts";
import { connectAdmin } from "./driver-admin.ts";
import type { MongoAdmin } from "./mongo-admin.ts";
import { startMongod } from "./mongod.ts";
import { startEmulatedMongo } from "./server.ts";

/** Options of the MongoDB. */
export interface StartMongoOptions {
  /** Folder for its data, created if missing. */
  dir: string;
  /** On 127.0.0.1; 0 picks a free one. Not used with MONGODB_URI. */
  port: number;
  log: Log;
  /** Ends a mongod when the sandbox dies. */
  reaper?: Reaper;
  /** Interval of the TTL monitor in ms (whole seconds for a real mongod). @default 60,000 */
  ttlMonitorMs?: number;
  /** For the sandbox's own server: the source address assumed for clients. */
  clientAddress?: string;
  /** Folder for a downloaded mongod. @default a folder in `dir` */
  downloads?: string;
  /** @default process.env */
  env?: NodeJS.ProcessEnv;
}

/** A running MongoDB. */
export interface StartedMongo {
  /** Connection string without user and password. */
  uri: string;
  kind: "external" | "mongod" | "downloaded" | "emulated";
  admin: MongoAdmin;
  /** Stops it; with an external one only the connection is closed. */
  close(): Promise<void>;
}

/** Values of `SANDBOX_MONGO`. */
export const mongoChoices = ["auto", "real", "emulated"] as const;

/**
 * By `SANDBOX_MONGO`: `auto`, the default, takes the server of MONGODB_URI (an administrator's connection string; of this
 * machine,
 * since a shell may have it for a real database), else a `mongod` on PATH, else our own server. `real` downloads the
 * official binary in place of our own server; `emulated` takes
 * our own whatever else is there. Logs the choice in one sentence. Rejects when the requested server cannot be used: a
 * silent fallback would hide the problem.
 */
export async function startMongo(options: StartMongoOptions): Promise<StartedMongo> {
  const { dir, log, env = process.env } = options;
  const wanted = env.SANDBOX_MONGO || "auto";
  const choice = mongoChoices.find((name) => name === wanted);
  if (!choice) throw new Error(`SANDBOX_MONGO is "${wanted}"; it must be one of ${mongoChoices.join(", ")}`);
  if (choice === "emulated") return emulate(options, "SANDBOX_MONGO is emulated");
  if (env.MONGODB_URI !== undefined && env.MONGODB_URI !== "") {
    const elsewhere = hostsElsewhere(env.MONGODB_URI);
    if (choice === "auto" && elsewhere.length > 0) {
      throw new MissingTool(
        `MONGODB_URI leads to ${elsewhere.join(", ")}, not to this machine, and the sandbox would make users and collections there: unset it, or SANDBOX_MONGO=emulated for the sandbox's own server; SANDBOX_MONGO=real takes that server nevertheless`,
      );
    }
    const admin = await connectAdmin(env.MONGODB_URI).catch((error: unknown) => {
      throw new MissingTool(
        `MONGODB_URI is set, but its server cannot be used: ${String(error)}. Start it, correct it, or unset it`,
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
  if (choice === "auto") {
    return emulate(options, "no MONGODB_URI, no mongod on PATH; SANDBOX_MONGO=real downloads one");
  }
  const otherwise = "install a mongod on PATH, set MONGODB_URI, or unset SANDBOX_MONGO";
  const downloaded = await downloadMongod(join(options.downloads ?? join(dir, "download"), "mongod"), env, log).catch(
    (error: unknown) => {
      throw new MissingTool(`SANDBOX_MONGO is real, but ${(error as Error).message}: ${otherwise}`);
    },
  );
  const mongod = await startMongod(downloaded, options).catch((error: unknown) => {
    throw new MissingTool(
      `SANDBOX_MONGO is real, but the downloaded mongod does not run here (${String(error)}): ${otherwise}`,
    );
  });
  log("MongoDB: the official binary, downloaded; it has no access list.");
  return { ...mongod, kind: "downloaded" };
}

/** @returns the hosts of a connection string that are not this machine; empty for an invalid one, which fails later */
export function hostsElsewhere(uri: string): string[] {
  try {
    const { hosts, isSRV } = new ConnectionString(uri);
    return hosts.filter((host) => isSRV || !isLoopback(decodeURIComponent(host)));
  } catch {
    return [];
  }
}

function isLoopback(host: string): boolean {
  if (host.startsWith("/")) return true; // a Unix socket
  const name = host.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
  return name === "localhost" || name === "::1" || (isIPv4(name) && name.startsWith("127."));
}

async function emulate(options: StartMongoOptions, why: string): Promise<StartedMongo> {
  const emulated = await startEmulatedMongo({ ...options, dir: join(options.dir, "emulated") });
  options.log(`MongoDB: the sandbox's own server (${why}); it keeps users, roles, access list and TTL.`);
  return { uri: emulated.admin.uri, kind: "emulated", admin: emulated.admin, close: () => emulated.close() };
}
