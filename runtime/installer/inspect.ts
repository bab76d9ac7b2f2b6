/** Reads what is installed, for drift detection. Read-only, without a lock; only hashes leave the Mac, never contents. */
import { createHash, createHmac } from "node:crypto";
import { createReadStream } from "node:fs";
import { lstat, readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { directLabel } from "../direct-config.ts";
import { accountExists } from "./account.ts";
import { run } from "./commands.ts";
import { installedLines } from "./direct.ts";
import { pathExists } from "./files.ts";
import { hardwareUuid, readInstallation, readStateKey } from "./installation.ts";
import type { Layout } from "./layout.ts";
import type { MacExpected, MacState } from "./mac-state.ts";
import { readFileVault, readPowerSettings } from "./power.ts";

/** Labels of the daemons that belong to an installation. */
const daemonLabels = ["relay", "connector", "model"].map((name) => `local.slm-network.${name}`);
const standInLabels = ["relay-stand-in", "connector-stand-in"].map((name) => `local.slm-network.${name}`);

type FileState = NonNullable<MacState["files"][string]>;
/** How a path is hashed: by content, by content with the Mac's key, or not at all (folders, growing files). */
type Hashing = "plain" | "keyed" | "none";

/** @returns the Mac's state. @throws CommandError when macOS' own commands fail */
export async function inspect(paths: Layout): Promise<MacState> {
  const findings: string[] = [];
  const releaseLink = await readlink(paths.current).catch(() => undefined);
  const release = shaIn(releaseLink, /^releases\/([0-9a-f]{64})$/);
  if (releaseLink !== undefined && release === null) findings.push(`${paths.current} points to ${releaseLink}`);
  const linkOf = (name: string) => readlink(join(paths.current, "bin", name)).catch(() => undefined);
  const node = shaIn(await linkOf("node"), /(?:^|\/)node\/([0-9a-f]{64})\/bin\/node$/);
  const cloudflared = shaIn(await linkOf("cloudflared"), /(?:^|\/)cloudflared\/([0-9a-f]{64})\/cloudflared$/);
  const watched = await watchedFiles(paths, { release, node, cloudflared });
  const [uuid, installation, files, daemons, account, settings, fileVault] = await Promise.all([
    hardwareUuid(),
    readInstallation(paths),
    readFiles(paths, watched),
    readDaemons(paths, findings),
    accountExists(),
    readPowerSettings(),
    readFileVault(),
  ]);
  if (release !== null && !(await pathExists(paths.record))) {
    findings.push("the last installation did not finish, or its record was removed: run pulumi up");
  }
  return {
    schema: 1,
    hardwareUuid: uuid,
    installation: installation?.installation ?? null,
    release,
    node,
    cloudflared,
    files,
    daemons,
    account,
    power: { settings, fileVault },
    findings,
  };
}

const shaIn = (link: string | undefined, pattern: RegExp): string | null => pattern.exec(link ?? "")?.[1] ?? null;

/** The files of an installation, by path. */
async function watchedFiles(
  paths: Layout,
  used: Pick<MacState, "release" | "node" | "cloudflared">,
): Promise<Map<string, Hashing>> {
  const watched = new Map<string, Hashing>([
    [paths.base, "none"],
    [paths.releases, "none"],
    [paths.record, "plain"],
    [paths.installation, "none"], // its id is compared, and the time in it is not
    [paths.inspectCommand, "plain"],
    [paths.config, "none"],
    [paths.relayConfig, "plain"],
    [paths.relaySecrets, "keyed"],
    [paths.connectorToken, "keyed"],
    [paths.data, "none"],
    [paths.logs, "none"],
    [paths.rotatedLogs, "none"],
    [join(paths.logs, "relay.log"), "none"],
    [join(paths.logs, "connector.log"), "none"],
  ]);
  if (used.release !== null) {
    const folder = join(paths.releases, used.release);
    watched.set(folder, "none");
    for (const name of await readdir(folder).catch(() => []))
      if (name !== "bin") watched.set(join(folder, name), "plain");
    watched.set(join(paths.archives, `${used.release}.tar`), "plain");
  }
  if (used.node !== null) watched.set(join(paths.node, used.node, "bin/node"), "plain");
  if (used.cloudflared !== null) watched.set(join(paths.cloudflared, used.cloudflared, "cloudflared"), "plain");
  const lines = (await installedLines(paths)).map(directLabel);
  for (const label of [...daemonLabels, ...lines]) watched.set(plistOf(paths, label), "plain");
  for (const name of await readdir(paths.direct).catch(() => [])) {
    watched.set(join(paths.direct, name), name.endsWith(".key") ? "keyed" : "plain");
  }
  for (const name of await readdir(paths.sudoers).catch(() => [])) {
    if (name.startsWith("slm-network")) watched.set(join(paths.sudoers, name), "plain");
  }
  return watched;
}

const plistOf = (paths: Layout, label: string): string => join(paths.launchDaemons, `${label}.plist`);

async function readFiles(paths: Layout, watched: ReadonlyMap<string, Hashing>): Promise<MacState["files"]> {
  const owners = await readOwners([...watched.keys()]);
  const key = await readStateKey(paths);
  const files: MacState["files"] = {};
  await Promise.all(
    [...watched].map(async ([path, hashing]) => {
      const owner = owners.get(path);
      files[paths.onMac(path)] = owner ? { sha256: await hashOf(path, hashing, key), ...owner } : null;
    }),
  );
  return Object.fromEntries(Object.entries(files).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** @returns owner and mode of each path that exists; links are not followed */
export async function readOwners(paths: readonly string[]): Promise<Map<string, Pick<FileState, "owner" | "mode">>> {
  const there: string[] = [];
  for (const path of paths) if (await pathExists(path)) there.push(path);
  if (there.length === 0) return new Map();
  const rows = (await run("stat", ["-f", "%Su:%Sg %Mp%Lp %N", ...there])).stdout.matchAll(/^(\S+) 0*(\d+) (.+)$/gm);
  return new Map([...rows].map(([, owner, mode, path]) => [path!, { owner: owner!, mode: mode! }]));
}

/** @returns null if the path is not hashed: a folder, a link, a secret without the Mac's key */
async function hashOf(path: string, hashing: Hashing, key: string | undefined): Promise<string | null> {
  if (hashing === "none" || !(await lstat(path)).isFile()) return null;
  if (hashing === "keyed") return key === undefined ? null : secretHash(key, await readFile(path));
  return fileHash(path);
}

/** @returns the file's sha256; streamed, since Node's binary has 100 MB */
export async function fileHash(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash);
  return hash.digest("hex");
}

/**
 * Hash of a file with secrets. Keyed with a random key that never leaves the Mac: a plain hash in a Pulumi state or a CI
 * log could be used to test guesses of a database password.
 */
export const secretHash = (key: string, content: Buffer): string =>
  createHmac("sha256", key).update(content).digest("hex");

async function readDaemons(paths: Layout, findings: string[]): Promise<MacState["daemons"]> {
  const rows = (await run("launchctl", ["list"])).stdout.matchAll(/^(\d+|-)\t\S+\t(.+)$/gm);
  const loaded = new Map([...rows].map(([, pid, label]) => [label!, pid !== "-"]));
  const left = standInLabels.filter((label) => loaded.has(label));
  if (left.length > 0) findings.push(`${left.join(", ")}: an installation is running, or was killed`);
  const disabled = (await run("launchctl", ["print-disabled", "system"])).stdout;
  const daemons: MacState["daemons"] = {};
  const lines = (await installedLines(paths)).map(directLabel);
  for (const label of [...daemonLabels, ...lines]) {
    const plist = plistOf(paths, label);
    const plistSha256 = (await pathExists(plist)) ? await fileHash(plist) : null;
    daemons[label] = { loaded: loaded.has(label), running: loaded.get(label) === true, plistSha256 };
    // `=> disabled` since macOS 10.10, `=> true` before.
    if (new RegExp(`"${label}" => (disabled|true)\\b`).test(disabled) && plistSha256 !== null) {
      findings.push(`${label} is disabled: it would not start with the Mac`);
    }
  }
  return daemons;
}

/**
 * The part of a state that an installation is responsible for: without FileVault, unmanaged power settings, and whether
 * the model server is running, since it may exit and be restarted by itself.
 * @param settings power settings the installation set or found right
 */
export function expectedOf(state: MacState, settings: Readonly<Record<string, number>>): MacExpected {
  const { installation, release, node, cloudflared, files, account } = state;
  const daemons: MacExpected["daemons"] = {};
  for (const [label, { loaded, running, plistSha256 }] of Object.entries(state.daemons)) {
    // A model server may be restarting, and a line's server be unreachable.
    const mayBeDown = label.endsWith(".model") || label.startsWith(directLabel(""));
    daemons[label] = mayBeDown ? { loaded, plistSha256 } : { loaded, running, plistSha256 };
  }
  return { installation, release, node, cloudflared, files, daemons, account, power: { settings: { ...settings } } };
}
