/** Direct lines: what the Mac gets of `route.direct` and of its servers' service tokens. */
import * as pulumi from "@pulumi/pulumi";
import { type DirectRouteConfig, directPort } from "../config/direct-route.ts";
import { credentialHash, type DirectCredential, type DirectLine } from "../runtime/direct-config.ts";
import type { ServiceToken } from "./access.ts";

/** What the lines are made of. */
export interface DirectRouteArgs {
  readonly lines: readonly DirectRouteConfig[];
  /** Tokens by the server's name. */
  readonly tokens: ReadonlyMap<string, ServiceToken>;
  /** When each token ends (RFC 3339), by the server's name. */
  readonly endOfLife: ReadonlyMap<string, pulumi.Output<string>>;
}

/** @returns the SSH connections, for the installer */
export const directLines = (lines: readonly DirectRouteConfig[], firstPort: number): DirectLine[] =>
  lines.map(({ server, host, port, user, hostKey, listen }, index) => ({
    server,
    host,
    port,
    user,
    hostKey: hostKey.trim().split(/\s+/).slice(0, 2).join(" "),
    listen,
    relayPort: directPort(firstPort, index),
  }));

/** @throws Error when the token's secret is not known: Cloudflare shows it only to whoever creates or rotates the token */
export function credentialOf(
  server: string,
  clientId: string,
  clientSecret: string | undefined,
  expiresAt: string | undefined,
): DirectCredential {
  if (!clientSecret) {
    throw new pulumi.RunError(
      `route.direct: the secret of the service token of ${server} is not known, since the token was imported and Cloudflare shows a secret only once. Rotate it (npm run rotate -- ${server}), or take its line out of route.direct`,
    );
  }
  const end = Date.parse(expiresAt ?? "");
  return {
    sha256: credentialHash(clientId, clientSecret),
    // A token without an end has none, or the year 1.
    ...(!Number.isNaN(end) && end > 0 && { expiresAt: new Date(end).toISOString() }),
  };
}

/** @returns the newest credential of each line's server; a secret */
export function directCredentials({
  lines,
  tokens,
  endOfLife,
}: DirectRouteArgs): pulumi.Output<Record<string, DirectCredential[]>> {
  const servers = lines.map(({ server }) => server);
  const all = servers.map((server) => {
    const token = tokens.get(server);
    if (token === undefined) throw new Error(`route.direct: ${server} has no service token`);
    return pulumi
      .all([token.clientId, token.clientSecret, endOfLife.get(server)])
      .apply(([id, secret, end]) => credentialOf(server, id, secret, end));
  });
  return pulumi.secret(
    pulumi.all(all).apply((list) => Object.fromEntries(servers.map((server, n) => [server, [list[n]!]]))),
  );
}

/** `previousSecretExpiresAt` of the lines' servers. */
export function overlapsOf(
  lines: readonly DirectRouteConfig[],
  servers: readonly { readonly name: string; readonly previousSecretExpiresAt?: string | undefined }[],
): Record<string, string> {
  const wanted = new Set(lines.map(({ server }) => server));
  return Object.fromEntries(
    servers.flatMap(({ name, previousSecretExpiresAt: until }) =>
      wanted.has(name) && until !== undefined ? [[name, until] as const] : [],
    ),
  );
}
