/**
 * The emulated Cloudflare account: its state, the edge's view of it (`EdgeView`), and its file. Only the API's handlers
 * change it, through `update`.
 */
import { Faults } from "../http/faults.ts";
import { openStateFile, type StateFile } from "../http/state-file.ts";
import { type AccountOptions, type ApiToken, checkIds, defaultRegions, type Region } from "./account-options.ts";
import { type Conditions, inOrder } from "./conditions.ts";
import { applicationViews, identityProviderViews, proxiedNames, tunnelOfName, validTokenId } from "./edge-answers.ts";
import type {
  AccessApplicationView,
  ConnectorConnection,
  EdgeView,
  IdentityProviderView,
  TunnelConfiguration,
  TunnelView,
} from "./edge-view.ts";
import { type Mail, tokenMails, tunnelMails, writeMail } from "./mail.ts";
import { readOutsideDns, validated } from "./outside-dns.ts";
import { type AccountState, emptyState, stateSchema } from "./state.ts";

const LOOK_FOR_ENDING_TOKENS_MS = 60_000;

/** The account. All methods are synchronous; the state is written with a delay, and by `close()` at the latest. */
export class CloudflareAccount implements EdgeView {
  readonly accountId: string;
  readonly zone: { id: string; name: string };
  readonly apiTokens: ApiToken[];
  readonly regions: Region[];
  /** Failures to inject into its API; paths without `/client/v4`. */
  readonly faults = new Faults();
  readonly conditions: Conditions;
  readonly #teamDomain: string;
  readonly #file: StateFile<AccountState>;
  readonly #connections = new Map<string, ConnectorConnection[]>();
  readonly #listeners = new Set<(tunnelId: string | undefined) => void>();
  readonly #lagging = new Map<string, { connections: ConnectorConnection[]; untilMs: number }>();
  readonly #connectionLagMs: number;
  readonly #mailDir: string | undefined;
  readonly #outsideDnsPath: string | undefined;
  readonly #clock: NodeJS.Timeout;

  /** @throws when the state file exists but cannot be read */
  constructor(options: AccountOptions) {
    checkIds(options);
    this.accountId = options.accountId;
    this.zone = { id: options.zone.id, name: options.zone.name.toLowerCase() };
    this.apiTokens = options.apiTokens;
    this.regions = options.regions ?? defaultRegions;
    this.conditions = { ...inOrder, ...options.conditions };
    this.#teamDomain = options.teamDomain;
    this.#file = openStateFile(options.statePath, stateSchema, emptyState);
    this.#mailDir = options.mailDir;
    this.#outsideDnsPath = options.outsideDnsPath;
    this.#connectionLagMs = options.connectionLagMs ?? 0;
    this.#clock = setInterval(() => this.tellEndingTokens(new Date()), LOOK_FOR_ENDING_TOKENS_MS).unref();
  }

  /** The current state. Changed only in `update`. */
  get state(): Readonly<AccountState> {
    return this.#file.value;
  }

