/**
 * Bundles the relay, its threads for jobs and documents and the installer into one file each and packs them into one archive, named by its hash. The same
 * sources give the same bytes, so an unchanged program changes nothing on the Mac.
 */
import { createHash } from "node:crypto";
import { mkdir, readFile, rename, rm, utimes } from "node:fs/promises";
import { join } from "node:path";
import * as esbuild from "esbuild";
import * as tar from "tar";

/** The archive for the Mac. */
export interface Release {
  path: string;
  /** Names the release; checked on the Mac. */
  sha256: string;
}

const sources = {
  relay: "relay/main.ts",
  "jobs-worker": "relay/jobs/worker.ts",
  "documents-worker": "relay/documents/worker.ts",
  installer: "installer/main.ts",
} as const;

/**
 * @param outDir where the archive is put; `dist` beside `package.json` unless said otherwise
 * @throws esbuild's BuildFailure when a source does not compile
 */
export async function buildRelease(outDir: string = join(import.meta.dirname, "..", "dist")): Promise<Release> {
  const work = join(outDir, `build-${process.pid}`);
  await mkdir(work, { recursive: true });
  try {
    await esbuild.build({
      entryPoints: Object.entries(sources).map(([out, file]) => ({ in: join(import.meta.dirname, file), out })),
      outdir: work,
      outExtension: { ".js": ".mjs" },
      absWorkingDir: join(import.meta.dirname, ".."),
      bundle: true,
      platform: "node",
      target: "node24",
      format: "esm",
      // Some packages are CommonJS inside and ask for Node's own modules by require().
      banner: {
        js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);',
      },
      logLevel: "silent",
    });
    const files = Object.keys(sources).map((name) => `${name}.mjs`);
    const epoch = new Date(0);
    for (const file of files) await utimes(join(work, file), epoch, epoch);
    const archive = join(work, "release.tgz");
    // `portable` leaves out owner and times of this machine.
    await tar.create({ file: archive, cwd: work, gzip: { level: 9 }, portable: true, mtime: epoch }, files);
    const sha256 = createHash("sha256")
      .update(await readFile(archive))
      .digest("hex");
    const path = join(outDir, `slm-network-${sha256}.tgz`);
    await rename(archive, path);
    return { path, sha256 };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

if (import.meta.main) {
  const release = await buildRelease();
  console.log(release.path);
}
