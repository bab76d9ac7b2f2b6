/** `~/.ssh/authorized_keys` of the Mac's accounts, the part of sshd(8) that limits what a key may do. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import ssh2 from "ssh2";

/** What a key is let in for. */
export interface AuthorizedKey {
  /** SSH wire form. */
  key: Buffer;
  /** `command="…"`: runs in place of whatever the client asks for. */
  forced?: string;
}

/** Options before a key: words and `name="value"`, where `\"` is a quotation mark. */
const options = /^((?:[a-z-]+(?:="(?:[^"\\]|\\.)*")?)(?:,[a-z-]+(?:="(?:[^"\\]|\\.)*")?)*)\s+(?=(?:ssh|ecdsa|sk)-)/;

/** @returns the keys of a file's text; lines that are no key are passed over, as sshd does */
export function parseAuthorizedKeys(text: string): AuthorizedKey[] {
  return text.split("\n").flatMap((raw) => {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) return [];
    const before = options.exec(line)?.[1] ?? "";
    const parsed = ssh2.utils.parseKey(line.slice(before.length).trim());
    if (parsed instanceof Error) return [];
    const forced = /(?:^|,)command="((?:[^"\\]|\\.)*)"/.exec(before)?.[1]?.replaceAll('\\"', '"');
    return [{ key: parsed.getPublicSSH(), ...(forced !== undefined && { forced }) }];
  });
}

/** Keys of one account; none when it has no file. */
export function authorizedKeys(root: string, user: string): AuthorizedKey[] {
  try {
    return parseAuthorizedKeys(readFileSync(join(root, "Users", user, ".ssh/authorized_keys"), "utf8"));
  } catch {
    return [];
  }
}
