/** The pinned versions of this project's Pulumi packages. */
import { readFileSync } from "node:fs";
import { z } from "zod";

const manifest = z.object({ pulumi: z.object({ version: z.string().min(1) }) });

/**
 * The plugin version that `@pulumi/<name>` requests from the engine, without `v`. @throws when the package is not
 * installed
 */
export function pinnedVersion(name: string): string {
  const file = new URL(`../../node_modules/@pulumi/${name}/package.json`, import.meta.url);
  return manifest.parse(JSON.parse(readFileSync(file, "utf8"))).pulumi.version;
}
