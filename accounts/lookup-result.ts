/** The result of a lookup in an account: a value, or a failure with its cause. */

/** Why a lookup failed. */
export interface LookupFailure {
  /**
   * - `no-credentials`: none were given, nothing was requested
   * - `credentials`: the account does not know them, or they have ended
   * - `permission`: they may not do this; `permission` says what they lack
   * - `no-access`: they are for other accounts, zones or projects than the requested one
   * - `not-enabled`: the account has not switched the product on (Zero Trust, Cloudflare for SaaS)
   * - `address`: they may not be used from this machine's address, which is in `address`
   * - `not-found`: there is no such thing
   * - `limited`: too many calls; try again later
   * - `unreachable`: no connection, or no answer in time
   * - `refused`: refused for any other reason
   */
  readonly kind:
    | "no-credentials"
    | "credentials"
    | "permission"
    | "no-access"
    | "not-enabled"
    | "address"
    | "not-found"
    | "limited"
    | "unreachable"
    | "refused";
  /** What was looked up, for a person: "the zones", "the tunnels". */
  readonly subject: string;
  /** The account's (or the network's) message. */
  readonly reason: string;
  /** HTTP status, when there was an answer. */
  readonly status?: number;
  /** The account's own codes: numbers of Cloudflare's, words of Atlas'. */
  readonly codes?: readonly (number | string)[];
  /** What is lacking, as the account's own pages name it: `Cloudflare Tunnel Read`, `Project Read Only`. */
  readonly permission?: string;
  /** This machine's address as the account sees it, when the message has it. */
  readonly address?: string;
}

/** A value or a failure. Lookups never throw for errors of an account or the network. */
export type LookupResult<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly failure: LookupFailure };

/** A successful result. */
export const success = <T>(value: T): LookupResult<T> => ({ ok: true, value });

/** A failed result. */
export const failure = (failure: LookupFailure): { readonly ok: false; readonly failure: LookupFailure } => ({
  ok: false,
  failure,
});

/** Maps the value of a result; failures pass through. */
export function mapResult<T, U>(answer: LookupResult<T>, change: (value: T) => U): LookupResult<U> {
  return answer.ok ? success(change(answer.value)) : answer;
}

/** A failure in one sentence: what was looked up, and the answer. */
export function describeFailure({ subject, reason, status, codes }: LookupFailure): string {
  const number = [status, ...(codes ?? [])].filter((part) => part !== undefined).join(", ");
  return `asked for ${subject}: ${reason}${number ? ` (${number})` : ""}`;
}

/** An error's message with its cause: `fetch failed` alone is useless. */
export function errorText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  if (!(cause instanceof Error)) return error.message;
  const code = "code" in cause && typeof cause.code === "string" ? cause.code : "";
  return `${error.message}: ${cause.message || code}`;
}
