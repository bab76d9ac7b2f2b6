/** All emulators: the clouds, the edge, the Mac, the model. */

import { join } from "node:path";
import type { ModelServerKind } from "../runtime/model-servers.ts";
import { type Artifacts, serveArtifacts } from "./artifacts.ts";
import { type AtlasConditions, startAtlasApi } from "./atlas/api.ts";
import { CloudflareAccount } from "./cloudflare/account.ts";
import type { ApiToken } from "./cloudflare/account-options.ts";
import { startCloudflareApi } from "./cloudflare/api.ts";
import { connectorEnvironment } from "./edge/connector-environment.ts";
import { type Edge, startEdge } from "./edge/edge.ts";
import { Faults } from "./http/faults.ts";
import { clusterName, type Identity, type Instance, publicAddress, teamDomain, zoneName } from "./instance.ts";
import type { Log } from "./log.ts";
import { type Mac, startMac } from "./mac/mac.ts";
import { modelServerLabel, type OutsideDaemon } from "./mac/outside-daemon.ts";
import { type UsedMac, useThisMac } from "./mac/this-mac.ts";
import type { Reaper } from "./machine/reaper.ts";
import { chooseModel } from "./model/choose.ts";
import { startMongo } from "./mongo/start.ts";
import { startSecondMac } from "./second-mac.ts";
import type { CompanyServer } from "./server/company-server.ts";
import type { Settings } from "./settings.ts";
import { startStackServer } from "./stack-server.ts";
import { cacheFolder, type Tools } from "./tools/tools.ts";

/** The running emulators. */
export interface Services {
  cloudflareApi: string;
  atlasApi: string;
  mongodbUri: string;
  model: { url: string; kind: ModelServerKind; embeddingModel: string; chatModel: string };
  edge: Edge;
  mac: UsedMac;
  /** Starts a second Mac, or returns the running one. @throws Error when the first one is not emulated */
  secondMac(): Promise<Mac>;
  /** Starts the company's server, or returns the running one. */
  companyServer(): Promise<CompanyServer>;
  artifacts: Artifacts;
  /** The accounts' conditions and the API token's permissions; both can be changed. */
  accounts: { cloudflare: CloudflareAccount; token: ApiToken; atlas: AtlasConditions };
  /** The fault injection of the two APIs. */
  faults: { cloudflare: Faults; atlas: Faults };
  /** Stops all of them in reverse order. Resolves when no process is left. */
  close(): Promise<void>;
}

/** Permissions of a preview's token: read everything the program declares. */
const previewPermissions = [
  "Access: Apps and Policies Read",
  "Access: Organizations, Identity Providers, and Groups Read",
  "Access: Service Tokens Read",
  "Cloudflare Tunnel Read",
  "DNS Read",
  "Notifications Read",
  "SSL and Certificates Read",
  "Zone Read",
];

