/** A relay behind the emulated edge, Access and the real cloudflared, as callers reach it; all is ended with the test. */
import { readFile } from "node:fs/promises";
import { createLocalJWKSet, type JSONWebKeySet } from "jose";
import { ProxyAgent, fetch as proxiedFetch } from "undici";
import { onTestFinished } from "vitest";
import type { RelayConfig } from "../../../runtime/config.ts";
import type { RelayOptions } from "../../../runtime/relay/relay-options.ts";
import type { Edge, EdgeOptions } from "../../../sandbox/edge/edge.ts";
import { application } from "../../sandbox/edge/account.ts";
import { Harness } from "../../sandbox/edge/harness.ts";
import { startTestRelay, type TestRelay } from "./harness.ts";

const HOST = "slm.example.com";
/** The service token of the server "backend". */
export const SERVICE_TOKEN = { clientId: "c1.access", clientSecret: "right" } as const;
/** Its two headers. */
export const TOKEN_HEADERS = {
  "CF-Access-Client-Id": SERVICE_TOKEN.clientId,
  "CF-Access-Client-Secret": SERVICE_TOKEN.clientSecret,
};

/** @param options of the relay and of the edge, besides what the tunnel needs */
export async function throughTunnel(
  modelUrl: string,
  changes: Partial<RelayConfig> = {},
  options: { relay?: Partial<RelayOptions>; edge?: Partial<EdgeOptions> } = {},
): Promise<{ edge: Edge; relay: TestRelay }> {
  const harness = new Harness();
  onTestFinished(() => harness.stop());
  const include = [{ service_token: { token_id: "token-1" } }];
  const servers = application({
    name: "servers",
    destinations: [HOST],
    policies: [{ id: "p1", name: "servers", decision: "non_identity", include, exclude: [], require: [] }],
  });
  const { account } = harness;
  account.applications.push(servers);
  account.tokens.set(SERVICE_TOKEN.clientId, { secret: SERVICE_TOKEN.clientSecret, tokenId: "token-1" });
  const edge = await harness.edge(options.edge);
  const agent = new ProxyAgent({ uri: edge.proxyUrl, requestTls: { ca: await readFile(edge.caFile, "utf8") } });
  const published = await proxiedFetch(`https://${account.teamDomain()}/cdn-cgi/access/certs`, { dispatcher: agent });
  const keys = createLocalJWKSet((await published.json()) as JSONWebKeySet);
  await agent.close();
  const relay = await startTestRelay(
    modelUrl,
    {
      access: { teamDomain: account.teamDomain(), audiences: { servers: servers.aud, people: "people" } },
      callers: [{ name: "backend", clientId: SERVICE_TOKEN.clientId, companies: ["*"], weight: 1, enabled: true }],
      ...changes,
    },
    { keys, ...options.relay },
  );
  const tunnel = account.declareTunnel(HOST, [{ hostname: HOST, service: relay.url }, { service: "http_status:404" }]);
  harness.cloudflared(edge, account.connectorToken(tunnel));
  await edge.routed(tunnel);
  return { edge, relay };
}
