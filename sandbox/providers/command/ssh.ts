/** SSH sessions as pulumi-command 1.2.1 opens them (provider/pkg/provider/remote/connection.go). */
import { once } from "node:events";
import { connect as connectSocket } from "node:net";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import ssh2, { type Client, type ConnectConfig, type ServerHostKeyAlgorithm } from "ssh2";
import type { Call } from "../plugin/definition.ts";
import { type Fields, number, object, string } from "../plugin/fields.ts";
import { isProps, type Props, type Value } from "../plugin/values.ts";

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
export function parseHostKey(line: string): { type: string; key: Buffer } {
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
    readyTimeout: numberOr(host.perDialTimeout, 15) * 1000,
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

/** One attempt. @param over a stream to the host instead of a TCP connection of its own */
function dial(config: ConnectConfig, hostKey: string | undefined, signal: AbortSignal, over?: Duplex): Promise<Client> {
  const expected = hostKey === undefined ? undefined : parseHostKey(hostKey);
  return new Promise((resolve, reject) => {
    const client = new ssh2.Client();
    let mismatch: Error | undefined;
    const abort = () => client.destroy();
    const closed = () => settle(mismatch ?? new Error("the connection closed before the SSH session was there"));
    const settle = (failure?: Error) => {
      signal.removeEventListener("abort", abort);
      client.removeListener("close", closed);
      if (!failure) return resolve(client);
      client.destroy();
      reject(failure);
    };
    // The handshake is many small packets: without this each waits for a delayed acknowledgement.
    client.once("connect", () => client.setNoDelay(true));
    client.once("ready", () => {
      client.removeListener("error", failed);
      // An error without a listener would end the process; users of the session see `close`.
      client.on("error", () => {});
      settle();
    });
    const failed = (error: Error) => settle(mismatch ?? error);
    client.on("error", failed);
    client.once("close", closed);
    client.on("keyboard-interactive", (_name, _instructions, _language, prompts, answer) =>
      answer(prompts.map(() => String(config.password ?? ""))),
    );
    signal.addEventListener("abort", abort, { once: true });
    const pinned: ConnectConfig = expected
      ? {
          // Go's client requests exactly the pinned key type; `ssh-rsa` is RSA with SHA-1.
          algorithms: { serverHostKey: [expected.type as ServerHostKeyAlgorithm] },
          hostVerifier: (key: Buffer) => {
            if (key.equals(expected.key)) return true;
            mismatch = new Error(`ssh: host key mismatch: ${config.host} did not show the key in connection.hostKey`);
            return false;
          },
        }
      : {};
    client.connect({ ...config, ...pinned, ...(over && { sock: over }) });
  });
}

/** Dials until it works: one attempt more than `limit` (-1: without end), pausing 0.1 s at first and up to 5 s. */
async function withRetries<T>(call: Call<unknown>, what: string, limit: number, attempt: () => Promise<T>): Promise<T> {
  for (let tries = 0, pause = 100; ; tries++, pause = Math.min(pause * 1.5, 5000)) {
    call.signal.throwIfAborted();
    try {
      return await attempt();
    } catch (error) {
      call.signal.throwIfAborted();
      const message = error instanceof Error ? error.message : String(error);
      if (limit >= 0 && tries + 1 > limit)
        throw new Error(`after ${tries} failed attempts: ${message}`, { cause: error });
      call.log("info", `${what} ${tries + 1}/${limit < 0 ? "inf" : limit} failed: retrying`, true);
      await sleep(pause, undefined, { signal: call.signal });
    }
  }
}

function forward(proxy: Client, host: string, port: number): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    proxy.forwardOut("127.0.0.1", 0, host, port, (error, stream) => (error ? reject(error) : resolve(stream)));
  });
}

/**
 * Opens a session, `use`s it and closes it again, whatever happens. The host key is checked only when `hostKey` is given;
 * user, port, attempts and time an attempt default to root, 22, 10 and 15 s.
 * @throws after the last failed attempt, on a wrong host key too, and when `use` does
 */
export async function withSession<T>(
  call: Call<unknown>,
  connection: Value | undefined,
  use: (client: Client) => Promise<T>,
): Promise<T> {
  if (!isProps(connection)) throw new Error("connection is not an object: give at least its host");
  const config = await configOf(connection);
  const hostKey = optionalText(connection.hostKey);
  const limit = numberOr(connection.dialErrorLimit, 10);
  const opened: Client[] = [];
  const closeAll = () => {
    for (const client of opened.toReversed()) client.destroy();
  };
  call.signal.addEventListener("abort", closeAll, { once: true });
  try {
    let client: Client;
    if (isProps(connection.proxy)) {
      const { proxy } = connection;
      const proxyConfig = await configOf(proxy);
      const jump = await withRetries(call, "Dial proxy", numberOr(proxy.dialErrorLimit, 10), () =>
        dial(proxyConfig, optionalText(proxy.hostKey), call.signal),
      );
      opened.push(jump);
      client = await withRetries(call, "Dial from proxy", limit, async () =>
        dial(config, hostKey, call.signal, await forward(jump, String(config.host), config.port ?? 22)),
      );
    } else client = await withRetries(call, "Dial", limit, () => dial(config, hostKey, call.signal));
    opened.push(client);
    return await use(client);
  } finally {
    call.signal.removeEventListener("abort", closeAll);
    for (const client of opened.toReversed()) client.end();
  }
}
