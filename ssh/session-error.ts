/** Errors of SSH sessions, each with its fix. */
import { prepareText } from "./prepare.ts";

/** Machine-readable cause. */
export type SessionErrorCode = "unreachable" | "host-key" | "no-key" | "refused" | "sudo" | "timeout" | "broken";

/** What went wrong, as data, for a report in another language than the message's. */
export type SessionProblem =
  | { readonly kind: "unreachable"; readonly at: string; readonly by?: string | undefined; readonly why: string }
  | {
      readonly kind: "host-key";
      readonly at: string;
      readonly expected: string;
      readonly shown: string;
      readonly line: string;
    }
  | { readonly kind: "rsa-host-key"; readonly at: string; readonly line: string; readonly fingerprint: string }
  | { readonly kind: "no-host-key"; readonly at: string }
  | { readonly kind: "no-key"; readonly why: string }
  | { readonly kind: "refused"; readonly at: string; readonly user: string; readonly offered: readonly string[] }
  | { readonly kind: "sudo"; readonly user: string; readonly host: string; readonly said: string }
  | { readonly kind: "forced-command"; readonly user: string; readonly host: string }
  | { readonly kind: "broken"; readonly host: string; readonly why: string }
  | { readonly kind: "timeout"; readonly host: string; readonly command: string; readonly seconds: number };

/** A session that failed or broke; the message is for a person, in English, and contains the fix. */
export class SessionError extends Error {
  override name = "SessionError";
  readonly code: SessionErrorCode;
  /** The message's values; undefined where there is nothing to say but the message. */
  readonly problem: SessionProblem | undefined;
  constructor(code: SessionErrorCode, message: string, options?: ErrorOptions & { readonly problem?: SessionProblem }) {
    super(message, options);
    this.code = code;
    this.problem = options?.problem;
  }
}

/** A host as an error names it. */
export interface HostAddress {
  readonly host: string;
  readonly port: number;
  readonly user: string;
}

const at = ({ host, port }: Pick<HostAddress, "host" | "port">): string => `${host}:${port}`;
function reason(cause: unknown): string {
  const said = cause instanceof Error ? cause.message : String(cause);
  // ssh2's words for a host that takes the connection and stays mute.
  return /timed out while waiting for handshake/i.test(said) ? "no SSH server answered in time" : said;
}

/** The host or its SSH server does not answer. */
export function unreachable(to: Pick<HostAddress, "host" | "port">, cause: unknown, by?: string): SessionError {
  const way = by === undefined ? "" : ` from the jump host ${by}`;
  return new SessionError(
    "unreachable",
    `${at(to)} is not reachable${way} (${reason(cause)}). Is the Mac on, is this machine in its network, and is Remote Login on there (System Settings → General → Sharing)? A Mac that lost power and has FileVault on waits for a password at its screen.`,
    { cause, problem: { kind: "unreachable", at: at(to), by, why: reason(cause) } },
  );
}

/** The host key differs from the config. */
export function hostKeyMismatch(
  to: Pick<HostAddress, "host" | "port">,
  keys: { expected: string; shown: string; line: string },
): SessionError {
  return new SessionError(
    "host-key",
    [
      `${at(to)} presented a host key that differs from the config: it may be another machine, or a man in the middle. Nothing was sent.`,
      `  hostKey of the config: ${keys.expected}`,
      `  shown by the host:     ${keys.shown}`,
      "Check on the Mac itself which key is right: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub",
      `If it is the one shown (the Mac was set up again), set the Mac's hostKey to: ${keys.line}`,
    ].join("\n"),
    { problem: { kind: "host-key", at: at(to), ...keys } },
  );
}

/** The pinned key is RSA, which `pulumi up` cannot check. `line` is the host's key to use instead. */
export function rsaHostKey(
  to: Pick<HostAddress, "host" | "port">,
  shown: { line: string; fingerprint: string },
): SessionError {
  return new SessionError(
    "host-key",
    [
      `hostKey of ${at(to)} is an RSA key, which \`pulumi up\` cannot check: its SSH client supports RSA with SHA-1 only, which sshd refuses.`,
      `Set hostKey to: ${shown.line}`,
      `The host presents this key (${shown.fingerprint}); compare it on the Mac itself: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`,
    ].join("\n"),
    { problem: { kind: "rsa-host-key", at: at(to), ...shown } },
  );
}

/** The host has no key type that can be pinned. */
export function noHostKey(to: Pick<HostAddress, "host" | "port">): SessionError {
  return new SessionError(
    "host-key",
    `${at(to)} has neither an ed25519 nor an ECDSA host key, and RSA cannot be used by \`pulumi up\`. On that host: sudo ssh-keygen -A`,
    { problem: { kind: "no-host-key", at: at(to) } },
  );
}

/** There is no usable key. */
export function noKey(why: string): SessionError {
  return new SessionError(
    "no-key",
    `${why}. Load the key whose public half is on the Mac: \`ssh-add ~/.ssh/id_ed25519\` (\`eval "$(ssh-agent)"\` starts an agent); or name a key, which is then offered alone: SLM_NETWORK_SSH_KEY=<file> or --key <file> (a private key; one with a passphrase, or a .pub, means the agent's copy)`,
    { problem: { kind: "no-key", why } },
  );
}

/** sshd's default: every offered key counts, even one that the server does not know. sshd_config(5) */
export const maxAuthTries = 6;

/** The host key matches, but the server refuses the offered keys. */
export function keyRefused(to: HostAddress, offered: readonly string[]): SessionError {
  const keys = offered.length === 0 ? "" : `\n  keys that were offered: ${offered.join(", ")}`;
  const tooMany =
    offered.length > maxAuthTries
      ? `\nThe agent holds ${offered.length} keys, and sshd gives up after ${maxAuthTries} (MaxAuthTries): name the right one, and it is offered alone: SLM_NETWORK_SSH_KEY=~/.ssh/<key> (or its .pub).`
      : "";
  return new SessionError(
    "refused",
    `${at(to)} refused ${to.user} with ${offered.length === 1 ? "this key" : "any of these keys"}.${keys}${tooMany}\nIs the public half in /Users/${to.user}/.ssh/authorized_keys on the Mac, and may ${to.user} use Remote Login? If the Mac was never prepared:\n\n${prepareText(to.user)}`,
    { problem: { kind: "refused", at: at(to), user: to.user, offered } },
  );
}

/** Signed in, but without passwordless sudo. */
export function sudoRefused(to: HostAddress, said: string): SessionError {
  const first = said.trim().split("\n")[0] ?? "";
  return new SessionError(
    "sudo",
    `${to.user} on ${to.host} may not use \`sudo -n\` (${first || "it said nothing"}): installing needs it. Once, on the Mac:\n\n${prepareText(to.user)}`,
    { problem: { kind: "sudo", user: to.user, host: to.host, said: first } },
  );
}

/** The key can only read the Mac (`--prepare --inspect-key`), but the operation changes it. */
export function forcedCommand(to: HostAddress): SessionError {
  return new SessionError(
    "sudo",
    `the key that signs in as ${to.user} on ${to.host} runs a forced command there (authorized_keys): it can only read the Mac's state. Nothing was changed. Sign in with the deploy key: SLM_NETWORK_SSH_KEY=<file>, or the SSH agent with SLM_NETWORK_SSH_KEY unset`,
    { problem: { kind: "forced-command", user: to.user, host: to.host } },
  );
}
