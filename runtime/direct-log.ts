/** State of a direct line, from the log of its `ssh` (LogLevel VERBOSE). ssh_config(5) has the options that cause each message. */
import { openRegular } from "./regular-file.ts";

/** State of a line. */
export interface LineState {
  readonly connected: boolean;
  /** When the log was last written, RFC 3339; absent without a log. */
  readonly since?: string | undefined;
  /** Last message of `ssh` while it is not connected. */
  readonly reason?: string | undefined;
}

/** A line as `/status` shows it. */
export interface LineStatus extends LineState {
  readonly server: string;
  /** The relay's port for it. */
  readonly port: number;
}

/** Bytes read from the end of the log. */
const tailBytes = 8192;
/** Messages about single calls, while the line stays up, and the server's banner; and those that follow the message with the reason. */
const aboutCalls = /^(connect_to |channel \d+: |Warning: |slm-direct: )/;
const farewell = /^(Transferred: |Bytes per second: |debug\d: |Connection closed\.?$)/;

/** @param text last lines of the log; the first one may be cut off */
export function parseLineLog(text: string): Pick<LineState, "connected" | "reason"> {
  let connected = false;
  let reason: string | undefined;
  for (const line of text.split(/\r?\n/).map((one) => one.trim())) {
    if (line === "" || aboutCalls.test(line)) continue;
    if (line.startsWith("Authenticated to ")) {
      [connected, reason] = [true, undefined];
      continue;
    }
    if (connected) reason = undefined;
    connected = false;
    if (!farewell.test(line)) reason = line;
  }
  return {
    connected,
    ...(!connected && { reason: reason ?? (text.trim() === "" ? "no connection yet" : "the connection ended") }),
  };
}

/** @returns the state by the log at a path. Never rejects. */
export async function readLineState(path: string): Promise<LineState> {
  let file: Awaited<ReturnType<typeof openRegular>>;
  try {
    // Root reads it too, for `installer.mjs direct`, and the account of the line writes it.
    file = await openRegular(path);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return { connected: false, reason: code === "ENOENT" ? "there is no log" : message };
  }
  try {
    const { size, mtime } = await file.stat();
    const length = Math.min(size, tailBytes);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length);
    const state = parseLineLog(buffer.toString("utf8", 0, bytesRead));
    return { ...state, ...(size > 0 && { since: mtime.toISOString() }) };
  } catch (error) {
    return { connected: false, reason: error instanceof Error ? error.message : String(error) };
  } finally {
    await file.close();
  }
}

/** @returns a state in words that say what to do about it */
export function explainLine(
  reason: string,
  line: { server: string; host: string; port: number; user: string; listen: string },
): string {
  const { server, host, port, user, listen } = line;
  const at = `${user}@${host}:${port}`;
  if (/remote port forwarding failed|administratively prohibited/i.test(reason)) {
    return `the server refuses to listen on ${listen}: another program or a former session has the port (\`ss -ltnp\` on the server), sshd forbids forwarding, or the key allows another port. Run the paste of \`npm run direct -- --prepare ${server}\` there again`;
  }
  if (/Permission denied|Too many authentication failures/i.test(reason)) {
    return `${at} does not accept the Mac's key: run the paste of \`npm run direct -- --prepare ${server}\` on the server`;
  }
  if (/Host key verification failed|host key is known|REMOTE HOST IDENTIFICATION/i.test(reason)) {
    return `${host} presents a host key that differs from hostKey in route.direct: if the server was set up again, set the new key (\`cut -d ' ' -f 1,2 /etc/ssh/ssh_host_ed25519_key.pub\` there)`;
  }
  if (/Could not resolve hostname/i.test(reason)) return `the Mac cannot resolve ${host}`;
  if (/refused|timed out|unreachable|No route|not responding|kex_exchange|Connection closed|reset/i.test(reason)) {
    return `the Mac cannot keep a connection to ${host}:${port} (${reason}): is sshd running there, and does the firewall allow the office's address?`;
  }
  return reason;
}
