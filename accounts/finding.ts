/** What a check found: in order, to know, or in the way; and what to do about it. */

/** One thing that was looked at. */
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

/** In order. */
export const ok = (id: string, says: string): Finding => ({ id, level: "ok", says });
/** To know. */
export const warn = (id: string, says: string, todo: string): Finding => ({ id, level: "warn", says, todo });
/** In the way. */
export const fail = (id: string, says: string, todo: string): Finding => ({ id, level: "fail", says, todo });

/** A finding as a problem's one line. */
export const problemText = ({ says, todo }: Finding): string => (todo ? `${says}. ${todo}` : says);
