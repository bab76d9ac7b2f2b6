/** One command of an SSH session: `/bin/sh -c`, as sshd runs it without a terminal. */
import { type ChildProcess, spawn } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import type { ServerChannel } from "ssh2";
import type { Reaper } from "../machine/reaper.ts";

/** What a session's commands are run with. */
export interface ExecOptions {
  command: string;
  environment: Record<string, string>;
  /** Real path of the home folder. */
  cwd: string;
}

/** Process groups that SSH sessions started and that may still have members. */
export class SessionProcesses {
  readonly #reaper: Reaper;
  readonly #groups = new Set<number>();

  constructor(reaper: Reaper) {
    this.#reaper = reaper;
  }

  /**
   * Runs a command in a process group of its own. Its exit code or signal is reported once it has ended and closed its
   * output (so a background child that holds the output keeps the channel open, as with sshd). When the channel is closed
   * first, the command goes on, its input at its end and its output closed.
   */
  run(channel: ServerChannel, options: ExecOptions): void {
    const child = spawn("/bin/sh", ["-c", options.command], {
      cwd: options.cwd,
      env: options.environment,
      detached: true,
      stdio: ["pipe", "pipe", "pipe"],
    });
    const { stdin, stdout, stderr } = child;
    this.#watch(child);
    for (const stream of [stdin, stdout, stderr, channel, channel.stderr]) {
      stream.on("error", () => {}); // either side may go first; the close events below tell
    }
    channel.pipe(stdin);
    const output = new Output(channel);
    output.forward(stdout, channel);
    output.forward(stderr, channel.stderr);
    child.once("error", (error) => {
      channel.stderr.write(`/bin/sh: ${error.message}\n`);
      channel.exit(126);
      channel.end();
    });
    child.once("close", (code, signal) => {
      void output.written().then(() => {
        if (signal !== null) channel.exit(signal, false, "");
        else channel.exit(code ?? 0);
        channel.end();
      });
    });
    channel.once("close", () => {
      stdin.destroy();
      stdout.destroy();
      stderr.destroy();
    });
  }

  /** Kills every group, with what its members left in it. */
  kill(signal: "SIGTERM" | "SIGKILL"): void {
    for (const group of this.#groups) {
      if (!send(group, signal)) this.#forget(group);
    }
  }

  /** How many groups still have members. */
  get alive(): number {
    for (const group of this.#groups) {
      if (!send(group, 0)) this.#forget(group);
    }
    return this.#groups.size;
  }

  #watch(child: ChildProcess): void {
    const { pid } = child;
    if (pid === undefined) return;
    this.#groups.add(pid);
    this.#reaper.watch(pid);
    // A process it left in the background keeps the group alive: it then stays watched.
    child.once("exit", () => {
      if (!send(pid, 0)) this.#forget(pid);
    });
  }

  #forget(group: number): void {
    this.#groups.delete(group);
    this.#reaper.forget(group);
  }
}

/** The parts of an ssh2 channel where it keeps what the window holds back. */
interface HeldBack {
  _chunk: unknown;
  _chunkcb: unknown;
  _chunkErr: unknown;
  _chunkcbErr: unknown;
}

/**
 * Writes a channel's two outputs one piece after the other. ssh2 does not forget a piece once the window has let it pass,
 * and would send it again when the other output has to wait.
 */
class Output {
  readonly #held: HeldBack;
  #queue = Promise.resolve();

  constructor(channel: ServerChannel) {
    this.#held = channel as unknown as HeldBack;
  }

  forward(from: Readable, to: Writable): void {
    from.on("data", (piece: Buffer) => {
      from.pause();
      this.#queue = this.#queue.then(() => this.#write(piece, to)).then(() => void from.resume());
    });
  }

  /** Resolves when everything forwarded until now has been sent; never when the channel was closed before. */
  written(): Promise<void> {
    return this.#queue;
  }

  #write(piece: Buffer, to: Writable): Promise<void> {
    Object.assign(this.#held, { _chunk: undefined, _chunkcb: undefined, _chunkErr: undefined, _chunkcbErr: undefined });
    return new Promise((resolve) => {
      to.write(piece, () => resolve());
    });
  }
}

function send(group: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(-group, signal);
    return true;
  } catch {
    return false; // nobody is left (on macOS also EPERM, when all that is left is zombies)
  }
}
