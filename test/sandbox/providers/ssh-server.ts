/** A real SSH server on loopback that runs commands with /bin/sh and serves a folder over SFTP. */
import { spawn } from "node:child_process";
import { closeSync, fstatSync, ftruncateSync, mkdirSync, openSync, type Stats, statSync, writeSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import ssh2, { type Attributes, type Connection, type Session, type SFTPWrapper } from "ssh2";
import { newKey } from "../../../sandbox/mac/keys.ts";

export interface SshServer {
  port: number;
  hostKey: string;
  privateKey: string;
  /** Users that signed in, and commands that ran. */
  users: string[];
  commands: string[];
  /** Variables the server takes, as `AcceptEnv` would. */
  acceptEnv: Set<string>;
  /** Cuts every connection, as a network does. */
  drop(): void;
  close(): Promise<void>;
}

const { STATUS_CODE, OPEN_MODE } = ssh2.utils.sftp;

function attributes(stats: Stats): Attributes {
  return { mode: stats.mode, uid: stats.uid, gid: stats.gid, size: stats.size, atime: 0, mtime: 0 };
}

function serveSftp(sftp: SFTPWrapper, root: string): void {
  const open = new Map<number, number>();
  const file = (handle: Buffer) => open.get(handle.readUInt32BE()) ?? -1;
  const reply = (id: number, work: () => void) => {
    try {
      work();
      sftp.status(id, STATUS_CODE.OK);
    } catch {
      sftp.status(id, STATUS_CODE.FAILURE);
    }
  };
  const stat = (id: number, path: string) => {
    const found = statSync(join(root, path), { throwIfNoEntry: false });
    if (found) sftp.attrs(id, attributes(found));
    else sftp.status(id, STATUS_CODE.NO_SUCH_FILE);
  };
  sftp.on("STAT", stat).on("LSTAT", stat);
  sftp.on("OPEN", (id, path, flags) => {
    try {
      const descriptor = openSync(join(root, path), flags & OPEN_MODE.WRITE ? "a+" : "r");
      closeSync(descriptor);
      const writable = openSync(join(root, path), "r+");
      if (flags & OPEN_MODE.TRUNC) ftruncateSync(writable);
      fstatSync(writable);
      const handle = Buffer.alloc(4);
      handle.writeUInt32BE(writable);
      open.set(writable, writable);
      sftp.handle(id, handle);
    } catch {
      sftp.status(id, STATUS_CODE.FAILURE);
    }
  });
  sftp.on("WRITE", (id, handle, offset, data) =>
    reply(id, () => void writeSync(file(handle), data, 0, data.length, offset)),
  );
  sftp.on("CLOSE", (id, handle) => reply(id, () => closeSync(file(handle))));
  sftp.on("MKDIR", (id, path) => reply(id, () => void mkdirSync(join(root, path))));
}

function serveSession(session: Session, state: SshServer, root: string, forced?: string): void {
  const env: Record<string, string> = { PATH: process.env.PATH ?? "" };
  session.on("env", (accept, reject, info) => {
    // ssh2's types miss that both are there only when the client asked for an answer.
    const answer = state.acceptEnv.has(info.key) ? accept : reject;
    if (answer === accept) env[info.key] = String((info as { val?: string; value?: string }).val ?? "");
    (answer as (() => void) | undefined)?.();
  });
  session.on("exec", (accept, _reject, { command }) => {
    state.commands.push(command);
    const stream = accept();
    const told = forced === undefined ? env : { ...env, SSH_ORIGINAL_COMMAND: command };
    const child = spawn("/bin/sh", ["-c", forced ?? command], { env: told, cwd: root });
    child.stdin.on("error", () => {});
    stream.pipe(child.stdin);
    child.stdout.pipe(stream, { end: false });
    child.stderr.pipe(stream.stderr, { end: false });
    stream.on("close", () => child.kill("SIGKILL"));
    child.on("close", (code) => {
      stream.exit(code ?? 137);
      stream.end();
    });
  });
  session.on("sftp", (accept) => serveSftp(accept(), root));
}

/**
 * Starts one; users sign in with `privateKey` or the password `letmein`.
 * @param options.publicKey is accepted instead of a new one; `privateKey` is then unused
 * @param options.forced runs in place of every command, as `command="…"` in `authorized_keys` does
 */
export async function startSshServer(
  root: string,
  options: { publicKey?: string; forced?: string } = {},
): Promise<SshServer> {
  const host = newKey(""); // about one in several hundred keys of ssh2's generator is unreadable
  const user = newKey("");
  const allowed = ssh2.utils.parseKey(options.publicKey ?? user.public);
  if (allowed instanceof Error) throw allowed;
  const clients = new Set<Connection>();
  const state: SshServer = {
    port: 0,
    hostKey: host.public.trim(),
    privateKey: user.private,
    users: [],
    commands: [],
    acceptEnv: new Set(),
    drop: () => {
      for (const client of clients) client.end();
    },
    close: () =>
      new Promise((resolve) => {
        for (const client of clients) client.end();
        server.close(() => resolve());
      }),
  };
  const server = new ssh2.Server({ hostKeys: [host.private] }, (client) => {
    clients.add(client);
    client.on("error", () => {});
    client.on("close", () => clients.delete(client));
    client.on("authentication", (context) => {
      if (context.method === "password" && context.password === "letmein") context.accept();
      else if (context.method === "publickey" && context.key.data.equals(allowed.getPublicSSH())) context.accept();
      else return context.reject(["publickey", "password"]);
      if (context.method === "password" || context.signature) state.users.push(context.username);
    });
    client.on("session", (accept) => serveSession(accept(), state, root, options.forced));
    client.on("tcpip", (accept, _reject, info) => {
      void import("node:net").then(({ connect }) => {
        const stream = accept();
        const socket = connect(info.destPort, info.destIP);
        socket.on("error", () => stream.end());
        stream.pipe(socket).pipe(stream);
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  state.port = (server.address() as AddressInfo).port;
  return state;
}
