/** Messages between the main thread and a worker thread. Comlink was considered: it knows no group commit, and a call whose
 * worker ends never settles (https://github.com/GoogleChromeLabs/comlink). */

/** One method call. */
export interface Command {
  readonly id: number;
  readonly method: string;
  readonly args: readonly unknown[];
}

/** An error in transferable form: structured cloning would lose the class and its fields. */
export interface ThreadError {
  readonly message: string;
  /** Set if the disk or the file's bound is full. */
  readonly full?: boolean;
  /** Code of a RelayError. */
  readonly code?: string;
}

/** The outcome of one command. */
export type CommandResult =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: ThreadError };

/** What a service returns for a group of commands. */
export interface Batch {
  readonly results: readonly CommandResult[];
  /** Duration of the COMMIT, including its sync, in ms; undefined if nothing was written. */
  readonly commitMs?: number | undefined;
  /** Commands in the group that write. */
  readonly writes?: number;
}

export type ToThread = Command | "close";

export type FromThread =
  | { readonly kind: "open"; readonly info: unknown }
  /** The service cannot start; the thread ends. */
  | { readonly kind: "refused"; readonly reason: string }
  | ({ readonly kind: "results" } & Batch)
  | { readonly kind: "closed" };
