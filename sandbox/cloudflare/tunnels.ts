/**
 * Tunnels, their configuration, token and connections.
 * @see https://developers.cloudflare.com/api/resources/zero_trust/subresources/tunnels/
 */
import { randomBytes, randomUUID } from "node:crypto";
import { z } from "zod";
import type { CloudflareAccount } from "./account.ts";
import type { ConnectorConnection } from "./edge-view.ts";
import { ApiError, checkBody, conflict, invalidBodyStyles, notFound } from "./errors.ts";
import { type Call, canRead, canWrite, keepEqual, now, optional, page, type Route, textFilters } from "./route.ts";
import type { StoredTunnel } from "./state.ts";
import { tunnelConfigurationSchema } from "./tunnel-configuration.ts";

const group = "Cloudflare Tunnel";

const secretSchema = z
  .base64()
  .refine((secret) => Buffer.from(secret, "base64").length >= 32, "expected base64 of at least 32 bytes");

const createSchema = z.strictObject({
  name: z.string().min(1).max(255),
  config_src: optional(z.enum(["local", "cloudflare"])),
  tunnel_secret: optional(secretSchema),
});

const editSchema = z.strictObject({
  name: optional(z.string().min(1).max(255)),
  tunnel_secret: optional(secretSchema),
});

/**
 * A tunnel's status. Four connections, cloudflared's default, are healthy.
 * @see
 * https://developers.cloudflare.com/cloudflare-one/networks/connectors/cloudflare-tunnel/troubleshoot-tunnels/common-errors/
 */
function statusOf(tunnel: StoredTunnel, connections: ConnectorConnection[]): string {
  if (connections.length === 0) return tunnel.conns_active_at === null ? "inactive" : "down";
  return connections.length >= 4 && !connections.some((one) => one.isPendingReconnect) ? "healthy" : "degraded";
}

function connectionWire(connection: ConnectorConnection, index: number): Record<string, unknown> {
  // The API gives each connection an id; the edge identifies them by connector and index.
  const id = `${connection.connectorId.slice(0, -4)}${index.toString(16).padStart(4, "0")}`;
  return {
    id,
    uuid: id,
    client_id: connection.connectorId,
    client_version: connection.clientVersion,
    colo_name: connection.coloName,
    is_pending_reconnect: connection.isPendingReconnect,
    opened_at: connection.openedAt,
    origin_ip: connection.originIp,
  };
}

function wire(account: CloudflareAccount, tunnel: StoredTunnel): Record<string, unknown> {
  const connections = account.connections(tunnel.id);
  return {
    id: tunnel.id,
    account_tag: account.accountId,
    name: tunnel.name,
    config_src: tunnel.config_src,
    remote_config: tunnel.config_src === "cloudflare",
    tun_type: "cfd_tunnel",
    status: tunnel.deleted_at === null ? statusOf(tunnel, connections) : "inactive",
    connections: connections.map(connectionWire),
    conns_active_at: connections.length > 0 ? tunnel.conns_active_at : null,
    conns_inactive_at: tunnel.conns_inactive_at,
    created_at: tunnel.created_at,
    deleted_at: tunnel.deleted_at,
    metadata: {},
  };
}

const unknownTunnel = ({ params }: Call) =>
  notFound(1003, `Tunnel ${params.id} not found: it was never created in this account, or it was deleted`);

/** Reading a tunnel shows a deleted one too, with `deleted_at`: the deletion is soft. @throws ApiError 404 */
function findEvenIfDeleted(call: Call): StoredTunnel {
  const tunnel = call.account.state.tunnels[call.params.id ?? ""];
  if (tunnel === undefined) throw unknownTunnel(call);
  return tunnel;
}

/** The tunnel of the call. @throws ApiError 404 */
function find(call: Call): StoredTunnel {
  const tunnel = findEvenIfDeleted(call);
  if (tunnel.deleted_at !== null) throw unknownTunnel(call);
  return tunnel;
}

function checkName(account: CloudflareAccount, name: string, except?: string): void {
  const taken = Object.values(account.state.tunnels).some(
    (other) => other.name === name && other.deleted_at === null && other.id !== except,
  );
  if (taken) {
    throw conflict(1013, `You already have a tunnel with this name (${name}): delete it or take another name`);
  }
}

/** One entry per connector with its connections, the format of `…/connections`. */
function connectors(account: CloudflareAccount, tunnel: StoredTunnel): Record<string, unknown>[] {
  const connections = account.countedConnections(tunnel.id);
  return [...new Set(connections.map((one) => one.connectorId))].map((id) => {
    const own = connections.filter((one) => one.connectorId === id);
    return {
      id,
      arch: own[0]?.arch,
      version: own[0]?.clientVersion,
      config_version: account.state.configurations[tunnel.id]?.version ?? 0,
      features: [],
      run_at: own.map((one) => one.openedAt).sort()[0],
      conns: own.map((one) => connectionWire(one, connections.indexOf(one))),
    };
  });
}

