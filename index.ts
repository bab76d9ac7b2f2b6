/** The whole network, wired: config in, components, outputs. */
import { relative } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { accessListText } from "./accounts/access-list.ts";
import { deployedResources } from "./accounts/deployed.ts";
import { checkStack } from "./accounts/stack-check.ts";
import { Access } from "./components/access.ts";
import { Alerts } from "./components/alerts.ts";
import { directCredentials, directLines, overlapsOf } from "./components/direct-route.ts";
import { DocumentStore } from "./components/document-store.ts";
import { plainConnection } from "./components/mac/connection.ts";
import { formerMacNames } from "./components/mac/former-names.ts";
import { MacHost } from "./components/mac/mac-host.ts";
import { offerSshKey } from "./components/mac/ssh-agent.ts";
import { Route } from "./components/route.ts";
import { SaasHostname } from "./components/saas-hostname.ts";
import { SshEntry } from "./components/ssh-entry.ts";
import { Tunnel } from "./components/tunnel.ts";
import { TunnelConnections } from "./components/tunnel-connections.ts";
import { ConfigError, readStackConfig, type StackConfig } from "./config/config.ts";
import { installInput } from "./config/install-input.ts";
import { parseLocalEndpoint } from "./config/ssh-override.ts";
import { currentRelease } from "./runtime/current-release.ts";

const name = "slm";
const settings = new pulumi.Config("slm-network");
// One for each stack, so that two stacks can be in one account.
const tunnelName = `slm-network-${pulumi.getStack()}`;
const config = withoutStackTrace(() => readStackConfig(settings));
// Built while the accounts are asked. Both run to their end, so that a failed check leaves no half-written build behind.
const [checks, build] = await Promise.allSettled([check(config), currentRelease()]);
const { login, authDomain, accessList, servesCustomHostname, deployed } = withoutStackTrace(() => settled(checks));
const release = settled(build);
const { accountId } = config;
/** @returns whether a part of the network is protected: all that hold state, but for those that the config exempts. */
const isProtected = (part: string): boolean => config.protect && !config.unprotect.includes(part);
const protect = config.protect;
const madeBy = `slm-network, stack ${pulumi.getStack()}`;
for (const line of accessListText(accessList)) void pulumi.log.info(line);
const [mac] = config.macs;
if (!mac) throw new Error("a valid config has a Mac");

const { saasHostname, regionKey } = config.route;
const saas = saasHostname
  ? new SaasHostname(name, {
      zoneId: config.zoneId,
      saasHostname,
      hostname: config.hostname,
      isServed: servesCustomHostname,
      protect: isProtected("saas"),
    })
  : undefined;
// In the second phase only: Access takes an active custom hostname.
const alsoHostnames = saasHostname && servesCustomHostname ? [saasHostname] : [];

const access = new Access(
  name,
  {
    accountId,
    hostname: config.hostname,
    alsoHostnames,
    servers: config.access.servers.map((server) => ({ ...server, protect: isProtected(`servers.${server.name}`) })),
    scrapers: config.metrics.scrapers.map((scraper) => ({ ...scraper, protect: isProtected("metrics") })),
    people: { ...config.access.people, login },
    singleHeader: config.access.singleHeader,
    protect,
  },
  // Access takes a name of another domain only once it is a custom hostname of the zone.
  { dependsOn: saas ? [saas] : [] },
);

// Does not contain the Mac's name, so that renaming the Mac keeps the resource.
const macName = `${name}-mac`;
const former = formerMacNames(macName, deployed);
const { sshThroughTunnel: ssh } = mac;
const sshEntry = ssh
  ? new SshEntry(
      macName,
      {
        accountId,
        hostname: ssh.hostname,
        emails: ssh.emails,
        identityProviders: access.identityProviders,
        tokenIds: ssh.servers.flatMap((server) => access.tokenIds.get(server) ?? []),
        protect: isProtected("ssh"),
      },
      { aliases: former.sshEntry },
    )
  : undefined;

const tunnel = new Tunnel(name, {
  accountId,
  tunnelName,
  hostname: config.hostname,
  alsoHostnames,
  behindAccess: access.hostnames,
  tunnelSecret: settings.requireSecret("tunnelSecret"),
  relayPort: mac.ports.relay,
  teamName: authDomain.split(".")[0] ?? authDomain,
  audiences: access.audiences,
  ssh: ssh && sshEntry && { hostname: ssh.hostname, port: ssh.port, audience: sshEntry.audience },
  protect,
});

// Deleted after the Mac's installation and before the tunnel.
const connections = new TunnelConnections(
  `${name}-connections`,
  { accountId, tunnelId: tunnel.tunnelId, baseUrl: providerConfig("cloudflare:baseUrl") },
  { dependsOn: [tunnel] },
);

