/** What the installer gets in the fault cases. */

import { credentialHash } from "../../../runtime/direct-config.ts";
import type { InstallInput } from "../../../runtime/install-input-schema.ts";
import type { Artifact } from "../../../sandbox/artifacts.ts";
import type { CompanyServer } from "../../../sandbox/server/company-server.ts";
import { BOUNDS } from "../limits.ts";
import { type EdgeReady, HOST, TOKENS } from "../measure/messages.ts";
import type { Store } from "./fault.ts";
import { DATABASE } from "./mongo-messages.ts";

/** Ports of the Mac, and the listening end of the direct line on the company's server. */
export interface Ports {
  readonly relay: number;
  readonly admin: number;
  readonly connector: number;
  readonly line: number;
  readonly listen: number;
}

export interface Installed {
  readonly ports: Ports;
  readonly ready: EdgeReady;
  readonly modelPort: number;
  readonly store: Store;
  readonly mongodbUri: string;
  /** Absent: no direct line. */
  readonly server: CompanyServer | undefined;
  readonly cloudflared: Artifact;
  readonly graceSeconds: number;
}

export function installInput(installed: Installed): InstallInput {
  const { ports, ready, modelPort, store, mongodbUri, server, cloudflared, graceSeconds } = installed;
  const { chat, embeddings, waiting, waitSeconds, bodyMiB, memoryMiB, jobsMiB, documentsMiB } = BOUNDS;
  const { clientId, secret } = TOKENS.quiet;
  return {
    relay: {
      port: ports.relay,
      adminPort: ports.admin,
      hostname: HOST,
      access: { teamDomain: ready.teamDomain, audiences: { servers: ready.audience, people: "people" } },
      callers: Object.entries(TOKENS).map(([name, token]) => {
        return { name, clientId: token.clientId, companies: ["*"], weight: 1, enabled: true };
      }),
      // Short time limits: a hop that is half open is noticed within a case.
      model: {
        kind: "openai",
        url: `http://127.0.0.1:${modelPort}`,
        embeddingModel: "e",
        timeouts: { connect: 2, firstByte: 6, silence: 5 },
      },
      limits: { chat, embeddings, waiting, waitSeconds, bodyMiB, memoryMiB, whenBusy: "queue" },
      documents: {
        store,
        ttlDays: 30,
        maxDiskMiB: documentsMiB,
        ...(store === "atlas" && { database: DATABASE, collection: "documents" }),
      },
      jobs: { retentionDays: 7, maxDiskMiB: jobsMiB, minFreeMiB: 0, maxAttempts: 3, attemptMinutes: 30 },
      graceSeconds,
      ...(server && {
        direct: { lines: [{ server: "quiet", port: ports.line }] },
        directCredentials: { quiet: [{ sha256: credentialHash(clientId, secret) }] },
      }),
    },
    secrets: store === "atlas" ? { mongodbUri } : {},
    connectorToken: ready.connectorToken,
    connectorPort: ports.connector,
    cloudflared: { url: cloudflared.url, sha256: cloudflared.sha256 },
    power: { set: true },
    ...(server && {
      direct: [
        {
          server: "quiet",
          host: server.host,
          port: server.port,
          user: server.user,
          hostKey: server.hostKey,
          listen: `127.0.0.1:${ports.listen}`,
          relayPort: ports.line,
        },
      ],
    }),
  };
}
