/** A real mongod as a child process, with authentication on. */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { MongoClient, MongoServerError } from "mongodb";
import { claimPort } from "../machine/ports.ts";
import type { Reaper } from "../machine/reaper.ts";
import { connectAdmin } from "./driver-admin.ts";
import type { MongoAdmin } from "./mongo-admin.ts";

const ADMIN = "sandbox-admin";
const START_MS = 30_000;
const STOP_MS = 10_000;

/**
 * The administrator's password: stored, or generated and written to disk before the server gets it, so that it is never
 * lost.
 */
async function adminPassword(dir: string): Promise<string> {
  const file = join(dir, "admin-password");
  const kept = await readFile(file, "utf8").catch(() => undefined);
  if (kept !== undefined) return kept;
  const password = randomBytes(24).toString("base64url");
  await writeFile(file, password, { mode: 0o600 });
  return password;
}

async function untilListening(child: ChildProcess, port: number, output: () => string): Promise<void> {
  const deadline = Date.now() + START_MS;
  for (;;) {
    if (child.exitCode !== null || child.signalCode !== null) {
      throw new Error(`mongod ended at once (${child.exitCode ?? child.signalCode}): ${output()}`);
    }
    const client = new MongoClient(`mongodb://127.0.0.1:${port}/?directConnection=true`, {
      serverSelectionTimeoutMS: 500,
    });
    try {
      await client.db("admin").command({ hello: 1 });
      return;
    } catch (error) {
      if (Date.now() > deadline)
        throw new Error(`mongod did not answer on port ${port} within ${START_MS / 1000} s: ${String(error)}`);
      await wait(100);
    } finally {
      await client.close();
    }
  }
}

/** The first user may be created without authentication from this machine ("localhost exception" in MongoDB's manual). */
async function makeAdmin(port: number, password: string): Promise<void> {
  const client = new MongoClient(`mongodb://127.0.0.1:${port}/?directConnection=true`, {
    serverSelectionTimeoutMS: 5000,
  });
  try {
    await client
      .db("admin")
      .command({ createUser: ADMIN, pwd: password, roles: ["root"], mechanisms: ["SCRAM-SHA-256"] });
  } finally {
    await client.close();
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
  await ended;
  clearTimeout(timer);
}

/** A running mongod. */
export interface Mongod {
  uri: string;
  admin: MongoAdmin;
  /** Stops it (SIGTERM, SIGKILL after 10 s). */
  close(): Promise<void>;
}

/**
 * Starts the binary on 127.0.0.1 with its data under `dir`, in its own process group, and signs in as its administrator
 * (created on the first start). Rejects without an answer within 30 s.
 */
export async function startMongod(
  binary: string,
  options: { dir: string; port: number; reaper?: Reaper; ttlMonitorMs?: number },
): Promise<Mongod> {
  const { dir, reaper, ttlMonitorMs = 60_000 } = options;
  const data = join(dir, "mongod");
  await mkdir(data, { recursive: true, mode: 0o700 });
  const port = options.port === 0 ? await claimPort() : options.port;
  const ttl = `ttlMonitorSleepSecs=${Math.max(1, Math.ceil(ttlMonitorMs / 1000))}`;
  const child = spawn(
    binary,
    [
      "--dbpath",
      data,
      "--port",
      String(port),
      "--bind_ip",
      "127.0.0.1",
      "--nounixsocket",
      "--auth",
      "--quiet",
      "--setParameter",
      ttl,
    ],
    { detached: true, stdio: ["ignore", "pipe", "pipe"] },
  );
  let output = "";
  const keep = (chunk: Buffer): void => {
    output = (output + chunk.toString()).slice(-2000);
  };
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  await once(child, "spawn");
  const { pid } = child;
  if (pid !== undefined) {
    reaper?.watch(pid);
    child.once("exit", () => reaper?.forget(pid));
  }
  try {
    await untilListening(child, port, () => output);
    const password = await adminPassword(dir);
    const signIn = () => connectAdmin(`mongodb://${ADMIN}:${password}@127.0.0.1:${port}/?directConnection=true`);
    const admin = await signIn().catch(async (error: unknown) => {
      if (!(error instanceof MongoServerError) || error.code !== 18) throw error; // 18: AuthenticationFailed
      await makeAdmin(port, password);
      return signIn();
    });
    const uri = `mongodb://127.0.0.1:${port}`;
    return {
      uri,
      admin: { ...admin, uri },
      close: async () => {
        await admin.close();
        await stop(child);
      },
    };
  } catch (error) {
    await stop(child);
    throw error;
  }
}
