/** A known error of a provider, the engine or SSH, and its fix. */
export interface KnownError {
  /** Stable, for tests and scripts. */
  readonly id: string;
  /** Matched against one diagnostic with its white space collapsed to single spaces. */
  readonly pattern: RegExp;
  /** True: used only when nothing more specific matches the same diagnostic. */
  readonly general?: boolean;
  /** @returns what it means, without a full stop */
  says(match: RegExpExecArray): string;
  /** @returns how to fix it */
  todo(match: RegExpExecArray): string;
}

/** How to find and adopt what exists already. */
export const adopt = "`npm run preflight` shows what exists; `npm run init -- --adopt` says what can be adopted";
