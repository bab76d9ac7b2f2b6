/**
 * An SSH session to a Mac of the stack. Its host key is checked before anything is sent; what fails is said in plain words
 * (`session-error.ts`).
 */
import { constants } from "node:os";
import type { Duplex } from "node:stream";
import { text } from "node:stream/consumers";
import ssh2, { type Client, type ClientChannel } from "ssh2";
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
  /** `ssh-ed25519 AAAA…`: the only key that is taken for the host's. */
  readonly hostKey: string;
}

/** A Mac, as an entry of `macs` in the stack's config says how it is reached. */
export interface MacTarget extends SshHost {
  /** A host in between, with a key of its own. */
  readonly jump?: SshHost | undefined;
}

/** What a command said. */
export interface CommandResult {
  /** 128 and the signal's number when a signal ended it, as a shell says it. */
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** An open session. */
export interface MacSession {
  /**
   * Runs one command and waits for its end. Several may run at once.
   * @param command a line for the account's shell, or a program and its arguments, which are quoted. Nothing secret: it
   * shows in `ps` on the Mac; that goes through `stdin`.
   * @param options.timeoutMs default 60,000; the command itself may go on after that
   * @throws SessionError `timeout`, `broken`; never for an exit code
   */
  run(
    command: string | readonly string[],
    options?: { stdin?: string | Buffer; timeoutMs?: number },
  ): Promise<CommandResult>;
  /** @throws SessionError `sudo` when the account may not become root without a password, or the key runs a forced command only */
  checkSudo(): Promise<void>;
  /** A connection from the Mac to a port that it reaches. @throws SessionError `unreachable` */
  forward(host: string, port: number): Promise<Duplex>;
  /** Ends it; commands that still run are left to the Mac. */
  close(): Promise<void>;
}

/** A word for a POSIX shell. */
export const quote = (word: string): string =>
  /^[A-Za-z0-9_/.:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;

/**
 * Signs in, over the jump host if there is one.
 * @param auth default: the key file of SLM_NETWORK_SSH_KEY, else the agent at SSH_AUTH_SOCK
 * @param connectMs longest wait for each of the two hosts, in ms
 * @throws SessionError saying what is wrong and what to do
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

/** Another host that makes streams to the one that is meant. */
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
      // On, not once: ssh2 may report a second error for the same end, and one without a listener ends the process.
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
  /** The key the host showed, if it came so far. */
  shown: Buffer | undefined;
  expected: Buffer;
  offered: readonly string[];
  over: JumpStream | undefined;
}

async function toSessionError(error: unknown, attempt: FailedAttempt): Promise<SessionError> {
  const { to, expected, offered, over } = attempt;
  const level = error instanceof Error && "level" in error ? error.level : undefined;
  const matches = attempt.shown?.equals(expected) === true;
  // sshd ends the connection after its last attempt, which says "Too many authentication failures" or nothing at all.
  const isGivenUp = offered.length > maxAuthTries && !(error instanceof Error && /timed out/i.test(error.message));
  if (matches && (level === "client-authentication" || isGivenUp)) return keyRefused(to, offered);
  if (matches) return unreachable(to, error, over?.by);
  // A host without a key of the expected kind breaks off before it shows one.
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
  // From here on, since a connection that is closed already does not say so again.
  const closed = new Promise<void>((resolve) => client.once("close", () => resolve()));
  const run: MacSession["run"] = async (command, { stdin = "", timeoutMs = 60_000 } = {}) => {
    const line = typeof command === "string" ? command : command.map(quote).join(" ");
    return exec(client, line, to, (channel) => finish(channel, stdin, timeoutMs, { line, host: to.host }));
  };
  return {
    run,
    checkSudo: async () => {
      const ran = await run(["sudo", "-n", "true"]);
      if (ran.exitCode !== 0) throw sudoRefused(to, ran.stderr || ran.stdout);
      // `true` prints nothing: sshd ran something else, and would in place of every other command.
      if (ran.stdout.trim() !== "") throw forcedCommand(to);
    },
    forward: (host, port) => forward(client, { host, port }, to.host),
    close: async () => {
      // Not end(): it waits for the other side's end, and a Mac that has lost power or gone mute never sends it.
      for (const each of [client, ...between]) each.destroy();
      await closed;
    },
  };
}

const broken = (host: string, why: string) =>
  new SessionError("broken", `the connection to ${host} broke (${why}): run it again`);

/** @param use is called in the same turn in which the channel opens: its exit code may come in the packet after that */
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
  if (!isLate) throw broken(about.host, "it ended without an exit code");
  const shown = about.line.length > 100 ? `${about.line.slice(0, 100)}…` : about.line;
  throw new SessionError("timeout", `\`${shown}\` on ${about.host} did not end within ${timeoutMs / 1000} s`);
}
