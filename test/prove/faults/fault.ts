/** What a fault case is: one kind of failure under mixed load, and what clients may see of it. One file a kind, in `cases/`. */
import type { Hop } from "./hop.ts";

/** Where the documents are kept. */
export type Store = "embedded" | "atlas";
/** Daemons of the Mac, by the last part of their launchd label. */
export type DaemonName = "relay" | "connector" | "direct.quiet";

/** What a case can break. Whatever it breaks it mends before its `run` resolves. */
export interface Ground {
  /** Seeded: the same seed gives the same moments. In [0, 1). */
  random(): number;
  /** Waits between `from` and `to` milliseconds, by the seed. */
  pause(from: number, to?: number): Promise<void>;
  /** Counts one fault for the table. */
  tried(): void;
  /** Sends a signal to a daemon's process. @throws Error when it does not run */
  signal(daemon: DaemonName, signal: NodeJS.Signals): void;
  /** `launchctl kickstart -k` on the Mac. */
  restart(daemon: DaemonName): Promise<void>;
  /** Waits until launchd has started another process of the daemon than `pid`. */
  startedAgain(daemon: DaemonName, pid: number): Promise<void>;
  pid(daemon: DaemonName): number;
  /** Between edge and cloudflared, cloudflared and relay, relay and model server, relay and MongoDB, Mac and key address. */
  readonly hops: Readonly<Record<HopName, Hop>>;
  readonly model: ServerProcess;
  readonly mongo: ServerProcess;
  /** The rights of the relay's database user. */
  mongoRights(rights: "read-only" | "read-write"): Promise<void>;
  /** What the key address of Access answers; `slow` after 4 s. */
  keys(answers: "keys" | "garbage" | "slow"): Promise<void>;
  /** Access signs with another key from now on. */
  rotateKeys(): Promise<void>;
  /** Fills the disk of the Mac's data folder, or of its config, to the last byte. */
  fillDisk(of: "data" | "config"): Promise<void>;
  freeDisk(of: "data" | "config"): Promise<void>;
  /** Runs the installer with another setting of the relay. @returns its exit code and what it said */
  install(graceSeconds: number): Promise<{ code: number | null; stderr: string }>;
  /** Begins an installation, and kills the installer so many milliseconds after it was started. @returns false when it had ended by then */
  killInstaller(graceSeconds: number, afterMs: number): Promise<boolean>;
  /** Shifts the relay's wall clock. Returns when it has. */
  clock(shiftMs: number): Promise<void>;
  /** Bounds the relay's file descriptors to what it has plus `more`; undefined restores them. */
  descriptors(more: number | undefined): void;
  /** Everything on the Mac ends at once; it starts again by itself. */
  powerCut(): Promise<void>;
  /** The company's server of the direct line: signals every process of its sessions. */
  signalSessions(signal: NodeJS.Signals): void;
  /** Something that must not be so. */
  wrong(what: string): void;
}

export type HopName = "edge" | "relay" | "model" | "mongo" | "keys";

/** A server that is not the Mac's: model server, MongoDB. Its hop refuses connections while it is down. */
export interface ServerProcess {
  signal(signal: NodeJS.Signals): void;
  /** Ends it by this signal and waits until it is gone. */
  end(signal: "SIGKILL" | "SIGTERM"): Promise<void>;
  start(): Promise<void>;
}

/** One kind of failure. */
export interface FaultCase {
  /** For `--only`; lower case with dashes. */
  readonly name: string;
  /** What happens, in one sentence. */
  readonly fault: string;
  /** @default "embedded" */
  readonly store?: Store;
  /** Part of what `npm test` chooses from. @default false */
  readonly quick?: boolean;
  /** Statuses that clients may see beside those of a path that is down (`REFUSALS`). @default [] */
  readonly mayAnswer?: readonly number[];
  /**
   * An answer of a direct call may not have been kept for its Idempotency-Key (docs/jobs.md: a crash right after the end of the answer, a
   * full disk), so that a repetition runs again. @default false
   */
  readonly forgetsAnswers?: boolean;
  /** A stored document may be gone: none of it was promised (docs/documents.md). @default false */
  readonly forgetsDocuments?: boolean;
  /** What it takes: a tmpfs of its own (Linux, root), `prlimit` (Linux), an sshd. Without it the case is left out, and the table says so. */
  readonly needs?: "disk" | "prlimit" | "sshd";
  /** Longest time until calls are answered again after the fault was mended, in seconds. @default 20 */
  readonly healthySeconds?: number;
  /** Breaks and mends. */
  run(ground: Ground): Promise<void>;
}

/** What a path answers that is down somewhere or has no room: the caller tries again. 0: no answer. */
export const REFUSALS: readonly number[] = [0, 409, 429, 502, 503, 504, 507, 530];
