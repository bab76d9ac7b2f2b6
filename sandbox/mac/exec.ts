/** One command of an SSH session: `/bin/sh -c`, as sshd runs it without a terminal. */
import { type ChildProcess, spawn } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import type { ServerChannel } from "ssh2";
import type { Reaper } from "../machine/reaper.ts";

/** The environment of a session's commands. */
export interface ExecOptions {
  command: string;
  environment: Record<string, string>;
  /** Real path of the home folder. */
  cwd: string;
}

/** Process groups of SSH sessions that may still have members. */
export class SessionProcesses {
  readonly #reaper: Reaper;
  readonly #groups = new Set<number>();

  constructor(reaper: Reaper) {
    this.#reaper = reaper;
  }

  /**
   * Runs a command in a process group of its own. Its exit code or signal is reported once it has ended and closed its
   * output, so a background child that holds the output keeps the channel open, as with sshd. When the channel closes
   * first, the command continues with its input ended and its output closed.
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
      stream.on("error", () => {}); // either side may close first; see the close events below
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

  /** Kills every group including left-over members. */
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
    // A background process keeps the group alive and watched.
    child.once("exit", () => {
      if (!send(pid, 0)) this.#forget(pid);
    });
  }

  #forget(group: number): void {
    this.#groups.delete(group);
    this.#reaper.forget(group);
  }
}

/** The internals of an ssh2 channel that hold data back by the window. */
interface HeldBack {
  _chunk: unknown;
  _chunkcb: unknown;
  _chunkErr: unknown;
  _chunkcbErr: unknown;
}

/**
 * Serialises a channel's two outputs. ssh2 does not drop a chunk once the window lets it pass, and would send it again
 * when the other output has to wait.
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

  /** Resolves when all chunks forwarded so far are sent; never if the channel closed before. */
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
    return false; // the group is empty (EPERM on macOS when only zombies are left)
  }
}
