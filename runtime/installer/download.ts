/** cloudflared's official archive: downloaded once or uploaded, and used only if its hash matches. */
import { createHash } from "node:crypto";
import { chmod, mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { InstallInput } from "../install-input-schema.ts";
import { run } from "./commands.ts";
import { pathExists, publicFile, readIfExists, writeFileAtomic } from "./files.ts";
import { fileHash } from "./inspect.ts";
import type { Layout } from "./layout.ts";

/**
 * Ensures `cloudflared/<sha256>/cloudflared` exists and is unaltered. The archive's sha256 cannot verify the unpacked
 * program, so the program's own hash is kept beside it.
 * @returns its path, and whether it replaces one that was altered since it was unpacked
 * @throws Error with the fix when the download fails or its hash differs
 */
export async function ensureConnector(
  paths: Layout,
  source: InstallInput["cloudflared"],
): Promise<{ program: string; replaced: boolean }> {
  const folder = join(paths.cloudflared, source.sha256);
  const program = join(folder, "cloudflared");
  const note = join(folder, "cloudflared.sha256");
  let replaced = false;
  if (await pathExists(program)) {
    const [wanted, found] = [(await readIfExists(note))?.trim(), await fileHash(program)];
    // Unpacked by a version that kept no hash: accepted as it is.
    if (wanted === undefined) await writeFileAtomic(note, `${found}\n`, publicFile);
    if (wanted === undefined || wanted === found) return { program, replaced };
    replaced = true;
  }
  await mkdir(paths.cloudflared, { recursive: true });
  const work = await mkdtemp(join(paths.cloudflared, ".incoming-"));
  try {
    const archive = source.uploaded ? await uploaded(paths, source.sha256) : await download(source.url);
    const actual = createHash("sha256").update(archive).digest("hex");
    if (actual !== source.sha256) {
      throw new Error(`the download from ${source.url} has sha256 ${actual}, not ${source.sha256}: not used`);
    }
    await writeFile(join(work, "archive.tgz"), archive);
    // -o: root owns the file, not the uid in the archive.
    await run("tar", ["-xzof", join(work, "archive.tgz"), "-C", work]);
    await rm(join(work, "archive.tgz"));
    if (!(await pathExists(join(work, "cloudflared")))) {
      throw new Error(`the archive ${source.url} contains no file named cloudflared`);
    }
    await chmod(join(work, "cloudflared"), 0o755);
    await writeFileAtomic(
      join(work, "cloudflared.sha256"),
      `${await fileHash(join(work, "cloudflared"))}\n`,
      publicFile,
    );
    await chmod(work, 0o755);
    await rm(folder, { recursive: true, force: true });
    await rename(work, folder);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return { program, replaced };
}

/** Attempts before a download fails; time limit of each, in milliseconds. */
const attempts = { count: 3, withinMs: 300_000 };

async function download(url: string): Promise<Buffer> {
  let why = "";
  for (let attempt = 1; attempt <= attempts.count; attempt++) {
    try {
      const response = await fetch(url, { signal: AbortSignal.timeout(attempts.withinMs) });
      if (response.ok) return Buffer.from(await response.arrayBuffer()); // a cut transfer rejects here
      why = `HTTP ${response.status}`;
      await response.body?.cancel();
      if (response.status < 500) break; // asking again would not help
    } catch (error) {
      why = error instanceof Error && error.cause instanceof Error ? error.cause.message : (error as Error).message;
    }
  }
  throw new Error(`the Mac cannot download cloudflared from ${url} (${why}): is it on the internet?`);
}

async function uploaded(paths: Layout, sha256: string): Promise<Buffer> {
  const file = paths.upload(sha256);
  try {
    return await readFile(file);
  } catch (error) {
    throw new Error(
      `the upload of cloudflared is missing at ${file} (${(error as Error).message}): send it again with \`pulumi up --replace '<urn of …-upload-cloudflared>'\``,
    );
  }
}
