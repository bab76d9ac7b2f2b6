/**
 * Downloads the official mongod once, in a separate process, because the download itself cannot be cancelled. As a program
 * it prints the binary's path.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { MongoBinary } from "mongodb-memory-server-core/lib/util/MongoBinary.js";
import type { Log } from "../log.ts";

const WITHIN_MS = 600_000;

/**
 * Path of the official binary: downloaded once, compared with the MD5 that MongoDB publishes beside the archive, through
 * the proxy that the environment names.
 * @throws Error saying why it is not available; the environment may forbid it (MONGOMS_DISABLE_DOWNLOAD, SANDBOX_OFFLINE=1)
 */
export async function downloadMongod(
  dir: string,
  env: NodeJS.ProcessEnv,
  log: Log,
  timeoutMs = WITHIN_MS,
): Promise<string> {
  const forbidden = ["MONGOMS_DISABLE_DOWNLOAD", "SANDBOX_OFFLINE"].find((name) => env[name] && env[name] !== "0");
  if (forbidden) throw new Error(`${forbidden} forbids its download`);
  await mkdir(dir, { recursive: true, mode: 0o700 });
  log("MongoDB: fetching the official mongod, once (about 100 MB) …");
  const child = spawn(process.execPath, [import.meta.filename, dir], {
    // By default the library checks neither the checksum nor the server's certificate.
    env: {
      MONGOMS_MD5_CHECK: "1",
      MONGOMS_MAX_RETRIES: "2",
      npm_config_strict_ssl: "true",
      ...env,
      MONGOMS_RESUME_DOWNLOAD: "false",
    },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: timeoutMs,
    killSignal: "SIGKILL",
  });
  let path = "";
  let why = "";
  child.stdout.on("data", (chunk: Buffer) => (path += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (why = (why + chunk.toString()).slice(-2000)));
  const [code] = (await once(child, "close")) as [number | null];
  const binary = path
    .split("\n")
    .findLast((line) => line.startsWith("path: "))
    ?.slice("path: ".length);
  if (code === 0 && binary !== undefined) return binary;
  // An archive with a wrong checksum would be used at the next start.
  for (const left of await readdir(dir)) if (/\.(tgz|zip|md5|downloading)$/.test(left)) await rm(join(dir, left));
  const reason = code === null ? `not done within ${timeoutMs / 1000} s` : why.trim().split("\n").at(-1);
  throw new Error(`mongod could not be downloaded (${reason})`);
}

if (import.meta.main) {
  const [downloadDir = ""] = process.argv.slice(2);
  try {
    process.stdout.write(`path: ${await MongoBinary.getPath({ downloadDir })}\n`);
  } catch (error) {
    process.stderr.write(`${String(error)}\n`);
    process.exitCode = 1;
  }
}