  /**
   * Changes the state and schedules a write.
   * @param notify a tunnel id or "dns": the edge's listeners are called afterwards
   */
  update<T>(change: (state: AccountState) => T, notify?: { tunnel: string } | "dns"): T {
    const result = change(this.#file.value);
    this.#file.changed();
    if (notify !== undefined) {
      for (const listener of this.#listeners) listener(notify === "dns" ? undefined : notify.tunnel);
    }
    return result;
  }

  /** Writes pending changes. Blocks until they are on disk. */
  close(): void {
    clearInterval(this.#clock);
    this.#file.flush();
  }

  /** Writes the emails about service tokens that expire within a week, once per token and expiry. */
  tellEndingTokens(at: Date): void {
    const { notificationPolicies, serviceTokens } = this.state;
    this.#send(tokenMails(Object.values(notificationPolicies), Object.values(serviceTokens), at), at);
  }

  #send(mails: Mail[], at: Date): void {
    if (this.#mailDir === undefined) return;
    for (const mail of mails) writeMail(this.#mailDir, mail, at);
  }

  /** Reads the external domains' DNS again, as Cloudflare does periodically. @throws when the file is damaged */
  validateCustomHostnames(): void {
    const customs = Object.entries(this.state.customHostnames);
    if (customs.length === 0) return;
    const records = readOutsideDns(this.#outsideDnsPath);
    for (const [id, custom] of customs) {
      const { status, sslStatus } = validated(custom, records, this.zone.name);
      const ssl: Record<string, unknown> = typeof custom.ssl === "object" ? { ...custom.ssl } : {};
      if (custom.status === status && ssl.status === sslStatus) continue;
      this.update((state) => {
        state.customHostnames[id] = { ...custom, status, ssl: { ...ssl, status: sslStatus } };
      });
    }
  }

  /** The zone's host name behind an active custom hostname. */
  #originOf(name: string): string | undefined {
    this.validateCustomHostnames();
    const custom = Object.values(this.state.customHostnames).find(({ hostname }) => hostname === name);
    const ssl: Record<string, unknown> = typeof custom?.ssl === "object" ? { ...custom.ssl } : {};
    if (custom?.status !== "active" || ssl.status !== "active") return undefined;
    const origin = custom.custom_origin_server ?? this.state.fallbackOrigin?.origin;
    return typeof origin === "string" ? origin : undefined;
  }

  /** Live connections of a tunnel, reported by the edge. */
  connections(tunnelId: string): ConnectorConnection[] {
    return this.#connections.get(tunnelId) ?? [];
  }

  /** Connections as the API counts them: also those that ended a moment ago. */
  countedConnections(tunnelId: string): ConnectorConnection[] {
    const lagging = this.#lagging.get(tunnelId);
    const live = this.connections(tunnelId);
    return live.length > 0 || !lagging || lagging.untilMs < Date.now() ? live : lagging.connections;
  }

  teamDomain(): string {
    return this.#teamDomain;
  }

  tunnel(id: string): TunnelView | undefined {
    const tunnel = this.state.tunnels[id];
    if (tunnel === undefined || tunnel.deleted_at !== null) return undefined;
    return { id, accountTag: this.accountId, secret: Buffer.from(tunnel.tunnel_secret, "base64") };
  }

  configuration(tunnelId: string): TunnelConfiguration | undefined {
    const stored = this.state.configurations[tunnelId];
    return stored && { version: stored.version, config: stored.config };
  }

  tunnelFor(hostname: string): string | undefined {
    const name = hostname.toLowerCase().replace(/\.$/, "");
    const origin = this.#originOf(name);
    return tunnelOfName(this.state, origin ?? name);
  }

  hostnames(): string[] {
    return proxiedNames(this.state);
  }

  accessApplications(): AccessApplicationView[] {
    return applicationViews(this.state);
  }

  identityProviders(): IdentityProviderView[] {
    return identityProviderViews(this.state);
  }

  verifyServiceToken(clientId: string, clientSecret: string): string | undefined {
    return validTokenId(this.state, clientId, clientSecret);
  }

  setConnections(tunnelId: string, connections: ConnectorConnection[]): void {
    const before = this.connections(tunnelId);
    const had = before.length > 0;
    if (had && connections.length === 0) {
      this.#lagging.set(tunnelId, { connections: before, untilMs: Date.now() + this.#connectionLagMs });
    }
    this.#connections.set(tunnelId, connections);
    const has = connections.length > 0;
    if (had === has) return;
    this.update((state) => {
      const tunnel = state.tunnels[tunnelId];
      if (tunnel === undefined) return;
      if (has) tunnel.conns_active_at = new Date().toISOString();
      tunnel.conns_inactive_at = has ? null : new Date().toISOString();
    });
    const tunnel = this.state.tunnels[tunnelId];
    if (tunnel === undefined || tunnel.deleted_at !== null) return;
    const status = !has ? "down" : connections.length >= 4 ? "healthy" : "degraded";
    const at = new Date();
    this.#send(tunnelMails(Object.values(this.state.notificationPolicies), tunnel, status, at), at);
  }

  onChange(listener: (tunnelId: string | undefined) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
