/** An account in memory for the edge's tests: what a test declares is what the edge may know. */
import { randomBytes, randomUUID } from "node:crypto";
import type {
  AccessApplicationView,
  ConnectorConnection,
  EdgeView,
  IdentityProviderView,
  IngressRule,
  TunnelConfiguration,
  TunnelView,
} from "../../../sandbox/cloudflare/edge-view.ts";

/** The account of one test. */
export class TestAccount implements EdgeView {
  readonly tunnels = new Map<string, TunnelView>();
  readonly records = new Map<string, string>();
  readonly applications: AccessApplicationView[] = [];
  readonly providers: IdentityProviderView[] = [{ id: "pin", name: "", type: "onetimepin" }];
  /** Client id → secret and token id. */
  readonly tokens = new Map<string, { secret: string; tokenId: string }>();
  readonly connections = new Map<string, ConnectorConnection[]>();
  readonly #configurations = new Map<string, TunnelConfiguration>();
  readonly #listeners = new Set<(tunnelId: string | undefined) => void>();
  readonly #connectionListeners = new Set<() => void>();

  teamDomain(): string {
    return "example-team.cloudflareaccess.com";
  }
  tunnel(id: string): TunnelView | undefined {
    return this.tunnels.get(id);
  }
  configuration(tunnelId: string): TunnelConfiguration | undefined {
    return this.#configurations.get(tunnelId);
  }
  tunnelFor(hostname: string): string | undefined {
    return this.records.get(hostname);
  }
  hostnames(): string[] {
    return [...this.records.keys()];
  }
  accessApplications(): AccessApplicationView[] {
    return this.applications;
  }
  identityProviders(): IdentityProviderView[] {
    return this.providers;
  }
  verifyServiceToken(clientId: string, clientSecret: string): string | undefined {
    const token = this.tokens.get(clientId);
    return token?.secret === clientSecret ? token.tokenId : undefined;
  }
  setConnections(tunnelId: string, connections: ConnectorConnection[]): void {
    this.connections.set(tunnelId, connections);
    for (const listener of this.#connectionListeners) listener();
  }
  onChange(listener: (tunnelId: string | undefined) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Resolves once the tunnel has that many connections. */
  async connected(tunnelId: string, count: number): Promise<ConnectorConnection[]> {
    const have = () => this.connections.get(tunnelId) ?? [];
    if (have().length !== count)
      await new Promise<void>((resolve) => {
        const check = () => {
          if (have().length !== count) return;
          this.#connectionListeners.delete(check);
          resolve();
        };
        this.#connectionListeners.add(check);
      });
    return have();
  }

  /** A tunnel, its DNS record and its configuration. @returns the tunnel's id */
  declareTunnel(hostname: string, ingress: IngressRule[]): string {
    const id = randomUUID();
    this.tunnels.set(id, { id, accountTag: randomBytes(16).toString("hex"), secret: randomBytes(32) });
    this.records.set(hostname, id);
    this.configure(id, ingress);
    return id;
  }
  configure(tunnelId: string, ingress: IngressRule[]): void {
    const version = (this.#configurations.get(tunnelId)?.version ?? 0) + 1;
    this.#configurations.set(tunnelId, { version, config: { ingress } });
    for (const listener of this.#listeners) listener(tunnelId);
  }
  /** What the connector's token file holds: base64 of `{a, t, s}`. */
  connectorToken(tunnelId: string, secret = this.tunnels.get(tunnelId)!.secret): string {
    const token = { a: this.tunnels.get(tunnelId)!.accountTag, t: tunnelId, s: secret.toString("base64") };
    return Buffer.from(JSON.stringify(token)).toString("base64");
  }
}

/** An application with the given fields. */
export function application(fields: Partial<AccessApplicationView>): AccessApplicationView {
  return {
    id: randomUUID(),
    name: "application",
    aud: randomBytes(32).toString("hex"),
    destinations: [],
    serviceAuth401Redirect: false,
    sessionDuration: "24h",
    policies: [],
    allowedIdps: [],
    ...fields,
  };
}
