/**
 * Bundles the relay, its threads for jobs and documents and the installer and packs them into one archive, named by its hash. The same
 * sources give the same bytes on every machine, so an unchanged program changes nothing on the Mac. The archive is not
 * compressed: gzip's output differs between versions of Node (zlib), and another file would be uploaded and installed again.
 */
import { createHash } from "node:crypto";
import { chmod, mkdir, readdir, readFile, rename, rm, utimes } from "node:fs/promises";
import { join } from "node:path";
import * as esbuild from "esbuild";
import * as tar from "tar";

/**
 * Builds the program and the style sheet of the status page, for browsers of the last two years.
 * @returns their file names, in `outDir`
 */
export async function buildStatusPage(outDir: string): Promise<string[]> {
  return (await statusPage(outDir)).names;
}

async function statusPage(outDir: string) {
  const client = join(import.meta.dirname, "relay/status/client");
  const names = ["status-page.js", "status-page.css"];
  const { metafile } = await esbuild.build({
    absWorkingDir: join(import.meta.dirname, ".."),
    metafile: true,
    outdir: outDir,
    entryPoints: [
      { in: join(client, "main.ts"), out: "status-page" },
      { in: join(client, "style.css"), out: "status-page" },
    ],
    bundle: true,
    platform: "browser",
    format: "iife",
    // As esbuild would otherwise rewrite light-dark() and the like for older ones.
    target: ["chrome123", "safari17.5", "firefox120"],
    minify: true,
    charset: "utf8",
    legalComments: "none",
    logLevel: "silent",
  });
  return { names, metafile };
}

/** The archive for the Mac. */
export interface Release {
  path: string;
  /** Of the archive; names the release, and is checked on the Mac. */
  sha256: string;
}

/** Where a build leaves the release of this hash. */
export const archivePath = (outDir: string, sha256: string): string => join(outDir, `slm-network-${sha256}.tar`);

/** A release that was just built. */
export interface Build extends Release {
  /** The files it was built from, relative to the project. */
  readonly inputs: readonly string[];
}

/** Programs of the release by name, each a file `<name>.mjs`; the relay starts its threads by these names. */
export const sources = {
  relay: "relay/main.ts",
  "jobs-worker": "relay/jobs/worker.ts",
  "documents-worker": "relay/documents/worker.ts",
  "heavy-worker": "relay/documents/body-worker-thread.ts",
  "usage-worker": "relay/usage/worker.ts",
  installer: "installer/main.ts",
} as const;

const packages = join(import.meta.dirname, "../node_modules");

/**
 * What is left out of packages, since the text and objects of a program stay in memory: of undici all but its pool (fetch,
 * WebSocket, caches and mocks are 10 MB), of zod its messages in other languages, of OpenTelemetry its logs and metrics. Larger imports fail the build.
 */
const slim: esbuild.Plugin = {
  name: "slim",
  setup(build) {
    build.onResolve({ filter: /^undici$/ }, () => ({ path: "undici", namespace: "slim" }));
    build.onLoad({ filter: /^undici$/, namespace: "slim" }, () => ({
      resolveDir: import.meta.dirname,
      // As undici's own index.js does.
      contents: `import Dispatcher from "undici/lib/dispatcher/dispatcher.js";
import Pool from "undici/lib/dispatcher/pool.js";
import api from "undici/lib/api/index.js";
Object.assign(Dispatcher.prototype, api);
export { Pool };`,
    }));
    // Their CommonJS builds cannot be taken apart, and npm gives several of them a copy of the core of their own.
    build.onResolve({ filter: /^@opentelemetry\/(core|resources|sdk-trace|otlp-transformer)$/ }, ({ path }) => ({
      path: join(packages, path, "build/esm/index.js"),
      sideEffects: false,
    }));
    build.onLoad({ filter: /zod[\\/]v4[\\/]locales[\\/]index\.js$/ }, () => ({ contents: "export {};" }));
  },
};

/**
 * @param outDir where the archive is put; `dist` beside `package.json` unless said otherwise
 * @throws esbuild's BuildFailure when a source does not compile
 */
export async function buildRelease(outDir?: string): Promise<Release> {
  const { path, sha256 } = await build(outDir);
  return { path, sha256 };
}

/** The same with what it was built from. */
export async function build(outDir: string = join(import.meta.dirname, "..", "dist")): Promise<Build> {
  const work = join(outDir, `build-${process.pid}`);
  await mkdir(work, { recursive: true });
  try {
    const common = {
      outdir: work,
      outExtension: { ".js": ".mjs" },
      absWorkingDir: join(import.meta.dirname, ".."),
      metafile: true,
      bundle: true,
      platform: "node",
      target: "node24",
      format: "esm",
      // The source text stays in memory. Names stay too, for stack traces.
      minifyWhitespace: true,
      minifySyntax: true,
      // Some packages are CommonJS inside and ask for Node's own modules by require().
      banner: {
        js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);',
      },
      plugins: [slim],
      logLevel: "silent",
    } as const satisfies esbuild.BuildOptions;
    const entry = (out: keyof typeof sources) => ({ in: join(import.meta.dirname, sources[out]), out });
    const threads = await esbuild.build({
      ...common,
      entryPoints: [
        entry("jobs-worker"),
        entry("documents-worker"),
        entry("heavy-worker"),
        entry("usage-worker"),
        entry("installer"),
      ],
    });
    // What it imports when it is needed becomes a file of its own.
    const relay = await esbuild.build({ ...common, entryPoints: [entry("relay")], splitting: true });
    const page = await statusPage(work);
    const files = (await readdir(work)).sort();
    const epoch = new Date(0);
    for (const file of files) {
      await utimes(join(work, file), epoch, epoch);
      await chmod(join(work, file), 0o644); // whatever the umask of this machine
    }
    const archive = join(work, "release.tar");
    // `portable` leaves out owner and times of this machine.
    await tar.create({ file: archive, cwd: work, portable: true, mtime: epoch }, files);
    const sha256 = createHash("sha256")
      .update(await readFile(archive))
      .digest("hex");
    const path = archivePath(outDir, sha256);
    await rename(archive, path);
    // Those of a plugin (`slim:undici`) stand for no file.
    const inputs = [threads, relay, page].flatMap(({ metafile }) => Object.keys(metafile.inputs));
    return { path, sha256, inputs: [...new Set(inputs)].filter((input) => !/^[\w-]+:/.test(input)) };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

if (import.meta.main) {
  const release = await buildRelease();
  console.log(release.path);
}
