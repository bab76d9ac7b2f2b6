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

/** What a complete record has besides its name. */
const attributes = {
  [group]: ["PrimaryGroupID", "RealName"],
  [user]: ["UniqueID", "PrimaryGroupID", "UserShell", "NFSHomeDirectory", "RealName", "Password", "IsHidden"],
} as const;

/** Values that are the same on every Mac. */
const fixed: Readonly<Record<string, string>> = {
  RealName: "slm-network",
  UserShell: "/usr/bin/false",
  NFSHomeDirectory: "/var/empty",
  Password: "*",
  IsHidden: "1",
};

/** @returns the attributes that a record lacks; "record" if there is none */
async function missingOf(record: typeof user | typeof group): Promise<string[]> {
  const wanted = attributes[record];
  const { exitCode, stdout } = await run("dscl", [".", "-read", record, ...wanted], [notFound]);
  if (exitCode === notFound) return ["record", ...wanted];
  // Attributes that Open Directory does not know are printed with a prefix.
  return wanted.filter((name) => !new RegExp(`^(?:dsAttrType\\w+:)?${name}:`, "m").test(stdout));
}

/** @returns whether the daemons' user and group both exist, complete */
export const accountExists = async (): Promise<boolean> =>
  (await missingOf(user)).length === 0 && (await missingOf(group)).length === 0;

/**
 * Creates the group and user, or what an installer that was killed in between left out; existing attributes are not changed.
 * @returns whether the user or the group got a number: it may differ from the former one
 */
export async function ensureAccount(): Promise<boolean> {
  const missing = { [group]: await missingOf(group), [user]: await missingOf(user) };
  if (missing[group].length + missing[user].length === 0) return false;
  // A group with another number than before: the user must be in it.
  if (missing[group].includes("PrimaryGroupID")) missing[user] = [...new Set([...missing[user], "PrimaryGroupID"])];
  const users = (await run("dscl", [".", "-list", "/Users", "UniqueID"])).stdout;
  const groups = (await run("dscl", [".", "-list", "/Groups", "PrimaryGroupID"])).stdout;
  const id = String(freeId(users, groups));
  // The group first: the user has its number.
  for (const record of [group, user] as const) {
    for (const name of missing[record]) {
      if (name === "record") await run("dscl", [".", "-create", record]);
      else await run("dscl", [".", "-create", record, name, fixed[name] ?? (await numberFor(record, name, id))]);
    }
  }
  // chown asks a directory cache that may be updated a moment later.
  const known = await waitUntil(async () => (await run("id", ["-gn", serviceUser], [1])).exitCode === 0, 10_000, 200);
  if (!known)
    throw new Error(`macOS does not list the account ${serviceUser}, which was just created; run pulumi up again`);
  return [...missing[group], ...missing[user]].some((name) => fixed[name] === undefined);
}

/** @returns the value of UniqueID or PrimaryGroupID: the user's group is the one in Open Directory */
async function numberFor(record: typeof user | typeof group, name: string, id: string): Promise<string> {
  if (record === group || name === "UniqueID") return id;
  const { stdout } = await run("dscl", [".", "-read", group, "PrimaryGroupID"]);
  const number = stdout.trim().split(/\s+/).at(-1);
  if (number === undefined || !/^\d+$/.test(number))
    throw new Error(`the group ${serviceUser} has no number: ${stdout}`);
  return number;
}

/** Removes user and group; a missing one is not an error. */
export async function removeAccount(): Promise<void> {
  for (const record of [user, group]) {
    if (await exists(record)) await run("dscl", [".", "-delete", record]);
  }
}
