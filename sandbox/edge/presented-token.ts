/**
 * The service token that a request presents: a pure function. Besides the usual two headers Access reads, where the
 * application names one, a single header with `{"cf-access-client-id": "…", "cf-access-client-secret": "…"}`.
 * Source: developers.cloudflare.com, "Service tokens", "Authenticate with a single header".
 */
import type { IncomingHttpHeaders } from "node:http";

/** Id and secret as sent; one of them undefined: the token is incomplete. */
export interface PresentedToken {
  readonly clientId: string | undefined;
  readonly secret: string | undefined;
}

/**
 * @param singleHeader of the application that covers the request; lower case
 * @returns undefined if the request presents no token. The usual two headers win. Anything but the documented JSON in the
 * single header (`Bearer` before it, for example) is not a token.
 */
export function presentedToken(
  headers: IncomingHttpHeaders,
  singleHeader: string | undefined,
): PresentedToken | undefined {
  const clientId = only(headers["cf-access-client-id"]);
  const secret = only(headers["cf-access-client-secret"]);
  if (clientId !== undefined || secret !== undefined) return { clientId, secret };
  const value = singleHeader === undefined ? undefined : only(headers[singleHeader]);
  if (value === undefined) return undefined;
  const json = jsonObject(value);
  if (json === undefined) return undefined;
  const member = (name: string) => (typeof json[name] === "string" ? json[name] : undefined);
  return { clientId: member("cf-access-client-id"), secret: member("cf-access-client-secret") };
}

function jsonObject(text: string): Record<string, unknown> | undefined {
  try {
    const json: unknown = JSON.parse(text);
    return typeof json === "object" && json !== null ? { ...json } : undefined;
  } catch {
    return undefined;
  }
}

const only = (value: string | string[] | undefined): string | undefined => (Array.isArray(value) ? value[0] : value);
