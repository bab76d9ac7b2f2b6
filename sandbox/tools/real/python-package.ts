/** A pinned file of a Python package, by pip: from the index that this machine's pip is set up for. */
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { PythonPackage } from "./recipes.ts";
import { run } from "./run.ts";

/**
 * Saves the file into `folder`.
 * @returns its path
 * @throws Error when pip is missing, the package is not available, or its hash is another one
 */
export async function fetchPackage(wanted: PythonPackage, folder: string): Promise<string> {
  const list = join(folder, `${wanted.name}.requirements.txt`);
  await writeFile(list, `${wanted.name}==${wanted.version} --hash=sha256:${wanted.sha256}\n`);
  try {
    // The hash is pip's to check. Only this package as source: its build tools come as wheels.
    const form = wanted.kind === "source" ? ["--no-binary", wanted.name] : ["--only-binary", wanted.name];
    const fixed = ["--disable-pip-version-check", "--no-input", "--no-deps", "--require-hashes"];
    await run("python3", ["-m", "pip", "download", ...fixed, ...form, "--dest", folder, "--requirement", list]);
  } finally {
    await rm(list, { force: true });
  }
  return join(folder, wanted.file);
}
