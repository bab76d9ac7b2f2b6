/** Credentials of direct lines while a service token is rotated: Cloudflare shows the newest secret only, so the state keeps the former one's hash. */
import { z } from "zod";
import type { DirectCredential } from "../../runtime/direct-config.ts";
import type { InstallInput } from "../../runtime/install-input-schema.ts";

/** `previousSecretExpiresAt` by server (RFC 3339). */
export type Overlaps = Readonly<Record<string, string>>;

/** What the state keeps of a server's credentials; hashes only. */
export const storedCredentialsSchema = z.record(
  z.string(),
  z.object({ clientId: z.string(), sha256: z.string(), previous: z.string().optional() }),
);
export type StoredCredentials = z.infer<typeof storedCredentialsSchema>;

/**
 * Adds the former secrets that are still valid.
 * @param input of the program: the newest credential of each server
 * @param before of the last installation; empty for a first one
 * @param now milliseconds since 1970
 * @returns the input for the installer, and what the state keeps for the next rotation
 */
export function withOverlaps(
  input: InstallInput,
  overlaps: Overlaps,
  before: StoredCredentials,
  now: number,
): { input: InstallInput; stored: StoredCredentials } {
  const { directCredentials } = input.relay;
  if (directCredentials === undefined) return { input, stored: {} };
  const stored: StoredCredentials = {};
  const all: Record<string, DirectCredential[]> = {};
  for (const [server, [newest]] of Object.entries(directCredentials)) {
    if (newest === undefined) continue;
    const clientId = clientIdOf(input, server);
    const previous = previousOf(before[server], clientId, newest.sha256);
    const until = overlaps[server];
    const counts = previous !== undefined && until !== undefined && Date.parse(until) > now;
    stored[server] = { clientId, sha256: newest.sha256, ...(counts && { previous }) };
    all[server] = counts ? [newest, { sha256: previous, expiresAt: earlier(until, newest.expiresAt) }] : [newest];
  }
  return { input: { ...input, relay: { ...input.relay, directCredentials: all } }, stored };
}

const clientIdOf = ({ relay }: InstallInput, server: string): string =>
  relay.callers.find(({ name }) => name === server)?.clientId ?? "";

/** A token that was replaced has another id, and takes its secrets with it. */
function previousOf(
  before: StoredCredentials[string] | undefined,
  clientId: string,
  newest: string,
): string | undefined {
  if (before === undefined || before.clientId !== clientId) return undefined;
  return before.sha256 === newest ? before.previous : before.sha256;
}

const earlier = (one: string, other: string | undefined): string =>
  other !== undefined && Date.parse(other) < Date.parse(one) ? other : one;

/**
 * @returns a sentence for each line that is added while its token is being rotated: it cannot know the former secret
 */
export function addedWithinOverlap(
  input: InstallInput,
  overlaps: Overlaps,
  before: StoredCredentials,
  now: number,
): string[] {
  return Object.keys(input.relay.directCredentials ?? {}).flatMap((server) => {
    const until = overlaps[server];
    if (before[server] !== undefined || until === undefined || Date.parse(until) <= now) return [];
    return [
      `add the direct line of ${server}, which accepts the newest secret only: the former one, valid on the public hostname until ${until}, is not known here`,
    ];
  });
}
