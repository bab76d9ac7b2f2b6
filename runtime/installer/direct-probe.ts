/**
 * Finds out from the Mac whether the server's sshd restricts the line's account (the drop-in of `npm run direct --
 * --prepare`): it opens a second connection with the line's key and looks at what the server allows and sends.
 */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import type { DirectLine } from "../direct-config.ts";
import { lineFiles, lineHost } from "./direct-files.ts";
import type { Layout } from "./layout.ts";

/** In milliseconds. sshd sends the first message after two intervals of 10 s (seen with OpenSSH 9.2). */
const keepAliveWithinMs = 24_000;
/** What sshd shows before the key signs in, while the server's watch service runs (ssh/watch-direct.ts). */
const watchBanner = /^slm-direct: silent connections are ended/m;
/** Time for the connection and the answer about the socket. */
const connectWithinMs = 12_000;

/**
 * @returns what the server lets the key do beyond the line, and what it lacks; empty when the drop-in is in place, or when
 * no second connection comes about
 */
export async function probeServer(paths: Layout, line: DirectLine): Promise<string[]> {
  const socket = `/tmp/slm-direct-probe-${randomBytes(8).toString("hex")}`;
  const seen = await watchConnection([
    ...["-v", "-F", lineFiles(paths, line.server).config, "-N"],
    // Otherwise each of these messages would postpone the server's own.
    ...["-o", "ServerAliveInterval=0", "-o", "ExitOnForwardFailure=no"],
    ...["-R", `${socket}:127.0.0.1:1`, lineHost],
  ]);
  if (seen === undefined) return [];
  return [
    ...(seen.socket
      ? ["its key can create Unix sockets on the server (AllowStreamLocalForwarding no is missing for the account)"]
      : []),
    ...(seen.keepAlive
      ? []
      : [
          "after a power cut the server would keep the port of the dead connection, and callers would hang (ClientAliveInterval 10 and ClientAliveCountMax 3 are missing for the account)",
        ]),
    ...(seen.isWatched
      ? []
      : [
          "after a power cut the server would keep the port of the dead connection for up to a quarter of an hour while calls come, and callers would hang (the service slm-direct-watch does not run there)",
        ]),
  ];
}

interface Seen {
  socket: boolean;
  keepAlive: boolean;
  isWatched: boolean;
}

/** @returns what was seen; undefined without a connection */
function watchConnection(args: string[]): Promise<Seen | undefined> {
  return new Promise((resolve) => {
    const child = spawn("ssh", args, { stdio: ["ignore", "ignore", "pipe"] });
    let text = "";
    let isDone = false;
    const finish = (): void => {
      if (isDone) return;
      isDone = true;
      clearTimeout(timer);
      child.kill("SIGTERM");
      const socket = text.includes("remote forward success");
      const keepAlive = text.includes("keepalive@openssh.com");
      const isWatched = watchBanner.test(text);
      resolve(text.includes("Authenticated to ") ? { socket, keepAlive, isWatched } : undefined);
    };
    let timer = setTimeout(finish, connectWithinMs);
    let isConnected = false;
    child.stderr.setEncoding("utf8").on("data", (more: string) => {
      text = `${text}${more}`.slice(-65_536);
      if (!isConnected && text.includes("Authenticated to ")) {
        isConnected = true;
        clearTimeout(timer);
        timer = setTimeout(finish, keepAliveWithinMs);
      }
      if (text.includes("keepalive@openssh.com") && /remote forward (success|failure)/.test(text)) finish();
    });
    child.once("error", finish).once("close", finish);
  });
}
