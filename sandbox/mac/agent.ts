/**
 * An ssh-agent that holds one ed25519 key, on a unix socket. Protocol: draft-ietf-sshm-ssh-agent, sections 3 and 5.
 * Not ssh2's AgentProtocol: it loses its position in the stream on an unknown request, and OpenSSH's ssh sends one
 * (`session-bind@openssh.com`) before anything else.
 */
import { createServer, type Server, type Socket } from "node:net";
import type { ParsedKey } from "ssh2";

const failure = 5;
const requestIdentities = 11;
const identitiesAnswer = 12;
const signRequest = 13;
const signResponse = 14;
/** As in OpenSSH's agent. */
const maxMessage = 256 * 1024;

/** The running agent. */
export interface Agent {
  socketPath: string;
  /** Stops listening and cuts the connections. */
  close(): Promise<void>;
}

/** Starts the agent at `socketPath`, which must not exist. @throws Error when it cannot listen there */
export async function startAgent(socketPath: string, key: ParsedKey, comment: string): Promise<Agent> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket)).on("error", () => socket.destroy());
    let pending: Buffer = Buffer.alloc(0);
    socket.on("data", (data: Buffer) => {
      pending = Buffer.concat([pending, data]);
      while (pending.length >= 4) {
        const length = pending.readUInt32BE(0);
        if (length > maxMessage) return socket.destroy();
        if (pending.length < 4 + length) return;
        socket.write(string(answer(pending.subarray(4, 4 + length), key, comment)));
        pending = pending.subarray(4 + length);
      }
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject).listen(socketPath, resolve);
  });
  return {
    socketPath,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** The reply to one message, both without the length prefix. */
function answer(message: Buffer, key: ParsedKey, comment: string): Buffer {
  const blob = key.getPublicSSH();
  if (message[0] === requestIdentities) {
    const count = Buffer.from([0, 0, 0, 1]);
    return Buffer.concat([Buffer.from([identitiesAnswer]), count, string(blob), string(Buffer.from(comment))]);
  }
  if (message[0] === signRequest) {
    const wanted = readString(message, 1);
    const data = wanted && readString(message, wanted.end);
    if (data && wanted.value.equals(blob)) {
      const signature = Buffer.concat([string(Buffer.from(key.type)), string(key.sign(data.value))]);
      return Buffer.concat([Buffer.from([signResponse]), string(signature)]);
    }
  }
  return Buffer.from([failure]);
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
