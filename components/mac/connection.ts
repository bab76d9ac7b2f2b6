/** How the Mac is reached, for the components and for the provider that runs in a process of its own. */

import { parseLocalEndpoint } from "../../config/ssh-override.ts";
import type { MacTarget } from "../../ssh/session.ts";

/** How the Mac is reached. Signing in is by the SSH agent, or by the key file of SLM_NETWORK_SSH_KEY. */
export interface MacConnection {
  readonly host: string;
  readonly port: number;
  /** An account that may use `sudo -n`; anyone who holds its key is root on that Mac. */
  readonly user: string;
  /** `ssh-ed25519 AAAA…`; without it anyone could pose as the Mac. */
  readonly hostKey: string;
  /** A host in between; the same key signs in there. */
  readonly jump?: Omit<MacConnection, "jump"> | undefined;
}

/** @returns the connection alone, whatever else its source holds; comparable by its JSON text */
export function plainConnection({ host, port, user, hostKey, jump }: MacConnection): MacConnection {
  const one = (of: Omit<MacConnection, "jump">) => ({
    host: of.host,
    port: of.port,
    user: of.user,
    hostKey: of.hostKey.trim().split(/\s+/).slice(0, 2).join(" "),
  });
  return { ...one({ host, port, user, hostKey }), ...(jump && { jump: one(jump) }) };
}

/** @returns whether two connections lead by the same way to a host with the same key */
export const isSameConnection = (one: MacConnection, other: MacConnection): boolean =>
  JSON.stringify(plainConnection(one)) === JSON.stringify(plainConnection(other));

/**
 * @returns where to dial now: from outside the office the local end of `npm run ssh -- --through-tunnel --here`, which the
 *   state does not record
 * @throws Error when SLM_NETWORK_SSH_AT is not an address of this machine
 */
export function dialTarget(connection: MacConnection, environment: NodeJS.ProcessEnv = process.env): MacTarget {
  const at = environment.SLM_NETWORK_SSH_AT;
  const plain = plainConnection(connection);
  if (at === undefined || at === "") return plain;
  return { ...plain, ...parseLocalEndpoint(at), jump: undefined };
}

/** @returns `user@host:port`, for a person */
export const describeConnection = ({ user, host, port, jump }: MacConnection): string =>
  `${user}@${host}${port === 22 ? "" : `:${port}`}${jump ? ` by way of ${jump.host}` : ""}`;
