/** Errors that a user can act on: shown without a stack trace, and with the exit code that a script can rely on. */

/** The command cannot run as called: a wrong option, a stack file that cannot be read, an unknown Mac. Exit code 2. */
export class UsageError extends Error {
  override name = "UsageError";
}

/** The command ran and refuses: going on would do harm or is impossible. The message says why and what to do. Exit code 1. */
export class Refusal extends Error {
  override name = "Refusal";
}
