/** Whose installation this is, and on which machine: told apart by an id and the hardware UUID. */
import { randomBytes } from "node:crypto";
import { z } from "zod";
import { run } from "./commands.ts";
import { publicFile, readIfExists, writeFileAtomic } from "./files.ts";
import type { Layout } from "./layout.ts";

const installationSchema = z.object({
  /** Made by the Pulumi resource that installed it. */
  installation: z.string().min(1),
  hardwareUuid: z.string(),
  /** RFC 3339, when this id was first written. */
  at: z.string(),
});

/** `installation.json` */
export type InstallationRecord = z.infer<typeof installationSchema>;

/** @returns undefined when there is none, or none that can be read */
export async function readInstallation(paths: Layout): Promise<InstallationRecord | undefined> {
  try {
    return installationSchema.parse(JSON.parse((await readIfExists(paths.installation)) ?? ""));
  } catch {
    return undefined;
  }
}

/**
 * Writes the id, unless it is there already. An id of another installation is replaced: the last `pulumi up` counts, and a
 * removal by the former one is disarmed.
 * @returns a sentence when it replaced another id
 */
export async function claim(paths: Layout, installation: string, uuid: string): Promise<string | undefined> {
  const before = await readInstallation(paths);
  const isSame = before?.installation === installation && before.hardwareUuid === uuid;
  const record: InstallationRecord = isSame
    ? before
    : { installation, hardwareUuid: uuid, at: new Date().toISOString() };
  // Also when it is the same: owner and mode may have been changed.
  await writeFileAtomic(paths.installation, `${JSON.stringify(record)}\n`, publicFile);
  if (before === undefined || before.installation === installation) return undefined;
  return `the Mac belonged to installation ${before.installation} (of ${before.at}) and was taken over by ${installation}: a removal by the former one does nothing from now on`;
}

/** @returns a sentence saying why a removal with this id must not be done; undefined when it may */
export async function refusesRemoval(paths: Layout, installation: string | undefined): Promise<string | undefined> {
  if (!installation) {
    return "nothing was removed: the removal names no installation (--installation ID), as one of an earlier version does";
  }
  const there = (await readInstallation(paths))?.installation;
  if (there === installation) return undefined;
  const has = there === undefined ? "has no installation id" : `belongs to installation ${there}`;
  return `nothing was removed: this Mac ${has}, and the removal is for ${installation}`;
}

/** IOPlatformUUID: the same for the life of a Mac's main board, whatever is installed. @throws Error when macOS does not print one */
export async function hardwareUuid(): Promise<string> {
  const { stdout } = await run("ioreg", ["-rd1", "-c", "IOPlatformExpertDevice"]);
  const uuid = /"IOPlatformUUID" = "([^"]+)"/.exec(stdout)?.[1];
  if (uuid === undefined) throw new Error("macOS printed no IOPlatformUUID (ioreg -rd1 -c IOPlatformExpertDevice)");
  return uuid;
}

/** @returns the key for hashes of secrets; undefined when there is none yet */
export async function readStateKey(paths: Layout): Promise<string | undefined> {
  const key = (await readIfExists(paths.stateKey))?.trim();
  return key !== undefined && /^[0-9a-f]{64}$/.test(key) ? key : undefined;
}

/** Makes the key for hashes of secrets when there is none. @returns it */
export async function ensureStateKey(paths: Layout): Promise<string> {
  const key = (await readStateKey(paths)) ?? randomBytes(32).toString("hex");
  await writeFileAtomic(paths.stateKey, `${key}\n`, { owner: "root:wheel", mode: 0o600 });
  return key;
}
