/** The files of direct lines: key, pinned host key and `ssh` configuration of each, in a folder that only root writes. */
import { readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { DirectLine } from "../direct-config.ts";
import { run } from "./commands.ts";
import { ensureFolder, pathExists, readIfExists, secretFile, setOwner, writeFileAtomic } from "./files.ts";
import { type Layout, serviceUser } from "./layout.ts";

/** Paths of one line's files. */
export const lineFiles = (paths: Layout, server: string) => ({
  key: join(paths.direct, `${server}.key`),
  publicKey: join(paths.direct, `${server}.key.pub`),
  knownHosts: join(paths.direct, `${server}.known_hosts`),
  config: join(paths.direct, `${server}.conf`),
});

/** Name under which the host key is looked up, independent of the address. */
const hostKeyAlias = (server: string): string => `slm-direct-${server}`;
/** Host in the configuration, as `ssh` gets it on its command line. */
export const lineHost = "direct";

/** @returns text of the known_hosts file (sshd(8)) */
export const knownHostsText = ({ server, hostKey }: DirectLine): string =>
  `${hostKeyAlias(server)} ${hostKey.trim().split(/\s+/).slice(0, 2).join(" ")}\n`;

/**
 * `ssh`'s configuration (ssh_config(5)), complete: with `-F` it reads no other. The forwarding is on the command line, so
 * that a check can connect without it.
 */
export function sshConfigText(paths: Layout, line: DirectLine): string {
  const { key, knownHosts } = lineFiles(paths, line.server);
  const quoted = (path: string) => `"${path.replaceAll("%", "%%")}"`;
  const options: [string, string][] = [
    ["HostName", line.host.replaceAll("%", "%%")],
    ["Port", String(line.port)],
    ["User", line.user],
    ["HostKeyAlias", hostKeyAlias(line.server)],
    ["HostKeyAlgorithms", line.hostKey.trim().split(/\s+/)[0] ?? ""],
    ["UserKnownHostsFile", quoted(knownHosts)],
    ["GlobalKnownHostsFile", "/dev/null"],
    ["StrictHostKeyChecking", "yes"],
    ["UpdateHostKeys", "no"],
    ["IdentityFile", quoted(key)],
    ["IdentitiesOnly", "yes"],
    ["IdentityAgent", "none"],
    ["PreferredAuthentications", "publickey"],
    ["BatchMode", "yes"],
    ["ConnectTimeout", "10"],
    // A dead connection ends after 30 s: two unanswered messages and the wait for a third.
    ["ServerAliveInterval", "10"],
    ["ServerAliveCountMax", "2"],
    ["ExitOnForwardFailure", "yes"],
    ["ForwardAgent", "no"],
    ["ForwardX11", "no"],
    ["PermitLocalCommand", "no"],
    ["ControlMaster", "no"],
    ["ControlPath", "none"],
    ["RequestTTY", "no"],
    ["Compression", "no"],
    // Reports the beginning and the end of a connection; the relay reads its state from them.
    ["LogLevel", "VERBOSE"],
  ];
  return `# Written by slm-network.\nHost ${lineHost}\n${options.map(([name, value]) => `  ${name} ${value}\n`).join("")}`;
}

/**
 * Writes the files of a line. Its key is generated here and never leaves the Mac.
 * @returns the public key, and whether a file that `ssh` reads has changed
 */
export async function ensureLineFiles(
  paths: Layout,
  line: DirectLine,
): Promise<{ publicKey: string; hasChanged: boolean }> {
  const files = lineFiles(paths, line.server);
  const hadKey = await pathExists(files.key);
  if (!hadKey || !(await pathExists(files.publicKey))) await generateKey(paths, files.key, line.server);
  // Owned by the account: ssh refuses a key of its own user that others can read, and reads no other user's.
  const owner = `${serviceUser}:${serviceUser}`;
  await setOwner(files.key, owner);
  await run("chmod", ["600", files.key]);
  const wanted = new Map([
    [files.knownHosts, knownHostsText(line)],
    [files.config, sshConfigText(paths, line)],
  ]);
  let hasChanged = !hadKey;
  for (const [path, text] of wanted) {
    if ((await readIfExists(path)) !== text) hasChanged = true;
    await writeFileAtomic(path, text, secretFile);
  }
  const publicKey = ((await readIfExists(files.publicKey)) ?? "").trim();
  return { publicKey, hasChanged };
}

async function generateKey(paths: Layout, path: string, server: string): Promise<void> {
  const temporary = join(paths.direct, `.${server}.incoming`);
  for (const file of [temporary, `${temporary}.pub`]) await rm(file, { force: true });
  await run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", `slm-network-direct-${server}`, "-f", temporary]);
  // The public half first: a key without it is generated again.
  await rename(`${temporary}.pub`, `${path}.pub`);
  await rename(temporary, path);
}

/** Removes the files of lines that are not in the config. */
export async function pruneLineFiles(paths: Layout, servers: ReadonlySet<string>): Promise<void> {
  for (const name of await readdir(paths.direct).catch(() => [])) {
    const server = /^(.+?)\.(key|key\.pub|known_hosts|conf)$/.exec(name)?.[1];
    if (server !== undefined && !servers.has(server)) await rm(join(paths.direct, name), { force: true });
  }
}

/** Creates the folder, and the list that `installer.mjs direct` reads. */
export async function writeLines(paths: Layout, lines: readonly DirectLine[]): Promise<void> {
  await ensureFolder(paths.direct, { owner: `root:${serviceUser}`, mode: 0o750 });
  await writeFileAtomic(paths.directLines, `${JSON.stringify(lines)}\n`, secretFile);
}
