/** OpenSSH's `ssh` for a person: the same host keys as everywhere, none from the user's own known_hosts. */
import { join } from "node:path";
import { type MacTarget, quote } from "./session.ts";

/** Names under which the keys stand in the file, whatever address a connection goes to. */
const alias = { mac: "slm-network-mac", jump: "slm-network-jump" };

/** @returns text of a known_hosts file (sshd(8)) with the Mac's key and the jump host's */
export function knownHosts({ hostKey, jump }: MacTarget): string {
  const line = (name: string, key: string) => `${name} ${key.split(/\s+/).slice(0, 2).join(" ")}\n`;
  return line(alias.mac, hostKey) + (jump ? line(alias.jump, jump.hostKey) : "");
}

/** Options that pin a key: no other counts, and nobody is asked whether one should be taken. */
function pinnedOptions(folder: string, name: string, key: string | undefined): string[] {
  const options = {
    UserKnownHostsFile: join(folder, "known_hosts"),
    GlobalKnownHostsFile: "/dev/null",
    StrictHostKeyChecking: "yes",
    HostKeyAlias: name,
    CheckHostIP: "no",
    UpdateHostKeys: "no",
    ...(key !== undefined && { IdentitiesOnly: "yes" }),
  };
  const list = Object.entries(options).flatMap(([option, value]) => ["-o", `${option}=${value}`]);
  return [...list, ...(key === undefined ? [] : ["-i", key])];
}

/** How the connection is made, when not straight to the Mac. */
export interface SshTransport {
  /** A private key's file. */
  readonly key?: string | undefined;
  /** Program and arguments whose standard streams lead to the Mac's sshd, in place of a connection. */
  readonly through?: readonly string[] | undefined;
}

/**
 * @param folder where `known_hosts` with the text above lies
 * @param command its words are put together by the account's shell on the Mac, as `ssh` does it
 * @returns arguments for `ssh`
 */
export function sshArguments(
  target: MacTarget,
  folder: string,
  command: readonly string[],
  way: SshTransport = {},
): string[] {
  const { host, port, user, jump } = target;
  const throughJump = jump && [
    "ssh",
    ...pinnedOptions(folder, alias.jump, way.key),
    "-p",
    String(jump.port),
    "-W",
    `${host}:${port}`,
    `${jump.user}@${jump.host}`,
  ];
  const through = way.through ?? throughJump;
  // ssh replaces %-words in it, and an address of IPv6 may have one.
  const proxy = through ? ["-o", `ProxyCommand=${through.map(quote).join(" ").replaceAll("%", "%%")}`] : [];
  return [...pinnedOptions(folder, alias.mac, way.key), ...proxy, "-p", String(port), `${user}@${host}`, ...command];
}
