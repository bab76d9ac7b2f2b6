/**
 * An SSH agent on a Unix socket that offers the key `readAuth` chose, for programs that support agents only, such as
 * @pulumi/command's provider. Not ssh2's AgentProtocol: it loses stream framing on unknown requests, and OpenSSH's ssh sends
 * one (`session-bind@openssh.com`) first. Protocol: draft-ietf-sshm-ssh-agent, sections 3 and 5.
 */
import { chmod, mkdir, rm } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { dirname } from "node:path";
import ssh2, { type ParsedKey } from "ssh2";
import type { Auth } from "./auth.ts";
import { noKey } from "./session-error.ts";

const failure = Buffer.from([5]);
const requestIdentities = 11;
const identitiesAnswer = 12;
const signRequest = 13;
const signResponse = 14;
/** Flags of a sign request: RSA with SHA-2 (RFC 8332). */
const rsaHashes = [
  { flag: 4, hash: "sha512", type: "rsa-sha2-512" },
  { flag: 2, hash: "sha256", type: "rsa-sha2-256" },
] as const;
/** As in OpenSSH's agent. */
const maxMessage = 256 * 1024;
const upstreamWithinMs = 30_000; // a person may have to confirm, or touch a hardware key

/** The running agent. */
export interface ServedAgent {
  /** Stops listening, cuts the connections and removes the socket. */
  close(): Promise<void>;
}

/**
 * Listens at `path`, in a folder that only this user can enter; a leftover socket is replaced. It does not keep the process
 * alive.
 * @param path may be relative; at most 100 bytes
 * @throws SessionError `no-key` for an unusable key, Error when it cannot listen there
 */
export async function serveAgent(path: string, auth: Auth): Promise<ServedAgent> {
  const answer = answerWith(auth);
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await chmod(dirname(path), 0o700);
  await rm(path, { force: true });
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.unref();
    socket.on("close", () => sockets.delete(socket)).on("error", () => socket.destroy());
    let queue = Promise.resolve();
    readMessages(socket, (message) => {
      queue = queue.then(async () => {
        const reply = await answer(message).catch(() => failure);
        if (!socket.destroyed) socket.write(string(reply));
      });
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject).listen(path, resolve);
  });
  server.unref();
  return {
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
      await rm(path, { force: true });
    },
  };
}

/** Calls back with each message, without its length prefix; destroys a connection that exceeds the maximum length. */
function readMessages(socket: Socket, onMessage: (message: Buffer) => void): void {
  let pending: Buffer = Buffer.alloc(0);
  socket.on("data", (data: Buffer) => {
    pending = Buffer.concat([pending, data]);
    while (pending.length >= 4) {
      const length = pending.readUInt32BE(0);
      if (length > maxMessage) return socket.destroy();
      if (pending.length < 4 + length) return;
      onMessage(pending.subarray(4, 4 + length));
      pending = pending.subarray(4 + length);
    }
  });
}

/** @returns the reply to one message, both without their length */
function answerWith({ agent, only, privateKey }: Auth): (message: Buffer) => Promise<Buffer> {
  if (privateKey !== undefined) {
    const key = ssh2.utils.parseKey(privateKey);
    if (key instanceof Error) throw noKey(`the key file cannot be used (${key.message})`);
    return async (message) => answerWithKey(message, key);
  }
  if (agent === undefined) throw noKey("there is neither an SSH agent nor a key file");
  return async (message) => {
    if (message[0] === requestIdentities) return onlyKey(await forward(agent, message), only);
    const isAllowed = message[0] === signRequest && (only === undefined || readString(message, 1)?.value.equals(only));
    // Adding and removing keys, locking: not supported.
    return isAllowed ? forward(agent, message) : failure;
  };
}

function answerWithKey(message: Buffer, key: ParsedKey): Buffer {
  const blob = key.getPublicSSH();
  if (message[0] === requestIdentities) {
    return Buffer.concat([Buffer.from([identitiesAnswer, 0, 0, 0, 1]), string(blob), string(Buffer.from(key.comment))]);
  }
  const wanted = message[0] === signRequest ? readString(message, 1) : undefined;
  const data = wanted && readString(message, wanted.end);
  if (!data || !wanted.value.equals(blob)) return failure;
  const flags = message.length >= data.end + 4 ? message.readUInt32BE(data.end) : 0;
  const rsa = key.type === "ssh-rsa" ? rsaHashes.find(({ flag }) => (flags & flag) !== 0) : undefined;
  const signed: unknown = key.sign(data.value, rsa?.hash);
  if (!Buffer.isBuffer(signed)) return failure;
  const value = key.type.startsWith("ecdsa-") ? ecdsaSignature(signed) : signed;
  const signature = Buffer.concat([string(Buffer.from(rsa?.type ?? key.type)), string(value)]);
  return Buffer.concat([Buffer.from([signResponse]), string(signature)]);
}

/** @param der `SEQUENCE { INTEGER r, INTEGER s }`. @returns r and s as in RFC 5656, section 3.1.2 */
function ecdsaSignature(der: Buffer): Buffer {
  // Below 128 bytes the sequence's length is one byte; P-521's takes two.
  let at = der[1]! < 0x80 ? 2 : 3;
  const integer = (): Buffer => {
    const start = at + 2;
    at = start + der[at + 1]!;
    return string(der.subarray(start, at));
  };
  return Buffer.concat([integer(), integer()]);
}

/** @returns an identities answer reduced to the one key, if it is among them */
function onlyKey(reply: Buffer, only: Buffer | undefined): Buffer {
  if (only === undefined || reply[0] !== identitiesAnswer) return reply;
  const kept: Buffer[] = [];
  let at = 5;
  for (;;) {
    const blob = readString(reply, at);
    const comment = blob && readString(reply, blob.end);
    if (!comment) break;
    if (blob.value.equals(only)) kept.push(string(blob.value), string(comment.value));
    at = comment.end;
  }
  return Buffer.concat([Buffer.from([identitiesAnswer, 0, 0, 0, kept.length / 2]), ...kept]);
}

/** Forwards a message to the agent at a socket. @throws Error when it does not answer */
function forward(agent: string, message: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = connect(agent);
    socket.setTimeout(upstreamWithinMs, () => socket.destroy(new Error("the agent does not answer")));
    socket.once("error", reject).once("close", () => reject(new Error("the agent closed the connection")));
    readMessages(socket, (reply) => {
      resolve(Buffer.from(reply));
      socket.destroy();
    });
    socket.write(string(message));
  });
}

function string(value: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(value.length);
  return Buffer.concat([length, value]);
}

function readString(from: Buffer, at: number): { value: Buffer; end: number } | undefined {
  if (from.length < at + 4) return undefined;
  const end = at + 4 + from.readUInt32BE(at);
  return end > from.length ? undefined : { value: from.subarray(at + 4, end), end };
}
