/** The whole network, wired: config in, components, outputs. */
import { relative } from "node:path";
import * as cloudflare from "@pulumi/cloudflare";
import * as pulumi from "@pulumi/pulumi";
import { Access, tokenName } from "./components/access.ts";
import { accountFaults } from "./components/account-check.ts";
import { accountFacts } from "./components/account-facts.ts";
import { Alerts } from "./components/alerts.ts";
import { ConfigError, readStackConfig } from "./components/config.ts";
import { DocumentStore } from "./components/document-store.ts";
import { installInput } from "./components/install-input.ts";
import { MacHost } from "./components/mac-host.ts";
import { deployedSecretVersions, rotationFault, type WantedSecret } from "./components/rotation.ts";
import { Route } from "./components/route.ts";
import { routeFaults } from "./components/route-check.ts";
import { SaasHostname } from "./components/saas-hostname.ts";
import { Tunnel } from "./components/tunnel.ts";
import { buildRelease } from "./runtime/build.ts";

const name = "slm";
const settings = new pulumi.Config("slm-network");
const config = await checked(async () => {
  const parsed = readStackConfig(settings);
  const provider = new pulumi.Config("cloudflare");
  const access = {
    apiToken: provider.get("apiToken") ?? process.env.CLOUDFLARE_API_TOKEN,
    baseUrl: provider.get("baseUrl"),
  };
  const { faults: found, zoneName } = await accountFaults({ ...parsed, tunnelName: tunnelName() }, access);
  const account = accountFacts({ accountId: parsed.accountId, zoneId: parsed.zoneId, ...access });
  const known = zoneName ?? (found.length === 0 && (await cloudflare.getZone({ zoneId: parsed.zoneId })).name);
  const faults = [
    ...found,
    ...(known ? await routeFaults(parsed, known, account) : []),
    ...(await lateRotations(parsed.access.servers)),
  ];
  if (faults.length > 0) throw new ConfigError(faults, found.length > 0 ? "what the stack rests on has" : undefined);
  return parsed;
});
const { accountId, protect } = config;
const organization = await cloudflare.getZeroTrustOrganization({ accountId });
const release = await buildRelease();
const [mac] = config.macs;
if (!mac) throw new Error("no Mac in a config that has passed");

const { saasHostname, regionKey } = config.route;
const saas = saasHostname
  ? new SaasHostname(name, { zoneId: config.zoneId, saasHostname, hostname: config.hostname, protect })
  : undefined;
const alsoHostnames = saasHostname ? [saasHostname] : [];

const access = new Access(
  name,
  {
    accountId,
    hostname: config.hostname,
    alsoHostnames,
    servers: config.access.servers,
    people: config.access.people,
    protect,
  },
  // Access takes a name of another domain only once it is a custom hostname of the zone.
  { dependsOn: saas ? [saas] : [] },
);

const tunnel = new Tunnel(name, {
  accountId,
  tunnelName: tunnelName(),
  hostname: config.hostname,
  alsoHostnames,
  tunnelSecret: settings.requireSecret("tunnelSecret"),
  relayPort: mac.ports.relay,
  teamName: organization.authDomain.split(".")[0] ?? organization.authDomain,
  audiences: access.audiences,
  protect,
});

// The name leads somewhere only when Access stands in front of it.
new Route(
  name,
  {
    zoneId: config.zoneId,
    hostname: config.hostname,
    target: tunnel.cname,
    regionKey,
    fallbackOrigin: saas !== undefined,
    protect,
  },
  { dependsOn: [access, tunnel] },
);
saas?.state.apply((state) => pulumi.log.info(`route: ${state}`, saas));

const { emails } = config.alerts;
if (emails.length > 0) new Alerts(name, { accountId, hostname: config.hostname, tunnelId: tunnel.tunnelId, emails });

const { atlas } = config.documents;
const store =
  config.documents.store === "atlas" && atlas
    ? new DocumentStore(name, {
        ...atlas,
        ttlDays: config.documents.ttlDays,
        dropData: config.documents.dropData,
        schemaPassword: settings.requireSecret("atlasSchemaPassword"),
        relayPassword: settings.requireSecret("atlasRelayPassword"),
        protect,
      })
    : undefined;

const host = new MacHost(`${name}-${mac.name}`, {
  connection: mac,
  release: { ...release, path: relative(process.cwd(), release.path) },
  node: config.artifacts.node,
  input: installInput({
    config,
    teamDomain: organization.authDomain,
    audiences: access.audiences,
    clientIds: new Map([...access.tokens].map(([server, token]) => [server, token.clientId])),
    connectorToken: tunnel.connectorToken,
    mongodbUri: store?.relayUri,
    fallbackKey: config.fallback && settings.getSecret("fallbackKey"),
  }),
});

/** @returns a fault for each secret that would be rotated with too little of its overlap left */
async function lateRotations(servers: readonly WantedSecret[]): Promise<string[]> {
  if (process.env.SLM_NETWORK_FORCE_ROTATION === "1") return [];
  const names = servers.map((server) => server.name);
  const deployed = await deployedSecretVersions(names, (server) => tokenName(name, server));
  return servers.flatMap((server) => rotationFault(server, deployed.get(server.name)) ?? []);
}

/** One for each stack, so that two stacks can be in one account. */
function tunnelName(): string {
  return `slm-network-${pulumi.getStack()}`;
}

/** Shows a fault of the config as it is, without a stack trace. */
async function checked<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof ConfigError ? new pulumi.RunError(error.message) : error;
  }
}

const [first] = access.tokens.values();

/** The name callers use. */
export const hostname = config.hostname;
export const tunnelId = tunnel.tunnelId;
/** What `npm run probe` compares its findings with; in mode saas also the records to make elsewhere, and how far it is. */
export const route = {
  accountId,
  mode: config.route.mode,
  expectColo: config.route.expectColo,
  callers: saas?.callers ?? config.hostname,
  ...(regionKey && { regionKey }),
  ...(saas && { saas: { hostname: saasHostname, status: saas.status, state: saas.state, records: saas.records } }),
};
/** Client id and secret of the first server in the config. */
export const clientId = first?.clientId;
export const clientSecret = first?.clientSecret;
/** All of them, by the server's name. */
export const serviceTokens = pulumi.secret(Object.fromEntries(access.tokens));
/** When each token's own life ends, whatever its secret. */
export const serviceTokenEndOfLife = pulumi.output(Object.fromEntries(access.endOfLife));
/** What the installer did on the Mac the last time. */
export const macReport = host.report;
/** The line to try it with. */
export const tryIt = pulumi.interpolate`curl https://${hostname}/v1/models -H "CF-Access-Client-Id: ${clientId}" -H "CF-Access-Client-Secret: $(pulumi stack output clientSecret --show-secrets)"`;
