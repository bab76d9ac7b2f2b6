/**
 * Direct lines: what the relay and the installer are given of `route.direct`, as zod schemas. A line is an SSH connection
 * from the Mac to a caller's server, which forwards a port there to a port of the relay.
 */
import { createHash } from "node:crypto";
import { z } from "zod";

const port = z.int().min(1).max(65535);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
/** Also a file name and part of a launchd label. */
const serverName = z.string().regex(/^[a-z][a-z0-9-]{0,40}$/);

/** A service token that signs its server in on a line. */
export const directCredentialSchema = z.strictObject({
  /** Of `<client id>:<client secret>`; see `credentialHash`. */
  sha256,
  /** RFC 3339; absent: until it is replaced. */
  expiresAt: z.iso.datetime({ offset: true }).optional(),
});

/** The relay's listeners for lines. A change needs a restart of the relay. */
export const directListenersSchema = z.strictObject({
  lines: z.array(z.strictObject({ server: serverName, port })).max(32),
  /** Header that carries id and secret as JSON, as Access' own setting of that name does; absent: the two headers only. */
  singleHeader: z.string().min(1).optional(),
});

/** Credentials by server; the relay reloads them without a restart. */
export const directCredentialsSchema = z.record(serverName, z.array(directCredentialSchema));

/** A line as the installer gets it: the SSH connection. */
export const directLineSchema = z.strictObject({
  server: serverName,
  host: z.string().min(1),
  port,
  user: z.string().min(1),
  /** `ssh-ed25519 AAAA…` */
  hostKey: z.string().min(1),
  /** Address and port on the server, e.g. `127.0.0.1:18400`. */
  listen: z.string().min(1),
  /** The relay's listener for it, on the Mac's 127.0.0.1. */
  relayPort: port,
});

export type DirectCredential = z.infer<typeof directCredentialSchema>;
export type DirectCredentials = z.infer<typeof directCredentialsSchema>;
export type DirectListeners = z.infer<typeof directListenersSchema>;
export type DirectLine = z.infer<typeof directLineSchema>;

/**
 * @returns sha256 of id and secret, hex. Cloudflare makes secrets of 256 bits, so the hash cannot be reversed by guessing.
 */
export const credentialHash = (clientId: string, clientSecret: string): string =>
  createHash("sha256").update(`${clientId}:${clientSecret}`).digest("hex");

/** launchd label of a line's daemon. */
export const directLabel = (server: string): string => `local.slm-network.direct.${server}`;
/** Log of a line's `ssh`, in the relay's log folder. */
export const directLog = (server: string): string => `direct-${server}.log`;
