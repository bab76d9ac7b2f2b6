/**
 * Resources that a person may have created by hand before: a tunnel, a DNS record, an Access application, a service token
 * and a database user, under the names the program uses. Created through the APIs, as the dashboards do.
 */
import Cloudflare from "cloudflare";
import { DigestClient } from "digest-fetch";
import { hostname, type Identity } from "./instance.ts";

/** The addresses and credentials of the accounts. */
export interface Accounts {
  cloudflareApi: string;
  atlasApi: string;
}

/** Creates them. @throws with the API's error when one exists */
export async function makeByHand(accounts: Accounts, identity: Identity, stack: string): Promise<void> {
  const { accountId: account_id, zoneId: zone_id, cloudflareApiToken: apiToken } = identity;
  const client = new Cloudflare({ apiToken, baseURL: accounts.cloudflareApi });
  const tunnel = await client.zeroTrust.tunnels.cloudflared.create({
    account_id,
    name: `slm-network-${stack}`,
    config_src: "local",
    tunnel_secret: identity.tunnelSecret,
  });
  await client.dns.records.create({
    zone_id,
    type: "CNAME",
    name: hostname,
    content: `${tunnel.id}.cfargotunnel.com`,
    proxied: true,
    ttl: 1,
    comment: "clicked together",
  });
  await client.zeroTrust.access.applications.create({
    account_id,
    type: "self_hosted",
    name: "Local LLM",
    destinations: [{ type: "public", uri: hostname }],
  });
  await client.zeroTrust.access.serviceTokens.create({ account_id, name: `${hostname} backend` });
  await makeDatabaseUser(accounts.atlasApi, identity);
}

async function makeDatabaseUser(atlasApi: string, identity: Identity): Promise<void> {
  const url = new URL(`/api/atlas/v2/groups/${identity.atlasProjectId}/databaseUsers`, atlasApi).href;
  const response = await new DigestClient(identity.atlasPublicKey, identity.atlasPrivateKey).fetch(url, {
    method: "POST",
    headers: { accept: "application/vnd.atlas.2023-01-01+json", "content-type": "application/json" },
    body: JSON.stringify({
      databaseName: "admin",
      username: "slm-relay",
      password: identity.atlasRelayPassword,
      roles: [{ roleName: "readWrite", databaseName: "slm" }],
    }),
  });
  if (!response.ok) throw new Error(`the database user: ${response.status} ${await response.text()}`);
}
