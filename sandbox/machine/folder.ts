/**
 * Whether a folder can be a sandbox's. A sandbox writes into its folder and stack file, and `--reset` removes both, so a
 * folder or stack file with other contents is refused before anything is changed.
 */
import { readdir, readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, relative } from "node:path";
import { parse } from "yaml";
import type { Instance } from "../instance.ts";

/** The folder of `SANDBOX_DIR` cannot be a sandbox's; the message says why and how to fix it. */
export class FolderRefused extends Error {
  override name = "FolderRefused";
}

/** The remains of a start that was interrupted before the sandbox had an identity. */
const leftOfInterrupted = /^(sandbox\.log|lock\.json.*|identity\.json\.new)$/;

/**
 * Accepts a folder that is a sandbox's, empty, or missing.
 * @throws FolderRefused
 */
export async function requireOwnFolder(instance: Instance): Promise<void> {
  const { folder, project, stack, stackFile } = instance;
  const refuse = (why: string) =>
    new FolderRefused(
      `SANDBOX_DIR is ${folder}: ${why}. Set SANDBOX_DIR to a folder of the sandbox's own, or unset it (.sandbox)`,
    );
  for (const [what, place] of [
    ["this checkout", project],
    ["your home folder", homedir()],
  ] as const) {
    if (holds(folder, place)) throw refuse(`it is or contains ${what}, and --reset would remove it`);
  }
  // The engine's rule for stack names.
  if (!/^[A-Za-z0-9_.-]{1,100}$/.test(stack))
    throw refuse(
      `its last part, "${basename(folder)}", is the stack's name, which takes ASCII letters, digits, "-", "_" and "." only (the folders above it may have any name)`,
    );
  const entries = await readdir(folder).catch((error: NodeJS.ErrnoException): string[] => {
    if (error.code === "ENOENT") return [];
    throw refuse(error.code === "ENOTDIR" ? "it is not a folder" : `it cannot be read (${error.code})`);
  });
  const isOwn = entries.includes("identity.json") || entries.every((name) => leftOfInterrupted.test(name));
  if (!isOwn)
    throw refuse(
      `it holds something else than a sandbox (${entries.slice(0, 3).join(", ")}), and --reset would remove it`,
    );
  if (await isOfAnother(stackFile))
    throw refuse(
      `its stack would be "${stack}", and ${basename(stackFile)} is the config of a stack that is not a sandbox's`,
    );
}

const holds = (outer: string, inner: string): boolean => {
  const path = relative(outer, inner);
  return path === "" || !(path === ".." || path.startsWith("../"));
};

/** @returns whether a stack file was not written by a sandbox: a sandbox's addresses are on loopback */
async function isOfAnother(stackFile: string): Promise<boolean> {
  const text = await readFile(stackFile, "utf8").catch(() => "");
  let config: unknown;
  try {
    config = (parse(text) as { config?: unknown } | null)?.config;
  } catch {
    return true; // not YAML: the sandbox must not remove it
  }
  if (typeof config !== "object" || config === null) return false;
  const { "cloudflare:baseUrl": address } = config as Record<string, unknown>;
  return !(typeof address === "string" && address.startsWith("http://127.0.0.1:"));
}
