/**
 * An SSH session to a Mac of the stack. Its host key is checked before anything is sent; errors contain the fix
 * (`session-error.ts`).
 */
import { constants } from "node:os";
import type { Duplex } from "node:stream";
import { text } from "node:stream/consumers";
import ssh2, { type Client, type ClientChannel } from "ssh2";
import { quote } from "../runtime/shell.ts";
import { type Auth, agentOf, offeredKeys, readAuth } from "./auth.ts";
import { describeHostKey, fetchHostKey, isRsa, noSuchKind, readHostKey } from "./host-key.ts";
import {
  forcedCommand,
  hostKeyMismatch,
  keyRefused,
  maxAuthTries,
  rsaHostKey,
  SessionError,
  sudoRefused,
  unreachable,
} from "./session-error.ts";

export type { Auth } from "./auth.ts";
export { fetchHostKey, type HostKey } from "./host-key.ts";
export { SessionError, type SessionErrorCode } from "./session-error.ts";

/** A host to sign in on. */
export interface SshHost {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** `ssh-ed25519 AAAA…`: the only accepted host key. */
  readonly hostKey: string;
}

/** A Mac: connection settings of an entry of `macs` in the stack config. */
export interface MacTarget extends SshHost {
  /** Jump host, with its own host key. */
  readonly jump?: SshHost | undefined;
}

/** Output and exit code of a command. */
export interface CommandResult {
  /** 128 + signal number if a signal ended it, as in a shell. */
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** An open session. */
export interface MacSession {
  /**
   * Runs one command and waits for it. Several may run at once.
   * @param command a line for the account's shell, or a program and its arguments, which are quoted. Never a secret,
   * since `ps` on the Mac shows it: pass secrets through `stdin`.
   * @param options.timeoutMs default 60,000; the command itself may keep running
   * @throws SessionError `timeout`, `broken`; never for an exit code
   */
  run(
    command: string | readonly string[],
    options?: { stdin?: string | Buffer; timeoutMs?: number },
  ): Promise<CommandResult>;
  /** @throws SessionError `sudo` if the account has no passwordless sudo, or the key runs a forced command only */
  checkSudo(): Promise<void>;
  /** Opens a connection from the Mac to a port it can reach. @throws SessionError `unreachable` */
  forward(host: string, port: number): Promise<Duplex>;
  /** Closes the session; running commands are left to the Mac. */
  close(): Promise<void>;
}

/** Quotes a word for a POSIX shell if it needs it. */
export const quoteWord = (word: string): string => (/^[A-Za-z0-9_/.:=@%+,-]+$/.test(word) ? word : quote(word));

/**
 * Signs in, through the jump host if there is one.
 * @param auth default: the key file of SLM_NETWORK_SSH_KEY, else the agent at SSH_AUTH_SOCK
 * @param connectMs time limit for each of the two hosts, in ms
 * @throws SessionError with the fix
 */
export async function openSession(target: MacTarget, auth?: Auth, connectMs = 15_000): Promise<MacSession> {
  const used = auth ?? (await readAuth(undefined));
  const signIn = { auth: used, offered: await offeredKeys(used), connectMs };
  const { jump } = target;
  if (jump === undefined) return session([await connectClient(target, signIn)], target);
  const between = await connectClient(jump, signIn);
  try {
    const by = `${jump.host}:${jump.port}`;
    const over = { by, open: () => forward(between, target, by) };
    return session([await connectClient(target, signIn, over), between], target);
  } catch (error) {
    between.destroy();
    throw error;
  }
}

/** Streams to the target through the jump host. */
interface JumpStream {
  by: string;
  open(): Promise<Duplex>;
}

interface SignIn {
  auth: Auth;
  offered: readonly string[];
  connectMs: number;
}

async function connectClient(to: SshHost, { auth, offered, connectMs }: SignIn, over?: JumpStream): Promise<Client> {
  if (isRsa(to.hostKey)) throw rsaHostKey(to, await fetchHostKey(to.host, to.port, await over?.open()));
  const expected = readHostKey(to.hostKey);
  const agent = agentOf(auth);
  const sock = await over?.open();
  const client = new ssh2.Client();
  let shown: Buffer | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      // On, not once: ssh2 may emit a second error, and one without a listener ends the process.
      client.once("ready", resolve).on("error", reject);
      client.once("close", () => reject(new Error("the connection was closed")));
      // Many small packets: without this each waits for the other side's delayed acknowledgement.
      client.once("connect", () => client.setNoDelay(true));
      client.connect({
        host: to.host,
        port: to.port,
        username: to.user,
        readyTimeout: connectMs,
        keepaliveInterval: 15_000,
        ...(agent !== undefined && { agent }),
        ...(auth.privateKey !== undefined && { privateKey: auth.privateKey }),
        algorithms: { serverHostKey: expected.algorithms },
        hostVerifier: (key: Buffer) => {
          shown = key;
          return key.equals(expected.key);
        },
        ...(sock && { sock }),
      });
    });
    return client;
  } catch (error) {
    client.destroy();
    throw await toSessionError(error, { to, shown, expected: expected.key, offered, over });
  }
}

