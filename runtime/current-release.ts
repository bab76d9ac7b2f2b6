/**
 * The release that the last build left in `dist/`, as long as all that it was made from is the same: the build takes about a second
 * of CPU at every `preview` and `up`, the comparison a twentieth of that.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { readFile, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { archivePath, type Build, build, type Release } from "./build.ts";

const root = join(import.meta.dirname, "..");

/** What a build depends on beside the files that esbuild reads: the packages' versions, and how the sources are compiled. */
const beside = [
  "package.json",
  "package-lock.json",
  "tsconfig.json",
  "runtime/relay/status/client/tsconfig.json",
  "runtime/build.ts",
];

const noteSchema = z.object({
  sha256: z.string(),
  /** Relative to the project. */
  inputs: z.array(z.string()),
  /** Over the content of all inputs. */
  digest: z.string(),
});
type Note = z.infer<typeof noteSchema>;

/**
 * @param outDir where archive and note are put
 * @returns the release of the sources as they are now
 * @throws esbuild's BuildFailure when a source does not compile
 */
export async function currentRelease(
  outDir: string = join(root, "dist"),
  builder: (outDir: string) => Promise<Build> = build,
): Promise<Release> {
  const file = join(outDir, "release.json");
  const last = await readNote(file);
  if (last && isCurrent(last, archivePath(outDir, last.sha256))) {
    return { path: archivePath(outDir, last.sha256), sha256: last.sha256 };
  }
  const startedAt = Date.now();
  const { inputs: read, ...release } = await builder(outDir);
  const inputs = [...new Set([...beside, ...read])].sort();
  const digest = await digestOfUnchanged(inputs, startedAt);
  if (digest !== undefined) {
    const note: Note = { sha256: release.sha256, inputs, digest };
    await writeFile(`${file}.${process.pid}`, JSON.stringify(note));
    await rename(`${file}.${process.pid}`, file);
  }
  return release;
}

async function readNote(file: string): Promise<Note | undefined> {
  try {
    return noteSchema.parse(JSON.parse(await readFile(file, "utf8")));
  } catch {
    return undefined; // none yet, or of another version
  }
}

/** Whether the inputs are what they were, and the archive too. */
function isCurrent({ sha256, inputs, digest }: Note, archive: string): boolean {
  try {
    return digestOf(inputs) === digest && createHash("sha256").update(readFileSync(archive)).digest("hex") === sha256;
  } catch {
    return false; // a file is gone
  }
}

/**
 * @returns undefined when a file was written since, and may be another than the one that was compiled, or when one is not there
 * (a copy of the program without its lock file): then the next run builds again
 */
async function digestOfUnchanged(inputs: readonly string[], since: number): Promise<string | undefined> {
  try {
    const times = await Promise.all(inputs.map(async (path) => (await stat(join(root, path))).mtimeMs));
    return times.every((changedAt) => changedAt < since) ? digestOf(inputs) : undefined;
  } catch {
    return undefined;
  }
}

/** Synchronous: for a thousand small files that takes a third of the CPU. */
function digestOf(inputs: readonly string[]): string {
  const hash = createHash("sha256");
  for (const path of inputs) {
    const content = readFileSync(join(root, path));
    // The length keeps one file's end from being taken for the next one's beginning.
    hash.update(`${path} ${content.length}\n`).update(content);
  }
  return hash.digest("hex");
}