function list({ account, query }: Call) {
  const deleted = query.get("is_deleted");
  const tunnels = Object.values(account.state.tunnels)
    .filter((tunnel) => deleted === null || (tunnel.deleted_at !== null) === (deleted === "true"))
    .filter((tunnel) => textFilters(query, "name", tunnel.name).every(Boolean))
    .filter((tunnel) => tunnel.name.startsWith(query.get("include_prefix") ?? ""))
    .filter((tunnel) => !query.get("exclude_prefix") || !tunnel.name.startsWith(query.get("exclude_prefix") ?? ""))
    .map((tunnel) => wire(account, tunnel));
  return page(keepEqual(tunnels, query, { uuid: (tunnel) => tunnel.id, status: (tunnel) => tunnel.status }), query);
}

function create({ account, body }: Call) {
  const sent = checkBody(createSchema, body, invalidBodyStyles.tunnel);
  checkName(account, sent.name);
  const tunnel: StoredTunnel = {
    id: randomUUID(),
    name: sent.name,
    config_src: sent.config_src ?? "local",
    tunnel_secret: sent.tunnel_secret ?? randomBytes(32).toString("base64"),
    created_at: now(),
    deleted_at: null,
    conns_active_at: null,
    conns_inactive_at: null,
  };
  account.update(
    (state) => {
      state.tunnels[tunnel.id] = tunnel;
    },
    { tunnel: tunnel.id },
  );
  return { result: wire(account, tunnel) };
}

function edit(call: Call) {
  const { account, body } = call;
  const tunnel = find(call);
  const sent = checkBody(editSchema, body, invalidBodyStyles.tunnel);
  if (sent.name !== undefined) checkName(account, sent.name, tunnel.id);
  account.update(
    () => {
      tunnel.name = sent.name ?? tunnel.name;
      tunnel.tunnel_secret = sent.tunnel_secret ?? tunnel.tunnel_secret;
    },
    { tunnel: tunnel.id },
  );
  return { result: wire(account, tunnel) };
}

function remove(call: Call) {
  const { account } = call;
  const tunnel = find(call);
  if (account.countedConnections(tunnel.id).length > 0) {
    throw new ApiError(400, [
      {
        code: 1022,
        message: `Cannot delete tunnel because it has active connections (${account.countedConnections(tunnel.id).length}): stop its connectors first`,
      },
    ]);
  }
  account.update(
    () => {
      tunnel.deleted_at = now();
    },
    { tunnel: tunnel.id },
  );
  return { result: wire(account, tunnel) };
}

function dropConnections(call: Call) {
  const tunnel = find(call);
  const client = call.query.get("client_id");
  const left = call.account.connections(tunnel.id).filter((one) => client !== null && one.connectorId !== client);
  call.account.setConnections(tunnel.id, left);
  return { result: null };
}

function putConfiguration(call: Call) {
  const { account, body } = call;
  const tunnel = find(call);
  const { config } = checkBody(tunnelConfigurationSchema, body, { code: 1056, prefix: "Bad Configuration: " });
  account.update(
    (state) => {
      const version = (state.configurations[tunnel.id]?.version ?? 0) + 1;
      state.configurations[tunnel.id] = { version, created_at: now(), config };
    },
    { tunnel: tunnel.id },
  );
  return getConfiguration(call);
}

function getConfiguration(call: Call) {
  const { account } = call;
  const tunnel = find(call);
  const stored = account.state.configurations[tunnel.id];
  if (stored === undefined) throw notFound(1055, `Configuration for tunnel ${tunnel.id} not found: PUT one first`);
  const source = tunnel.config_src === "cloudflare" ? "cloudflare" : "local";
  return { result: { account_id: account.accountId, tunnel_id: tunnel.id, source, ...stored } };
}

function token(call: Call) {
  const tunnel = find(call);
  const content = { a: call.account.accountId, t: tunnel.id, s: tunnel.tunnel_secret };
  return { result: Buffer.from(JSON.stringify(content)).toString("base64") };
}

const one = "/accounts/:account/cfd_tunnel/:id";

/** Routes of tunnels. The token needs write permission, because its holder can serve the tunnel. */
export const tunnelRoutes: Route[] = [
  { method: "GET", path: "/accounts/:account/cfd_tunnel", permissions: canRead(group), handle: list },
  { method: "POST", path: "/accounts/:account/cfd_tunnel", permissions: canWrite(group), handle: create },
  {
    method: "GET",
    path: one,
    permissions: canRead(group),
    handle: (call) => ({ result: wire(call.account, findEvenIfDeleted(call)) }),
  },
  { method: "PATCH", path: one, permissions: canWrite(group), handle: edit },
  { method: "DELETE", path: one, permissions: canWrite(group), handle: remove },
  { method: "GET", path: `${one}/token`, permissions: canWrite(group), handle: token },
  {
    method: "GET",
    path: `${one}/connections`,
    permissions: canRead(group),
    handle: (call) => ({ result: connectors(call.account, find(call)) }),
  },
  { method: "DELETE", path: `${one}/connections`, permissions: canWrite(group), handle: dropConnections },
  { method: "GET", path: `${one}/configurations`, permissions: canRead(group), handle: getConfiguration },
  { method: "PUT", path: `${one}/configurations`, permissions: canWrite(group), handle: putConfiguration },
];