interface FailedAttempt {
  to: SshHost;
  /** The presented host key, if any. */
  shown: Buffer | undefined;
  expected: Buffer;
  offered: readonly string[];
  over: JumpStream | undefined;
}

async function toSessionError(error: unknown, attempt: FailedAttempt): Promise<SessionError> {
  const { to, expected, offered, over } = attempt;
  const level = error instanceof Error && "level" in error ? error.level : undefined;
  const matches = attempt.shown?.equals(expected) === true;
  // sshd closes the connection after the last attempt, with "Too many authentication failures" or no message.
  const isGivenUp = offered.length > maxAuthTries && !(error instanceof Error && /timed out/i.test(error.message));
  if (matches && (level === "client-authentication" || isGivenUp)) return keyRefused(to, offered);
  if (matches) return unreachable(to, error, over?.by);
  // A host without a key of the expected type disconnects before it presents one.
  if (attempt.shown === undefined && !noSuchKind(error)) return unreachable(to, error, over?.by);
  const found = attempt.shown
    ? describeHostKey(attempt.shown)
    : await fetchHostKey(to.host, to.port, await over?.open());
  const shown = `${found.fingerprint} (${found.line.split(" ")[0]})`;
  return hostKeyMismatch(to, { expected: describeHostKey(expected).fingerprint, shown, line: found.line });
}

function forward(client: Client, to: { host: string; port: number }, by: string): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    client.forwardOut("127.0.0.1", 0, to.host, to.port, (error, stream) => {
      if (error) reject(unreachable(to, error, by));
      else resolve(stream);
    });
  });
}

/** @param clients the Mac's, then the jump host's */
function session([client, ...between]: [Client, ...Client[]], to: SshHost): MacSession {
  // Registered now, since a closed connection does not emit again.
  const closed = new Promise<void>((resolve) => client.once("close", () => resolve()));
  const run: MacSession["run"] = async (command, { stdin = "", timeoutMs = 60_000 } = {}) => {
    const line = typeof command === "string" ? command : command.map(quoteWord).join(" ");
    return exec(client, line, to, (channel) => finish(channel, stdin, timeoutMs, { line, host: to.host }));
  };
  return {
    run,
    checkSudo: async () => {
      const ran = await run(["sudo", "-n", "true"]);
      if (ran.exitCode !== 0) throw sudoRefused(to, ran.stderr || ran.stdout);
      // `true` prints nothing: sshd ran a forced command instead.
      if (ran.stdout.trim() !== "") throw forcedCommand(to);
    },
    forward: (host, port) => forward(client, { host, port }, to.host),
    close: async () => {
      // Not end(): it waits for the peer, and a Mac that lost power never answers.
      for (const each of [client, ...between]) each.destroy();
      await closed;
    },
  };
}

const broken = (host: string, why: string) =>
  new SessionError("broken", `the connection to ${host} broke (${why}): run it again`, {
    problem: { kind: "broken", host, why },
  });

/** @param use is called synchronously when the channel opens: the exit code may be in the next packet */
function exec(
  client: Client,
  line: string,
  { host }: SshHost,
  use: (channel: ClientChannel) => Promise<CommandResult>,
): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    try {
      client.exec(line, (error, channel) => (error ? reject(broken(host, error.message)) : resolve(use(channel))));
    } catch (error) {
      reject(broken(host, error instanceof Error ? error.message : String(error))); // ssh2 throws "Not connected"
    }
  });
}

async function finish(
  channel: ClientChannel,
  stdin: string | Buffer,
  timeoutMs: number,
  about: { line: string; host: string },
): Promise<CommandResult> {
  let exit: number | undefined;
  channel.once("exit", (code: number | null, signal?: string) => {
    const numbers: Record<string, number> = constants.signals;
    exit = code ?? 128 + (numbers[`SIG${signal?.replace(/^SIG/, "")}`] ?? 0);
  });
  const closed = new Promise<void>((resolve) => channel.once("close", () => resolve()));
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    channel.destroy();
  }, timeoutMs);
  channel.on("error", () => {}); // the program may not read its input
  channel.end(stdin);
  try {
    const [stdout, stderr] = await Promise.all([text(channel), text(channel.stderr), closed]);
    if (exit !== undefined) return { exitCode: exit, stdout, stderr };
  } catch (error) {
    if (!isLate) throw broken(about.host, error instanceof Error ? error.message : String(error));
  } finally {
    clearTimeout(timer);
  }
  if (!isLate) throw broken(about.host, "no exit code arrived");
  const shown = about.line.length > 100 ? `${about.line.slice(0, 100)}…` : about.line;
  throw new SessionError("timeout", `\`${shown}\` on ${about.host} did not end within ${timeoutMs / 1000} s`, {
    problem: { kind: "timeout", host: about.host, command: shown, seconds: timeoutMs / 1000 },
  });
}
