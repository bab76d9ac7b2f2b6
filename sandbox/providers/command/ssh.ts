/** SSH sessions as pulumi-command 1.2.1 opens them (provider/pkg/provider/remote/connection.go). */
import { once } from "node:events";
import { connect as connectSocket } from "node:net";
import type { Duplex } from "node:stream";
import ssh2, { type Client, type ConnectConfig } from "ssh2";
import { pause } from "../plugin/clock.ts";
import type { Call } from "../plugin/definition.ts";
import { type Fields, number, object, string } from "../plugin/fields.ts";
import { isProps, type Props, type Value } from "../plugin/values.ts";
import { dialTcp, type HostKey, handshake } from "./handshake.ts";

const hostFields: Fields = {
  agentSocketPath: string(),
  dialErrorLimit: number(),
  host: string({ required: true }),
  hostKey: string(),
  password: string({ secret: true }),
  perDialTimeout: number(),
  port: number(),
  privateKey: string({ secret: true }),
  privateKeyPassword: string({ secret: true }),
  user: string(),
};
/** The `connection` input, secret as a whole as upstream. */
export const connectionField = object({ ...hostFields, proxy: object(hostFields) }, { required: true, secret: true });

const optionalText = (value: Value | undefined) => (typeof value === "string" && value !== "" ? value : undefined);
const numberOr = (value: Value | undefined, standard: number) => (typeof value === "number" ? value : standard);

/**
 * The key of a line as in `authorized_keys` or `known_hosts` (`[host] ssh-ed25519 AAAA… [comment]`).
 * @throws when there is none
 */
export function parseHostKey(line: string): HostKey {
  const match = /(?:^|\s)((?:ssh|ecdsa|sk)-\S+)\s+([A-Za-z0-9+/]+=*)(?:\s|$)/.exec(line);
  const parsed = match ? ssh2.utils.parseKey(`${match[1]} ${match[2]}`) : undefined;
  if (!match?.[1] || !parsed || parsed instanceof Error) {
    throw new Error(
      `connection.hostKey ${JSON.stringify(line)} is not a public key: write it like "ssh-ed25519 AAAA…", as ssh-keyscan prints it`,
    );
  }
  return { type: match[1], key: parsed.getPublicSSH() };
}

/** An agent that does not answer is fatal, even with another authentication method. */
async function checkAgent(path: string): Promise<void> {
  const socket = connectSocket(path);
  try {
    await once(socket, "connect");
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`the SSH agent at ${path} does not answer (${why}): start it, or unset SSH_AUTH_SOCK`, {
      cause: error,
    });
  } finally {
    socket.destroy();
  }
}

/** ssh2's settings for one host. @throws on an unreadable key or a dead agent, which no retry fixes */
async function configOf(host: Props): Promise<ConnectConfig> {
  const password = optionalText(host.password);
  const config: ConnectConfig = {
    host: String(host.host),
    port: numberOr(host.port, 22),
    username: optionalText(host.user) ?? "root",
    readyTimeout: 0, // upstream's limit covers the TCP connection only
    ...(password && { password, tryKeyboard: true }),
  };
  const privateKey = optionalText(host.privateKey);
  if (privateKey) {
    const passphrase = optionalText(host.privateKeyPassword);
    const parsed = ssh2.utils.parseKey(privateKey, passphrase);
    if (parsed instanceof Error)
      throw new Error(`connection.privateKey cannot be read: ${parsed.message}`, { cause: parsed });
    Object.assign(config, { privateKey, ...(passphrase && { passphrase }) });
  }
  // Go's client tries one publickey method: with a private key the agent is dialled but never used.
  const agent = optionalText(host.agentSocketPath) ?? optionalText(process.env.SSH_AUTH_SOCK);
  if (agent) {
    await checkAgent(agent);
    if (!privateKey) config.agent = agent;
  }
  return config;
}

const dialSeconds = 15;
const firstPauseMs = 100;
const longestPauseMs = 5_000;

/** Retries until it works: one attempt more than `limit` (-1: without end). Cancelling ends the pauses only. */
async function withRetries<T>(call: Call<unknown>, what: string, limit: number, attempt: () => Promise<T>): Promise<T> {
  for (let tries = 0, ms = firstPauseMs; ; tries++, ms = Math.min(ms * 1.5, longestPauseMs)) {
    call.signal.throwIfAborted();
    try {
      return await attempt();
    } catch (error) {
      call.signal.throwIfAborted();
      const message = error instanceof Error ? error.message : String(error);
      if (limit >= 0 && tries + 1 > limit)
        throw new Error(`after ${tries} failed attempts: ${message}`, { cause: error });
      call.log("info", `${what} ${tries + 1}/${limit < 0 ? "inf" : limit} failed: retrying`, true);
      await pause(ms, call.signal);
    }
  }
}

/** A TCP connection within `perDialTimeout`, and the handshake over it, which has no time limit. */
async function dial(host: Props, config: ConnectConfig, hostKey: HostKey | undefined): Promise<Client> {
  const limitMs = numberOr(host.perDialTimeout, dialSeconds) * 1000;
  return handshake(config, hostKey, await dialTcp(String(config.host), config.port ?? 22, limitMs));
}

function forward(proxy: Client, host: string, port: number): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    proxy.forwardOut("127.0.0.1", 0, host, port, (error, stream) => (error ? reject(error) : resolve(stream)));
  });
}

/** The session over a jump host: one forwarded connection, over which every attempt repeats the handshake. */
async function dialThrough(call: Call<unknown>, proxy: Props, connection: Props, opened: Client[]): Promise<Client> {
  const [proxyConfig, config] = [await configOf(proxy), await configOf(connection)];
  const [proxyKey, hostKey] = [pinnedKey(proxy), pinnedKey(connection)];
  try {
    const limit = numberOr(proxy.dialErrorLimit, 10);
    const jump = await withRetries(call, "Dial proxy", limit, () => dial(proxy, proxyConfig, proxyKey));
    opened.push(jump);
    const stream = await forward(jump, String(config.host), config.port ?? 22);
    return await withRetries(call, "Dial from proxy", numberOr(connection.dialErrorLimit, 10), () =>
      handshake(config, hostKey, stream),
    );
  } catch (error) {
    throw new Error(`proxy: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

const pinnedKey = (host: Props): HostKey | undefined => {
  const line = optionalText(host.hostKey);
  return line === undefined ? undefined : parseHostKey(line);
};

/**
 * Opens a connection, `use`s it and closes it. The host key is checked only when `hostKey` is given; user, port, attempts and
 * seconds per TCP connection default to root, 22, 10 and 15. The engine's cancellation and `customTimeouts` reach the pauses
 * between attempts only: neither a handshake nor a running command is cut.
 * @throws after the last failed attempt, on a wrong host key too, and when `use` does
 */
export async function withSession<T>(
  call: Call<unknown>,
  connection: Value | undefined,
  use: (client: Client) => Promise<T>,
): Promise<T> {
  if (!isProps(connection)) throw new Error("connection is not an object: give at least its host");
  const opened: Client[] = [];
  try {
    let client: Client;
    if (isProps(connection.proxy)) client = await dialThrough(call, connection.proxy, connection, opened);
    else {
      const [config, hostKey] = [await configOf(connection), pinnedKey(connection)];
      const limit = numberOr(connection.dialErrorLimit, 10);
      client = await withRetries(call, "Dial", limit, () => dial(connection, config, hostKey));
    }
    opened.push(client);
    return await use(client);
  } finally {
    for (const client of opened.toReversed()) client.end();
  }
}