// The record is created only after Access protects the name.
new Route(
  name,
  {
    zoneId: config.zoneId,
    hostname: config.hostname,
    behindAccess: access.hostnames,
    target: tunnel.cname,
    regionKey,
    comment: madeBy,
    fallbackOrigin: saas !== undefined,
    protect,
  },
  { dependsOn: [access, tunnel] },
);
if (ssh && sshEntry) {
  const { hostname } = ssh;
  const args = {
    zoneId: config.zoneId,
    hostname,
    behindAccess: sshEntry.hostnames,
    target: tunnel.cname,
    comment: madeBy,
    protect: isProtected("ssh"),
  };
  new Route(`${macName}-ssh`, args, { dependsOn: [sshEntry, tunnel], aliases: former.sshRoute });
}
saas?.state.apply((state) => pulumi.log.info(`route: ${state}`, saas));

const { emails } = config.alerts;
if (emails.length > 0) {
  new Alerts(name, {
    accountId,
    hostname: config.hostname,
    tunnelId: tunnel.tunnelId,
    description: madeBy,
    emails,
  });
}

const { atlas } = config.documents;
const store =
  config.documents.store === "atlas" && atlas
    ? new DocumentStore(name, {
        ...atlas,
        allowFrom: accessList.declare,
        comment: madeBy,
        tags: { "made-by": "slm-network", stack: pulumi.getStack() },
        comments: accessList.comments,
        ttlDays: config.documents.ttlDays,
        dropData: config.documents.dropData,
        schemaPassword: settings.requireSecret("atlasSchemaPassword"),
        relayPassword: settings.requireSecret("atlasRelayPassword"),
        protect: isProtected("documents"),
      })
    : undefined;

const { direct } = config.route;
const lines = directLines(direct, mac.ports.direct);

const sshAt = process.env.SLM_NETWORK_SSH_AT;
const agentSocket = await offerSshKey(pulumi.getStack(), (line) => void pulumi.log.info(line));
const host = new MacHost(
  macName,
  {
    former,
    connection: plainConnection(mac),
    // From outside the office: the local end of `npm run ssh -- --through-tunnel --here pulumi up`.
    uploadConnection: { ...(sshAt ? { ...mac, ...parseLocalEndpoint(sshAt), jump: undefined } : mac), agentSocket },
    release: { ...release, path: relative(process.cwd(), release.path) },
    node: config.artifacts.node,
    uploads: config.artifacts.push
      ? { node: await pushed(config.artifacts.node), cloudflared: await pushed(config.artifacts.cloudflared) }
      : undefined,
    removeData: mac.removeData,
    skipRemoval: mac.skipRemoval,
    previousGone: mac.previous === "gone",
    directOverlaps: overlapsOf(direct, config.access.servers),
    input: installInput({
      config,
      teamDomain: authDomain,
      audiences: access.audiences,
      clientIds: new Map([...access.tokens].map(([server, token]) => [server, token.clientId])),
      endOfLife: access.endOfLife,
      connectorToken: tunnel.connectorToken,
      mongodbUri: store?.relayUri,
      fallbackKey: config.fallback && settings.getSecret("fallbackKey"),
      modelKey: settings.getSecret("modelKey"),
      otlpHeaders: settings.getSecret("otlpHeaders"),
      direct:
        lines.length > 0
          ? {
              lines,
              credentials: directCredentials({ lines: direct, tokens: access.tokens, endOfLife: access.endOfLife }),
            }
          : undefined,
    }),
  },
  { dependsOn: [connections] },
);

/** An archive for a Mac without internet access; the path is relative, so that it is the same from every checkout. */
async function pushed({ url, sha256 }: { url: string; sha256: string }): Promise<{ path: string; sha256: string }> {
  const { cachedArtifact } = await import("./runtime/artifacts/cache.ts"); // its HTTP client is seldom needed
  return { path: relative(process.cwd(), await cachedArtifact("dist/artifacts", { url, sha256 })), sha256 };
}

/** Checks the config against the accounts and the last deployment. @throws ConfigError */
async function check(wanted: StackConfig) {
  const last = await deployedResources();
  const forceRotation = process.env.SLM_NETWORK_FORCE_ROTATION === "1";
  const checked = await checkStack(wanted, { name, tunnelName, providerConfig, deployed: last, forceRotation });
  return { ...checked, deployed: last };
}

/** `cloudflare:apiToken` is the key `apiToken` of the namespace `cloudflare`. */
function providerConfig(key: string): string | undefined {
  return new pulumi.Config(key.split(":")[0]).get(key.split(":")[1] ?? "");
}

function settled<T>(result: PromiseSettledResult<T>): T {
  if (result.status === "rejected") throw result.reason;
  return result.value;
}

/** Shows a problem of the config as it is, without a stack trace. */
function withoutStackTrace<T>(work: () => T): T {
  try {
    return work();
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
/** What it found wrong on the Mac and could not set right, each with its consequence. */
export const macWarnings = host.warnings;
/** Direct lines by the server's name: base URL for its callers, and the Mac's public key for `npm run direct -- --prepare`. */
export const directRoutes = host.directLines;
/** The line to try it with. */
export const tryIt = pulumi.interpolate`curl https://${hostname}/v1/models -H "CF-Access-Client-Id: ${clientId}" -H "CF-Access-Client-Secret: $(npm run -s pulumi -- stack output clientSecret --show-secrets)"`;
