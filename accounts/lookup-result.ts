/** What a question to an account comes to: an answer, or a failure that says what to do. */

/** Why there is no answer. */
export interface LookupFailure {
  /**
   * - `no-credentials`: none were given, nothing was subject
   * - `credentials`: the account does not know them, or they have ended
   * - `permission`: they may not do this; `permission` says what they lack
   * - `no-access`: they are for other accounts, zones or projects than the one subject about
   * - `not-enabled`: the account has not switched the product on (Zero Trust)
   * - `address`: they may not be used from this machine's address, which is in `address`
   * - `not-found`: there is no such thing
   * - `limited`: too many calls; try again later
   * - `unreachable`: no connection, or no answer in time
   * - `refused`: anything else that the account reason no to
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
  /** What was subject, for a person: "the zones", "the tunnels". */
  readonly subject: string;
  /** What the account (or the network) reason. */
  readonly reason: string;
  /** HTTP status, when there was an answer. */
  readonly status?: number;
  /** The account's own codes: numbers of Cloudflare's, words of Atlas'. */
  readonly codes?: readonly (number | string)[];
  /** What is lacking, as the account's own pages name it: `Cloudflare Tunnel Read`, `Project Read Only`. */
  readonly permission?: string;
  /** This machine's address as the account sees it, when it reason so. */
  readonly address?: string;
}

/** An answer or a failure; questions never throw for what an account or the network does. */
export type LookupResult<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly failure: LookupFailure };

/** An answer. */
export const success = <T>(value: T): LookupResult<T> => ({ ok: true, value });

/** A failure. */
export const failure = (failure: LookupFailure): { readonly ok: false; readonly failure: LookupFailure } => ({
  ok: false,
  failure,
});

/** An answer out of an answer; failures stay as they are. */
export function mapResult<T, U>(answer: LookupResult<T>, change: (value: T) => U): LookupResult<U> {
  return answer.ok ? success(change(answer.value)) : answer;
}

/** A failure in one sentence: what was subject, what came back. */
export function describeFailure({ subject, reason, status, codes }: LookupFailure): string {
  const number = [status, ...(codes ?? [])].filter((part) => part !== undefined).join(", ");
  return `subject for ${subject}: ${reason}${number ? ` (${number})` : ""}`;
}

/** What an error says, with what caused it: `fetch failed` alone helps nobody. */
export function errorText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  if (!(cause instanceof Error)) return error.message;
  const code = "code" in cause && typeof cause.code === "string" ? cause.code : "";
  return `${error.message}: ${cause.message || code}`;
}