/** Starts them sequentially. If one fails, the started ones are stopped. */
export async function startServices(
  instance: Instance,
  identity: Identity,
  tools: Tools,
  settings: Settings,
  reaper: Reaper,
  log: Log,
): Promise<Services> {
  const { ports } = identity;
  const running: (() => void | Promise<void>)[] = [];
  const keep = <T extends { close(): void | Promise<void> }>(service: T): T => {
    running.push(() => service.close());
    return service;
  };
  const close = async () => {
    for (const stop of running.splice(0).reverse()) await stop();
  };
  const at = (name: string) => join(instance.folder, name);
  try {
    const token: ApiToken = { value: identity.cloudflareApiToken, permissions: "all" };
    const account = keep(
      new CloudflareAccount({
        accountId: identity.accountId,
        zone: { id: identity.zoneId, name: zoneName },
        teamDomain,
        apiTokens: [token, { value: identity.cloudflareReadToken, permissions: previewPermissions }],
        statePath: at("cloudflare.json"),
        mailDir: at("mail"),
        outsideDnsPath: at("outside-dns.json"),
      }),
    );
    const faults = { cloudflare: account.faults, atlas: new Faults() };
    const cloudflareApi = keep(await startCloudflareApi(account, { port: ports.cloudflareApi, log: quiet }));
    const mongo = keep(
      await startMongo({
        dir: at("mongo"),
        downloads: join(cacheFolder(), "downloads"),
        port: ports.mongo,
        log,
        reaper,
        clientAddress: publicAddress,
        ttlMonitorMs: settings.ttlMonitorMs,
      }),
    );
    const atlas = keep(
      await startAtlasApi({
        port: ports.atlasApi,
        projectId: identity.atlasProjectId,
        clusterName,
        publicKey: identity.atlasPublicKey,
        privateKey: identity.atlasPrivateKey,
        readOnlyKey: { publicKey: identity.atlasReadPublicKey, privateKey: identity.atlasReadPrivateKey },
        publicAddress,
        delays: settings.atlas,
        faults: faults.atlas,
        mongo: mongo.admin,
        statePath: at("atlas.json"),
        log: quiet,
      }),
    );
    const edge = keep(
      await startEdge({
        view: account,
        dir: at("edge"),
        ports: { connector: ports.edgeConnector, client: ports.edgeClient, proxy: ports.edgeProxy },
        readTimeoutMs: settings.readTimeoutMs,
        bodyLimitBytes: settings.bodyLimitBytes,
        strictServiceTokens: settings.strictServiceTokens,
        mailFile: instance.mailFile,
        log: quiet,
      }),
    );
    const model = keep(await chooseModel({ port: ports.model, log, reaper }));
    const artifacts = keep(
      await serveArtifacts({ port: ports.artifacts, node: process.execPath, cloudflared: tools.cloudflared, log }),
    );
    const daemons = {
      ...connectorEnvironment(edge),
      NODE_USE_ENV_PROXY: "1",
      NODE_EXTRA_CA_CERTS: edge.caFile,
    };
    const { ssh } = settings;
    const isOwnModel = model.url === `http://127.0.0.1:${ports.model}`;
    const outsideDaemon: OutsideDaemon | undefined = isOwnModel
      ? { label: modelServerLabel, pid: process.pid, environment: { OLLAMA_NUM_PARALLEL: "4" } }
      : undefined;
    const mac = keep<UsedMac>(
      settings.mac === "this" && ssh
        ? await useThisMac({ ssh, environment: daemons, log })
        : await startMac({
            dir: at("mac"),
            port: ports.ssh,
            user: "deploy",
            environment: daemons,
            reaper,
            log: quiet,
            nodePath: process.execPath,
            macos: settings.macos,
            fileVault: settings.fileVault,
            otherSsh: ssh,
            outsideDaemon,
          }),
    );
    let second: Promise<Mac> | undefined;
    const secondMac = (): Promise<Mac> => {
      if (settings.mac === "this" || ssh) throw new Error("with SANDBOX_SSH or SANDBOX_MAC there is one Mac only");
      const { macos } = settings;
      second ??= startSecondMac(instance, identity, mac, {
        environment: daemons,
        reaper,
        log: quiet,
        macos,
        outsideDaemon,
      }).then(keep);
      return second;
    };
    let server: Promise<CompanyServer> | undefined;
    const companyServer = (): Promise<CompanyServer> => {
      server ??= startStackServer(instance, { reaper, log: quiet }).then(keep);
      return server;
    };
    return {
      secondMac,
      companyServer,
      cloudflareApi: cloudflareApi.url,
      atlasApi: atlas.url,
      mongodbUri: mongo.uri,
      model,
      edge,
      mac,
      artifacts,
      accounts: { cloudflare: account, token, atlas: atlas.conditions },
      faults,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
  function quiet(message: string): void {
    if (process.env.SANDBOX_VERBOSE === "1") log(message);
  }
}
