/** The account the daemons run as: hidden, without shell, home or password. */

import { run, waitUntil } from "./commands.ts";
import { serviceUser } from "./layout.ts";

/** dscl's exit code for eDSRecordNotFound (-14136 & 0xff). */
const notFound = 56;

const exists = async (record: string): Promise<boolean> =>
  (await run("dscl", [".", "-read", record, "RecordName"], [notFound])).exitCode === 0;

/**
 * @param listing output of `dscl . -list /Users UniqueID`: one name and number per line
 * @returns the highest unused id from 300 to 499; macOS shows accounts from 501 on as people
 * @throws Error when all are taken
 */
export function freeId(...listings: string[]): number {
  const taken = new Set(
    listings.flatMap((text) => text.split("\n").map((line) => Number(line.trim().split(/\s+/).at(-1)))),
  );
  for (let id = 499; id >= 300; id--) if (!taken.has(id)) return id;
  throw new Error("no id is free for the account _slmnetwork (300 to 499 are all in use on this Mac)");
}

const [user, group] = [`/Users/${serviceUser}`, `/Groups/${serviceUser}`] as const;

/** @returns whether the daemons' user and group both exist */
export const accountExists = async (): Promise<boolean> => (await exists(user)) && (await exists(group));

/**
 * Creates the group and user that do not exist; existing ones are not changed.
 * @returns whether one of them was created: its id may differ from the former one
 */
export async function ensureAccount(): Promise<boolean> {
  const [hasUser, hasGroup] = [await exists(user), await exists(group)];
  if (hasUser && hasGroup) return false;
  const users = (await run("dscl", [".", "-list", "/Users", "UniqueID"])).stdout;
  const groups = (await run("dscl", [".", "-list", "/Groups", "PrimaryGroupID"])).stdout;
  const id = String(freeId(users, groups));
  const set = (record: string, key: string, value: string) => run("dscl", [".", "-create", record, key, value]);
  if (!hasGroup) {
    await run("dscl", [".", "-create", group]);
    await set(group, "PrimaryGroupID", id);
    await set(group, "RealName", "slm-network");
  }
  if (!hasUser) {
    const read = (await run("dscl", [".", "-read", group, "PrimaryGroupID"])).stdout;
    await run("dscl", [".", "-create", user]);
    await set(user, "UniqueID", id);
    await set(user, "PrimaryGroupID", read.trim().split(/\s+/).at(-1) ?? id);
    await set(user, "UserShell", "/usr/bin/false");
    await set(user, "NFSHomeDirectory", "/var/empty");
    await set(user, "RealName", "slm-network");
    await set(user, "Password", "*");
    await set(user, "IsHidden", "1");
  }
  // chown asks a directory cache that may be updated a moment later.
  const known = await waitUntil(async () => (await run("id", ["-gn", serviceUser], [1])).exitCode === 0, 10_000, 200);
  if (!known)
    throw new Error(`macOS does not list the account ${serviceUser}, which was just created; run pulumi up again`);
  return true;
}

/** Removes user and group; a missing one is not an error. */
export async function removeAccount(): Promise<void> {
  for (const record of [user, group]) {
    if (await exists(record)) await run("dscl", [".", "-delete", record]);
  }
}
