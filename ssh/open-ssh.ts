/** Arguments for OpenSSH's `ssh`: the stack's pinned host keys, none from the user's known_hosts. */
import { join } from "node:path";
import { type MacTarget, quoteWord } from "./session.ts";

/** HostKeyAlias names: the keys are looked up by them, independent of the address. */
const alias = { mac: "slm-network-mac", jump: "slm-network-jump" };

/** @returns known_hosts (sshd(8)) with the keys of the Mac and the jump host */
export function knownHosts({ hostKey, jump }: MacTarget): string {
  const line = (name: string, key: string) => `${name} ${key.split(/\s+/).slice(0, 2).join(" ")}\n`;
  return line(alias.mac, hostKey) + (jump ? line(alias.jump, jump.hostKey) : "");
}

/** Options that pin a host key, without prompts. */
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

/** How to connect, if not directly with the agent's keys. */
export interface SshTransport {
  /** A private key's file. */
  readonly key?: string | undefined;
  /** Program and arguments whose standard streams connect to the Mac's sshd (ProxyCommand). */
  readonly through?: readonly string[] | undefined;
}

/**
 * @param folder contains `known_hosts`
 * @param command joined and run by the account's shell on the Mac, as `ssh` does
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
  // ssh expands % tokens in it, and an IPv6 zone id contains one.
  const proxy = through ? ["-o", `ProxyCommand=${through.map(quoteWord).join(" ").replaceAll("%", "%%")}`] : [];
  return [...pinnedOptions(folder, alias.mac, way.key), ...proxy, "-p", String(port), `${user}@${host}`, ...command];
}
