/**
 * Fetches the official mongod once, in a process of its own: the download can not be cancelled, a process can.
 * Run as a program it prints the binary's path.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { MongoBinary } from "mongodb-memory-server-core/lib/util/MongoBinary.js";

const FAILED = "download-failed";
const AGAIN_AFTER_MS = 24 * 3600 * 1000;

/**
 * Path of the official binary, or undefined when it can not be had within `timeoutMs`. A failure is remembered in the
 * folder and not tried again for 24 h; the environment may forbid it (MONGOMS_DISABLE_DOWNLOAD, SANDBOX_OFFLINE=1).
 */
export async function downloadMongod(
  dir: string,
  env: NodeJS.ProcessEnv,
  timeoutMs = 20_000,
): Promise<string | undefined> {
  if (env.MONGOMS_DISABLE_DOWNLOAD !== undefined || env.SANDBOX_OFFLINE === "1") return undefined;
  const remembered = join(dir, FAILED);
  const failedAt = await stat(remembered).then(
    (file) => file.mtimeMs,
    () => undefined,
  );
  if (failedAt !== undefined && Date.now() - failedAt < AGAIN_AFTER_MS) return undefined;
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const child = spawn(process.execPath, [import.meta.filename, join(dir, "binary")], {
    env: { ...env, MONGOMS_RESUME_DOWNLOAD: "false" },
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
  await writeFile(remembered, code === null ? `not done within ${timeoutMs} ms\n` : why);
  return undefined;
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
