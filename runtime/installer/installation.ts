/** Which stack owns the installation (its id), and on which machine (its hardware UUID). */
import { randomBytes } from "node:crypto";
import { z } from "zod";
import { run } from "./commands.ts";
import { publicFile, readIfExists, writeFileAtomic } from "./files.ts";
import type { Layout } from "./layout.ts";

const installationSchema = z.object({
  /** Created by the Pulumi resource that installed it. */
  installation: z.string().min(1),
  hardwareUuid: z.string(),
  /** RFC 3339, when this id was first written. */
  at: z.string(),
});

/** `installation.json` */
export type InstallationRecord = z.infer<typeof installationSchema>;

/** @returns undefined if it is missing or unreadable */
export async function readInstallation(paths: Layout): Promise<InstallationRecord | undefined> {
  try {
    return installationSchema.parse(JSON.parse((await readIfExists(paths.installation)) ?? ""));
  } catch {
    return undefined;
  }
}

/**
 * Writes the id. The id of another installation is replaced: the last `pulumi up` wins, and a removal by the former owner
 * has no effect.
 * @returns a sentence if it replaced another id
 */
export async function claim(paths: Layout, installation: string, uuid: string): Promise<string | undefined> {
  const before = await readInstallation(paths);
  const isSame = before?.installation === installation && before.hardwareUuid === uuid;
  const record: InstallationRecord = isSame
    ? before
    : { installation, hardwareUuid: uuid, at: new Date().toISOString() };
  // Even if unchanged: owner and mode may have been changed.
  await writeFileAtomic(paths.installation, `${JSON.stringify(record)}\n`, publicFile);
  if (before === undefined || before.installation === installation) return undefined;
  return `the Mac belonged to installation ${before.installation} (of ${before.at}) and was taken over by ${installation}: a removal by the former one does nothing from now on`;
}

/** @returns why a removal with this id is refused; undefined if it is allowed */
export async function refusesRemoval(paths: Layout, installation: string | undefined): Promise<string | undefined> {
  if (!installation) {
    return "nothing was removed: the removal names no installation (--installation ID), as one of an earlier version does";
  }
  const there = (await readInstallation(paths))?.installation;
  if (there === installation) return undefined;
  const has = there === undefined ? "has no installation id" : `belongs to installation ${there}`;
  return `nothing was removed: this Mac ${has}, and the removal is for ${installation}`;
}

/** IOPlatformUUID: constant for the life of the main board. @throws Error when macOS does not print one */
export async function hardwareUuid(): Promise<string> {
  const { stdout } = await run("ioreg", ["-rd1", "-c", "IOPlatformExpertDevice"]);
  const uuid = /"IOPlatformUUID" = "([^"]+)"/.exec(stdout)?.[1];
  if (uuid === undefined) throw new Error("macOS printed no IOPlatformUUID (ioreg -rd1 -c IOPlatformExpertDevice)");
  return uuid;
}

/** @returns the key for hashes of secrets; undefined if there is none yet */
export async function readStateKey(paths: Layout): Promise<string | undefined> {
  const key = (await readIfExists(paths.stateKey))?.trim();
  return key !== undefined && /^[0-9a-f]{64}$/.test(key) ? key : undefined;
}

/** @returns the key for hashes of secrets, created if there is none */
export async function ensureStateKey(paths: Layout): Promise<string> {
  const key = (await readStateKey(paths)) ?? randomBytes(32).toString("hex");
  await writeFileAtomic(paths.stateKey, `${key}\n`, { owner: "root:wheel", mode: 0o600 });
  return key;
}
