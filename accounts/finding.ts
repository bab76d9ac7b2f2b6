/** A finding of a check: ok, warning or failure, with the fix. */

/** One finding. */
export interface Finding {
  /** Stable, for machines: `cloudflare.permission.dns-write`. */
  readonly id: string;
  /**
   * - `ok`: as it should be
   * - `warn`: `up` goes on, but something will disappoint, or could not be looked at
   * - `fail`: `up` would fail, or what it makes would not work
   */
  readonly level: "ok" | "warn" | "fail";
  /** What was found, a sentence with the value. */
  readonly says: string;
  /** What to do; always there unless all is well. */
  readonly todo?: string | undefined;
}

/** A check that passed. */
export const ok = (id: string, says: string): Finding => ({ id, level: "ok", says });
/** A warning. */
export const warn = (id: string, says: string, todo: string): Finding => ({ id, level: "warn", says, todo });
/** A failure. */
export const fail = (id: string, says: string, todo: string): Finding => ({ id, level: "fail", says, todo });

/** A finding as one line of text. */
export const problemText = ({ says, todo }: Finding): string => (todo ? `${says}. ${todo}` : says);
