/**
 * The downloads a Mac would make from nodejs.org and github.com: archives of this machine's own Node and cloudflared,
 * served on loopback. Packed once and kept in the cache.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { copyFile, link, mkdir, mkdtemp, rm, stat } from "node:fs/promises";
import { createServer } from "node:http";
import { basename, dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import * as tar from "tar";
import type { Log } from "./log.ts";
import { listenOn } from "./machine/ports.ts";
import { cacheFolder } from "./tools/tools.ts";

/** An archive that the emulated Mac downloads. */
export interface Artifact {
  url: string;
  sha256: string;
}

/** The archives and their server. */
export interface Artifacts {
  node: Artifact;
  cloudflared: Artifact;
  close(): Promise<void>;
}

/** Packs missing archives (takes seconds) and serves them on 127.0.0.1. */
export async function serveArtifacts(options: {
  /** 0 picks a free port. */
  port: number;
  node: string;
  cloudflared: string;
  log: Log;
}): Promise<Artifacts> {
  const files = {
    node: await pack(options.node, "node/bin/node", options.log),
    cloudflared: await pack(options.cloudflared, "cloudflared", options.log),
  };
  const byName = new Map(Object.values(files).map((file) => [`/${basename(file)}`, file]));
  const server = createServer((request, response) => {
    const file = byName.get(request.url ?? "");
    if (!file) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { "content-type": "application/gzip" });
    pipeline(createReadStream(file), response).catch(() => response.destroy());
  });
  const port = await listenOn(server, options.port, "the sandbox's server of archives");
  const artifact = async (file: string): Promise<Artifact> => ({
    url: `http://127.0.0.1:${port}/${basename(file)}`,
    sha256: await sha256(file),
  });
  return {
    node: await artifact(files.node),
    cloudflared: await artifact(files.cloudflared),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function pack(program: string, inside: string, log: Log): Promise<string> {
  const { size, mtimeMs } = await stat(program);
  const key = createHash("sha256")
    .update(JSON.stringify([program, size, mtimeMs]))
    .digest("hex")
    .slice(0, 12);
  const folder = join(cacheFolder(), "artifacts");
  const file = join(folder, `${basename(inside)}-${key}.tgz`);
  if (await exists(file)) return file;
  log(`packing ${basename(inside)} for the emulated Mac …`);
  await mkdir(folder, { recursive: true });
  const work = await mkdtemp(join(folder, ".pack-"));
  try {
    await mkdir(dirname(join(work, inside)), { recursive: true });
    await copyFile(program, join(work, inside));
    const archive = join(work, "archive.tgz");
    // The same bytes from every process, and the first one's file stays: another sandbox may have read its hash already.
    const options = { file: archive, cwd: work, gzip: { level: 1 }, portable: true, mtime: new Date(0) };
    await tar.create(options, [inside.split("/")[0]!]);
    await link(archive, file).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return file;
}

const exists = (file: string): Promise<boolean> =>
  stat(file).then(
    () => true,
    () => false,
  );

async function sha256(file: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(file), hash);
  return hash.digest("hex");
}
