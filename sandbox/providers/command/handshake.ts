/** One TCP connection and one SSH handshake, with the error texts of Go's `net` and `golang.org/x/crypto/ssh`. */
import { connect as connectSocket, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import ssh2, { type Client, type ConnectConfig, type ServerHostKeyAlgorithm } from "ssh2";

/** A pinned host key. */
export interface HostKey {
  type: string;
  key: Buffer;
}

const causes: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connect: connection refused",
  EHOSTUNREACH: "connect: no route to host",
  ENETUNREACH: "connect: network is unreachable",
  ETIMEDOUT: "connect: connection timed out",
};

/** @throws after `limitMs`, or with the reason, e.g. `dial tcp 192.0.2.1:22: i/o timeout` */
export function dialTcp(host: string, port: number, limitMs: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connectSocket({ host, port });
    const fail = (why: string) => {
      socket.destroy();
      reject(new Error(`dial tcp ${why}`));
    };
    const timer = setTimeout(() => fail(`${host}:${port}: i/o timeout`), limitMs);
    socket.once("error", (error: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      const { code = "" } = error;
      if (code === "ENOTFOUND") fail(`: lookup ${host}: no such host`.replace(/^: /, ""));
      else fail(`${host}:${port}: ${causes[code] ?? error.message}`);
    });
    socket.once("connect", () => {
      clearTimeout(timer);
      socket.removeAllListeners("error");
      socket.setNoDelay(true); // without this each small packet of the handshake waits for a delayed acknowledgement
      resolve(socket);
    });
  });
}

/** What ssh2 says, as Go's client would. */
function inGo(error: Error & { level?: string }, config: ConnectConfig): string {
  if (error.level === "client-authentication" || /authentication methods failed/.test(error.message)) {
    const methods = ["none", ...(config.privateKey || config.agent ? ["publickey"] : [])];
    if (config.password) methods.push("password", "keyboard-interactive");
    return `ssh: unable to authenticate, attempted methods [${methods.join(" ")}], no supported methods remain`;
  }
  if (/no matching host key format/i.test(error.message)) return "ssh: no common algorithm for host key";
  if (/ECONNRESET|EPIPE|closed|Connection lost|ended by the other side/i.test(error.message)) return "EOF";
  return error.message;
}

/**
 * One handshake, without a time limit. A failed one destroys the connection below it.
 * @param expected its type is the only one offered to the server, as in Go's client; `ssh-rsa` is RSA with SHA-1
 * @throws `ssh: handshake failed: …`
 */
export function handshake(config: ConnectConfig, expected: HostKey | undefined, over: Duplex): Promise<Client> {
  return new Promise((resolve, reject) => {
    if (over.destroyed || over.readableEnded) return reject(new Error("ssh: handshake failed: EOF"));
    const client = new ssh2.Client();
    let mismatch: string | undefined;
    const fail = (why: string) => {
      client.removeListener("close", closed);
      client.destroy();
      over.destroy();
      reject(new Error(`ssh: handshake failed: ${mismatch ?? why}`));
    };
    const failed = (error: Error) => fail(inGo(error, config));
    const closed = () => fail("EOF");
    client.on("error", failed);
    client.once("close", closed);
    client.once("ready", () => {
      client.removeListener("error", failed);
      client.removeListener("close", closed);
      // An error without a listener would end the process; users of the session see `close`.
      client.on("error", () => {});
      resolve(client);
    });
    client.on("keyboard-interactive", (_name, _instructions, _language, prompts, answer) =>
      answer(prompts.map(() => String(config.password ?? ""))),
    );
    const pinned: ConnectConfig = expected
      ? {
          algorithms: { serverHostKey: [expected.type as ServerHostKeyAlgorithm] },
          hostVerifier: (key: Buffer) => {
            if (key.equals(expected.key)) return true;
            mismatch = "ssh: host key mismatch";
            return false;
          },
        }
      : {};
    client.connect({ ...config, ...pinned, sock: over });
  });
}
