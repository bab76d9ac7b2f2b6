/**
 * One loaded job of launchd.
 *
 * | state | leaves it by |
 * |---|---|
 * | waiting | start (at load, kickstart) → running |
 * | running | exit → waiting, or → throttled if it is to be restarted; remove → ending |
 * | throttled | ThrottleInterval after the last start → running; remove → gone |
 * | ending | exit (SIGTERM, after ExitTimeOut SIGKILL) → gone |
 * | gone | never |
 */
import { spawn } from "node:child_process";
import { closeSync, constants, openSync } from "node:fs";
import type { Log } from "../log.ts";
import type { Reaper } from "../machine/reaper.ts";
import { type JobDefinition, restarts } from "./launchd-plist.ts";

/** sysexits.h: launchd reports this when it could not start the program. */
export const exitConfig = 78;

/** See the table above. */
export type JobState = "waiting" | "running" | "throttled" | "ending" | "gone";

/** How a job's last process ended. */
export interface JobExit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** The dependencies of a job. */
export interface JobSurroundings {
  /** The Mac's root folder: where a job without WorkingDirectory runs. */
  root: string;
  /** Full environment of the process. */
  environment: Record<string, string>;
  /** Why launchd could not start this job (no such user, log file not writable), or undefined. */
  obstacle: () => string | undefined;
  reaper: Reaper;
  log: Log;
  /** Called once when the job is gone. */
  onGone: () => void;
}

/** Starts, watches and ends the process of one plist; the process leads a group of its own. */
export class Job {
  readonly definition: JobDefinition;
  /** Real path of its plist. */
  readonly path: string;
  readonly #around: JobSurroundings;
  #state: JobState = "waiting";
  #pid: number | undefined;
  #runs = 0;
  #lastExit: JobExit | undefined;
  #lastStart = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;
  #startAfterExit = false;
  #exitWaiters: (() => void)[] = [];

  constructor(definition: JobDefinition, path: string, around: JobSurroundings) {
    this.definition = definition;
    this.path = path;
    this.#around = around;
  }

  get state(): JobState {
    return this.#state;
  }
  /** Process id while it runs. */
  get pid(): number | undefined {
    return this.#pid;
  }
  /** Number of starts since it was loaded. */
  get runs(): number {
    return this.#runs;
  }
  get lastExit(): JobExit | undefined {
    return this.#lastExit;
  }

  /** Called once after loading: starts the job if the plist says so. */
  load(): void {
    if (this.definition.runAtLoad) this.#start();
  }

  /**
   * Starts the job now, throttled or not. A running one is left alone, or killed and started again: `launchctl kickstart -k`
   * sends SIGKILL at once, without SIGTERM before (as seen on macOS 26). Resolves when it was started.
   */
  async kickstart(kill: boolean): Promise<void> {
    if (this.#pid !== undefined) {
      if (!kill) return;
      this.#startAfterExit = true;
      const ended = this.#nextExit();
      this.signal("SIGKILL");
      await ended;
      return;
    }
    this.#start();
  }

  /** Sends a signal to the job's process. @returns false when none runs */
  signal(signal: NodeJS.Signals): boolean {
    if (this.#pid === undefined) return false;
    try {
      process.kill(this.#pid, signal);
      return true;
    } catch {
      return false; // it has just ended; the exit event follows
    }
  }

  /** Unloads the job: sends SIGTERM, and SIGKILL after ExitTimeOut. `state` shows when it is gone. */
  remove(limitSeconds = this.definition.exitTimeOutSeconds): void {
    if (this.#state === "ending" || this.#state === "gone") return;
    clearTimeout(this.#timer);
    this.#startAfterExit = false;
    if (this.#pid === undefined) {
      this.#gone();
      return;
    }
    this.#state = "ending";
    this.signal("SIGTERM");
    if (limitSeconds === 0) return;
    this.#timer = setTimeout(() => {
      this.#around.log(`launchd: ${this.definition.label} did not end in ${limitSeconds} s after SIGTERM: SIGKILL`);
      this.#killGroup();
    }, limitSeconds * 1000);
  }

  /** Power cut: kills everything the job started, without a restart. Resolves when it is gone. */
  async cut(): Promise<void> {
    clearTimeout(this.#timer);
    this.#startAfterExit = false;
    if (this.#pid === undefined) return this.#gone();
    this.#state = "ending";
    const ended = this.#nextExit();
    this.#killGroup();
    await ended;
  }

  /** Resolves when the current process has ended; at once without one. */
  async ended(): Promise<void> {
    if (this.#pid !== undefined) await this.#nextExit();
  }

  #nextExit(): Promise<void> {
    return new Promise((resolve) => this.#exitWaiters.push(resolve));
  }

  #start(): void {
    clearTimeout(this.#timer);
    const { definition, environment, obstacle, reaper, log } = { definition: this.definition, ...this.#around };
    this.#lastStart = performance.now();
    this.#runs++;
    const fault = obstacle();
    if (fault !== undefined) {
      log(`launchd: ${definition.label} cannot be started: ${fault}`);
      this.#exited({ code: exitConfig, signal: null });
      return;
    }
    const files: number[] = [];
    const umask = process.umask(definition.umask);
    try {
      const open = (path: string | undefined, flags: number): number => {
        const descriptor = openSync(path ?? "/dev/null", flags, 0o666);
        files.push(descriptor);
        return descriptor;
      };
      const append = constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND;
      const child = spawn(definition.program, definition.args, {
        argv0: definition.argv0,
        cwd: definition.workingDirectory ?? this.#around.root,
        env: environment,
        detached: true,
        stdio: [
          open(definition.standardInPath, constants.O_RDONLY),
          open(definition.standardOutPath, append),
          open(definition.standardErrorPath, append),
        ],
      });
      child.once("error", (error) => {
        if (child.pid !== undefined) return;
        log(`launchd: ${definition.label} cannot be started: ${error.message}`);
        this.#exited({ code: exitConfig, signal: null });
      });
      if (child.pid === undefined) return;
      const pid = child.pid;
      this.#pid = pid;
      this.#state = "running";
      reaper.watch(pid);
      child.once("exit", (code, signal) => {
        this.#killGroup(); // launchd kills left-over processes of a job's group
        reaper.forget(pid);
        this.#pid = undefined;
        this.#exited({ code, signal });
      });
    } catch (error) {
      log(`launchd: ${definition.label} cannot be started: ${String(error)}`);
      this.#exited({ code: exitConfig, signal: null });
    } finally {
      process.umask(umask);
      for (const file of files) closeSync(file);
    }
  }

  #exited(exit: JobExit): void {
    this.#lastExit = exit;
    clearTimeout(this.#timer);
    const waiters = this.#exitWaiters;
    this.#exitWaiters = [];
    if (this.#state === "ending") this.#gone();
    else {
      this.#state = "waiting";
      if (this.#startAfterExit) {
        this.#startAfterExit = false;
        this.#start();
      } else if (restarts(this.definition, exit)) {
        this.#state = "throttled";
        const due = this.#lastStart + this.definition.throttleSeconds * 1000;
        this.#timer = setTimeout(() => this.#start(), Math.max(0, due - performance.now()));
      }
    }
    for (const waiter of waiters) waiter();
  }

  #gone(): void {
    if (this.#state === "gone") return;
    this.#state = "gone";
    this.#around.onGone();
  }

  #killGroup(): void {
    if (this.#pid === undefined) return;
    try {
      process.kill(-this.#pid, "SIGKILL");
    } catch {
      // the group is empty
    }
  }
}
