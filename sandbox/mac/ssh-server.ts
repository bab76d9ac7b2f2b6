/** The Mac's sshd: one account, one key, exec and sftp. */
import { createHash, timingSafeEqual } from "node:crypto";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import ssh2, { type AuthContext, type Connection, type ParsedKey, type Session } from "ssh2";
import type { Log } from "../log.ts";
import { listenOn } from "../ports.ts";
import type { SessionProcesses } from "./exec.ts";
import { serveSftp } from "./sftp.ts";
import type { SftpOptions } from "./sftp-records.ts";

/** What the server lets in, and what a session is given. */
export interface SshServerOptions {
  host: string;
  port: number;
  /** Private host key, OpenSSH's format. */
  hostKey: string;
  /** The only key that is let in. */
  authorizedKey: ParsedKey;
  /** Environment of every command; LANG and LC_* may be set by the client (AcceptEnv of macOS). */
  environment: Record<string, string>;
  processes: SessionProcesses;
  sftp: SftpOptions;
  log: Log;
}

/** The listening server. */
export interface SshServer {
  port: number;
  /** Stops listening and cuts every connection at once. Commands go on: see `SessionProcesses`. */
  close(): Promise<void>;
}

/** Listens. @throws Error when the port is taken */
export async function startSshServer(options: SshServerOptions): Promise<SshServer> {
  const ssh = new ssh2.Server({ hostKeys: [options.hostKey] }, (connection) => serve(connection, options));
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

function serve(connection: Connection, options: SshServerOptions): void {
  connection.on("error", () => {}); // a client that went away; its channels close
  connection.on("authentication", (context) => authenticate(context, options));
  connection.on("session", (accept) => serveSession(accept(), options));
}

/** publickey only. The key is offered first without a signature (RFC 4252, section 7), then with one. */
function authenticate(context: AuthContext, { authorizedKey, sftp, log }: SshServerOptions): void {
  if (isLetIn(context, authorizedKey, sftp.user)) {
    context.accept();
    return;
  }
  if (context.method !== "none") log(`sshd: ${context.username} is not let in by ${context.method}`);
  context.reject(["publickey"]);
}

function isLetIn(context: AuthContext, authorizedKey: ParsedKey, user: string): boolean {
  if (context.method !== "publickey") return false;
  const isUser = isSame(Buffer.from(context.username), Buffer.from(user));
  const isKey = isSame(context.key.data, authorizedKey.getPublicSSH());
  if (!isUser || !isKey) return false;
  const { signature, blob, hashAlgo } = context;
  if (signature === undefined) return true;
  return blob !== undefined && authorizedKey.verify(blob, signature, hashAlgo) === true;
}

/** Takes the same time wherever two values differ. */
function isSame(one: Buffer, other: Buffer): boolean {
  const digest = (value: Buffer): Buffer => createHash("sha256").update(value).digest();
  return timingSafeEqual(digest(one), digest(other));
}

function serveSession(session: Session, options: SshServerOptions): void {
  const environment = { ...options.environment };
  const { paths, user } = options.sftp;
  session.on("env", (accept, reject, { key, val }) => {
    if (key === "LANG" || /^LC_[A-Z]+$/.test(key)) {
      environment[key] = val;
      accept?.();
    } else reject?.();
  });
  session.on("exec", (accept, _reject, { command }) => {
    options.processes.run(accept(), { command, environment, cwd: join(paths.root, "Users", user) });
  });
  session.on("sftp", (accept) => serveSftp(accept(), options.sftp));
}
