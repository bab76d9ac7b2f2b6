/** What Cloudflare's errors mean: pure, from its client's error to a `Failure`. */
import type { LookupFailure } from "./lookup-result.ts";
import { errorText } from "./lookup-result.ts";

/** The shape of the client's errors; a look at it needs no load of the client. */
interface ApiError extends Error {
  status?: number;
  errors?: { code?: number; message?: string }[];
}

/** No organisation yet: `access.api.error.not_enabled`. */
export const zeroTrustNotEnabled = 9999;

/**
 * Cloudflare for SaaS is not switched on for the zone: 403 with 1404 ("No quota has been allocated for this zone or for this
 * account") for custom hostnames, 401 with 1456 for the fallback origin.
 */
const saasNotEnabled = [1404, 1456];

/**
 * - 403 with code 10000, or 401 with 10000 where only some calls are refused (a tunnel's token): the permission is missing
 * - 9109 with 403: the token is for other accounts or zones; with 401, and 1000, 6003, 6111: no such token; 9103: no such global API key
 * - 9999 `access.api.error.not_enabled`: Zero Trust was never set up
 * - 1404 and 1456: Cloudflare for SaaS is off
 * @param permission what the call needs
 */
export function cloudflareFailure(error: unknown, subject: string, permission?: string): LookupFailure {
  const { status, errors = [] } = error instanceof Error ? (error as ApiError) : {};
  if (status === undefined) return { kind: "unreachable", subject, reason: errorText(error) };
  const codes = errors.flatMap(({ code }) => (code === undefined ? [] : [code]));
  const reason = errors.flatMap(({ message }) => message || []).join("; ") || errorText(error);
  return {
    kind: kindOf(status, codes, reason),
    subject,
    reason,
    status,
    codes,
    ...(permission && { permission }),
  };
}

function kindOf(status: number, codes: number[], reason: string): LookupFailure["kind"] {
  if (reason.includes("access.api.error.not_enabled") || codes.includes(zeroTrustNotEnabled)) return "not-enabled";
  if (codes.some((code) => saasNotEnabled.includes(code))) return "not-enabled";
  if (status === 429) return "limited";
  if (status >= 500) return "unreachable";
  if (codes.some((code) => [1000, 6003, 6111, 9103].includes(code))) return "credentials";
  if (codes.includes(9109)) return status === 401 ? "credentials" : "no-access";
  // Client IP filtering of the token: "Cannot use the access token from location: 203.0.113.7".
  if (/from location/i.test(reason)) return "address";
  if (status === 403 || (status === 401 && codes.includes(10000))) return "permission";
  if (status === 401) return "credentials";
  if (status === 404) return "not-found";
  return "refused";
}
