/** The form of an entry in the tables of known errors. */

/** An error that is known. */
export interface KnownError {
  /** Stable, for tests and machines. */
  readonly id: string;
  /** Searched in one diagnostic, its white space made single spaces. */
  readonly pattern: RegExp;
  /** True: only when nothing more particular was found in the same diagnostic. */
  readonly general?: boolean;
  /** What it means, a sentence. */
  says(match: RegExpExecArray): string;
  /** What to do. */
  todo(match: RegExpExecArray): string;
}
