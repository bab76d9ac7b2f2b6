/**
 * The Mac's sshd: exec and sftp for the administrator's key and the keys of every account's `authorized_keys`. As strict
 * as macOS': six authentication attempts, host keys of ed25519, ECDSA and RSA with SHA-2.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import ssh2, { type AuthContext, type Connection, type ParsedKey, type Session } from "ssh2";
import type { Log } from "../log.ts";
import { listenOn } from "../machine/ports.ts";
import { type AuthorizedKey, authorizedKeys } from "./authorized-keys.ts";
import type { SessionProcesses } from "./exec.ts";
import { serveSftp } from "./sftp.ts";
import type { SftpOptions } from "./sftp-records.ts";

/** The accepted keys and the environment of sessions. */
export interface SshServerOptions {
  host: string;
  port: number;
  /** Private host keys, OpenSSH's format or PEM. */
  hostKeys: string[];
  /** Accepted for the administrator's account, besides its `authorized_keys`. */
  authorizedKey: ParsedKey;
  /** Environment of every command; LANG and LC_* may be set by the client (AcceptEnv of macOS). */
  environment: Record<string, string>;
  processes: SessionProcesses;
  sftp: SftpOptions;
  log: Log;
}

/** Not `ssh-rsa`, which is RSA with SHA-1. */
const hostKeyAlgorithms = ["ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256"] as const;
/** sshd_config(5), MaxAuthTries: the connection is closed after this many failures. */
const maxAuthTries = 6;

/** The listening server. */
export interface SshServer {
  port: number;
  /** Stops listening and cuts every connection at once. Commands go on: see `SessionProcesses`. */
  close(): Promise<void>;
}

/** Listens. @throws Error when the port is taken */
export async function startSshServer(options: SshServerOptions): Promise<SshServer> {
  const { hostKeys } = options;
  const algorithms = { serverHostKey: [...hostKeyAlgorithms] }; // their order
  const ssh = new ssh2.Server({ hostKeys, algorithms }, (connection) => serve(connection, options));
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.setNoDelay(true);
    ssh.injectSocket(socket);
  });
  const port = await listenOn(server, options.port, "the Mac's SSH server", options.host);
  return {
    port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** The authenticated user and the restrictions of the key. */
interface SignedIn {
  user: string;
  forced?: string | undefined;
}

/** One list of algorithms of ssh2's offer. */
interface List {
  array: string[];
}
/** The internals of ssh2's server that hold its offer, which is sent right after the `connection` event. */
interface Offering {
  _protocol: { _offer: { lists: { kex: List; serverHostKey: List; cs: Lists; sc: Lists }; constructor: unknown } };
}
type Lists = Record<"cipher" | "mac" | "compress" | "lang", List>;

/** Removes RSA with SHA-1 from the offer: ssh2 adds it for an RSA key regardless of its algorithms. */
function withoutSha1(connection: Connection): void {
  const protocol = (connection as unknown as Offering)._protocol;
  const { lists, constructor: KexInit } = protocol._offer;
  const arrays = (of: Lists) => Object.fromEntries(Object.entries(of).map(([name, list]) => [name, list.array]));
  protocol._offer = Reflect.construct(KexInit as new () => Offering["_protocol"]["_offer"], [
    {
      kex: lists.kex.array,
      serverHostKey: lists.serverHostKey.array.filter((name) => name !== "ssh-rsa"),
      cs: arrays(lists.cs),
      sc: arrays(lists.sc),
    },
  ]) as Offering["_protocol"]["_offer"];
}

function serve(connection: Connection, options: SshServerOptions): void {
  withoutSha1(connection);
  let signedIn: SignedIn | undefined;
  let failures = 0;
  connection.on("error", () => {}); // a client that went away; its channels close
  connection.on("authentication", (context) => {
    signedIn = signIn(context, options);
    if (signedIn) return context.accept();
    if (context.method !== "none") {
      failures++;
      options.log(`sshd: ${context.username} is refused by ${context.method}`);
    }
    if (failures < maxAuthTries) return context.reject(["publickey"]);
    options.log(`sshd: ${context.username}: too many authentication failures`);
    connection.end();
  });
  connection.on("session", (accept) => {
    if (signedIn) serveSession(accept(), options, signedIn);
  });
}

/** publickey only. The key is offered first without a signature (RFC 4252, section 7), then with one. */
function signIn(context: AuthContext, { authorizedKey, sftp }: SshServerOptions): SignedIn | undefined {
  if (context.method !== "publickey") return undefined;
  const { username, key, signature, blob, hashAlgo } = context;
  if (sftp.directory.get("Users", username) === undefined || username.includes("/")) return undefined;
  const own: AuthorizedKey[] = username === sftp.user ? [{ key: authorizedKey.getPublicSSH() }] : [];
  const known = [...own, ...authorizedKeys(sftp.paths.root, username)].find((one) => isSame(one.key, key.data));
  if (!known) return undefined;
  const parsed = ssh2.utils.parseKey(`${key.algo} ${key.data.toString("base64")}`);
  if (
    signature !== undefined &&
    (parsed instanceof Error || parsed.verify(blob ?? Buffer.alloc(0), signature, hashAlgo) !== true)
  ) {
    return undefined;
  }
  return { user: username, forced: known.forced };
}

/** Constant-time comparison. */
function isSame(one: Buffer, other: Buffer): boolean {
  const digest = (value: Buffer): Buffer => createHash("sha256").update(value).digest();
  return timingSafeEqual(digest(one), digest(other));
}

function serveSession(session: Session, options: SshServerOptions, { user, forced }: SignedIn): void {
  const { paths } = options.sftp;
  const home = join(paths.root, "Users", user);
  const names = { HOME: home, USER: user, LOGNAME: user, SLM_SANDBOX_USER: user };
  const environment: Record<string, string> = { ...options.environment, ...names };
  session.on("env", (accept, reject, { key, val }) => {
    if (key === "LANG" || /^LC_[A-Z]+$/.test(key)) {
      environment[key] = val;
      accept?.();
    } else reject?.();
  });
  session.on("exec", (accept, _reject, { command }) => {
    const told = forced === undefined ? environment : { ...environment, SSH_ORIGINAL_COMMAND: command };
    options.processes.run(accept(), { command: forced ?? command, environment: told, cwd: home });
  });
  session.on("sftp", (accept, reject) => {
    if (forced === undefined && user === options.sftp.user) serveSftp(accept(), options.sftp);
    else reject?.();
  });
}
