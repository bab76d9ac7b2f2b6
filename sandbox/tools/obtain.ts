/** One tool from its vendor's site: downloaded, compared with its hash, unpacked. */
import { existsSync } from "node:fs";
import { readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import * as tar from "tar";
import { download } from "../../runtime/artifacts/download.ts";
import type { Log } from "../log.ts";
import { MissingTool } from "./missing-tool.ts";
import type { Download, Recipe } from "./recipes.ts";

/** Time between two lines about how far a download is. */
const progressMs = 10_000;

/**
 * Has the program and its companions in `work`.
 * @param work an empty folder of the caller's
 * @returns why it could not be downloaded, or undefined when it was
 * @throws MissingTool when what came has another hash than it should
 */
export async function obtain(
  recipe: Recipe,
  source: Download,
  work: string,
  step: string,
  log: Log,
): Promise<string | undefined> {
  const file = join(work, source.kind === "raw" ? recipe.name : ".archive.tgz");
  const list = join(work, ".checksums");
  let actual: string;
  let expected: string | undefined;
  try {
    log(`${step}${recipe.name} ${recipe.version}: downloading ${source.url} …`);
    let toldAt = performance.now();
    const onProgress = (received: number, total: number | undefined) => {
      if (performance.now() - toldAt < progressMs) return;
      toldAt = performance.now();
      log(`  … ${megabytes(received)}${total === undefined ? "" : ` of ${megabytes(total)}`} MB`);
    };
    actual = await download(source.url, file, { onProgress });
    expected = await expectedHash(source, list);
  } catch (error) {
    return (error as Error).message;
  } finally {
    await rm(list, { force: true });
  }
  if (actual !== expected) {
    throw new MissingTool(
      `${source.url} has sha256 ${actual}, expected ${expected ?? "one in the vendor's list, which does not name it"}: not used. Does a proxy or a mirror change it? Otherwise ${recipe.advice}.`,
    );
  }
  if (source.kind === "raw") return undefined;
  await tar.extract({ file, cwd: work });
  await rm(file);
  await flatten(work, recipe.name);
  if (!existsSync(join(work, recipe.name))) throw new MissingTool(`${source.url} holds no file named ${recipe.name}`);
  return undefined;
}

const megabytes = (bytes: number) => Math.round(bytes / 2 ** 20);

/** The pinned hash, or the one that the vendor's own list names, fetched over TLS from the same site. */
async function expectedHash(source: Download, to: string): Promise<string | undefined> {
  if (typeof source.sha256 === "string") return source.sha256;
  const name = source.url.slice(source.url.lastIndexOf("/") + 1);
  await download(source.sha256.list, to);
  return (await readFile(to, "utf8"))
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .find(([, file]) => file === name)?.[0];
}

/** An archive may hold its programs in a folder of its own (`pulumi/pulumi`): brings them up. */
async function flatten(work: string, program: string): Promise<void> {
  for (const entry of await readdir(work, { withFileTypes: true })) {
    if (!entry.isDirectory() || !existsSync(join(work, entry.name, program))) continue;
    const inner = join(work, `${entry.name}.inner`);
    await rename(join(work, entry.name), inner);
    for (const file of await readdir(inner)) await rename(join(inner, file), join(work, file));
    await rm(inner, { recursive: true });
  }
}
