/** `~/.ssh/authorized_keys` of the Mac's accounts: the subset of sshd(8) that restricts keys. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import ssh2 from "ssh2";

/** An authorized key and its restrictions. */
export interface AuthorizedKey {
  /** SSH wire form. */
  key: Buffer;
  /** `command="…"`: runs instead of the client's command. */
  forced?: string;
}

/** Options before a key: words and `name="value"`, where `\"` is a quotation mark. */
const options = /^((?:[a-z-]+(?:="(?:[^"\\]|\\.)*")?)(?:,[a-z-]+(?:="(?:[^"\\]|\\.)*")?)*)\s+(?=(?:ssh|ecdsa|sk)-)/;

/** @returns the keys in a file's text; other lines are skipped, as sshd does */
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

/** The keys of one account; empty without a file. */
export function authorizedKeys(root: string, user: string): AuthorizedKey[] {
  try {
    return parseAuthorizedKeys(readFileSync(join(root, "Users", user, ".ssh/authorized_keys"), "utf8"));
  } catch {
    return [];
  }
}
