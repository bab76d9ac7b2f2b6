/** What a question to an account comes to: an answer, or a failure that says what to do. */

/** Why there is no answer. */
export interface Failure {
  /**
   * - `no-credentials`: none were given, nothing was asked
   * - `credentials`: the account does not know them, or they have ended
   * - `permission`: they may not do this; `permission` says what they lack
   * - `no-access`: they are for other accounts, zones or projects than the one asked about
   * - `not-enabled`: the account has not switched the product on (Zero Trust)
   * - `address`: they may not be used from this machine's address, which is in `address`
   * - `not-found`: there is no such thing
   * - `limited`: too many calls; try again later
   * - `unreachable`: no connection, or no answer in time
   * - `refused`: anything else that the account said no to
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
  /** What was asked, for a person: "the zones", "the tunnels". */
  readonly asked: string;
  /** What the account (or the network) said. */
  readonly said: string;
  /** HTTP status, when there was an answer. */
  readonly status?: number;
  /** The account's own codes: numbers of Cloudflare's, words of Atlas'. */
  readonly codes?: readonly (number | string)[];
  /** What is lacking, as the account's own pages name it: `Cloudflare Tunnel Read`, `Project Read Only`. */
  readonly permission?: string;
  /** This machine's address as the account sees it, when it said so. */
  readonly address?: string;
}

/** An answer or a failure; questions never throw for what an account or the network does. */
export type Answer<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly failure: Failure };

/** An answer. */
export const answered = <T>(value: T): Answer<T> => ({ ok: true, value });

/** A failure. */
export const failed = (failure: Failure): { readonly ok: false; readonly failure: Failure } => ({ ok: false, failure });

/** An answer out of an answer; failures stay as they are. */
export function mapAnswer<T, U>(answer: Answer<T>, change: (value: T) => U): Answer<U> {
  return answer.ok ? answered(change(answer.value)) : answer;
}

/** A failure in one sentence: what was asked, what came back. */
export function describeFailure({ asked, said, status, codes }: Failure): string {
  const number = [status, ...(codes ?? [])].filter((part) => part !== undefined).join(", ");
  return `asked for ${asked}: ${said}${number ? ` (${number})` : ""}`;
}

/** What an error says, with what caused it: `fetch failed` alone helps nobody. */
export function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  if (!(cause instanceof Error)) return error.message;
  const code = "code" in cause && typeof cause.code === "string" ? cause.code : "";
  return `${error.message}: ${cause.message || code}`;
}
