/** The page's own program and style sheet: files beside the bundled relay, built from `client/`. */
import { readFile } from "node:fs/promises";

export interface PageAssets {
  readonly script: string;
  readonly style: string;
}

/** Names of the files. */
export const ASSET_FILES = { script: "status-page.js", style: "status-page.css" } as const;

// A relay that runs from its sources has none, unless a test names a folder.
const BESIDE = import.meta.url.endsWith(".ts") ? undefined : new URL("./", import.meta.url);

/** @returns undefined where they are missing: the page then shows what it can without them */
export async function loadAssets(folder: URL | undefined = BESIDE): Promise<PageAssets | undefined> {
  if (folder === undefined) return undefined;
  const read = (name: string) => readFile(new URL(name, folder), "utf8");
  try {
    const [script, style] = await Promise.all([read(ASSET_FILES.script), read(ASSET_FILES.style)]);
    return { script, style };
  } catch {
    return undefined;
  }
}
