/** A copy of the Pulumi program that a test may change, with the project's own packages. */
import { cp, mkdir, symlink } from "node:fs/promises";
import { join } from "node:path";

const project = join(import.meta.dirname, "../..");
const FILES = ["program.mjs", "index.ts", "package.json", "package-lock.json", "tsconfig.json", "Pulumi.yaml"];
const FOLDERS = ["components", "runtime", "ssh", "accounts", "config"];

/** @param to a folder that is not there yet @param also further folders of the project */
export async function copyProgram(to: string, also: readonly string[] = []): Promise<void> {
  await mkdir(to);
  for (const part of [...FILES, ...FOLDERS, ...also])
    await cp(join(project, part), join(to, part), { recursive: true });
  await symlink(join(project, "node_modules"), join(to, "node_modules"));
}
