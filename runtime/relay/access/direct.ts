/** Sign-in on a direct line: the relay checks the service token itself, since no request passes Cloudflare Access. */
import { timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import type { RelayConfig } from "../../config.ts";
import { credentialHash } from "../../direct-config.ts";
import { RelayError } from "../errors.ts";
import type { CheckAccess } from "./access.ts";
import { FailureThrottle } from "./failure-throttle.ts";

/** The parts of the relay's config that sign-in reads at each request, so that a reload counts at once. */
type DirectConfig = Pick<RelayConfig, "callers" | "direct" | "directCredentials">;

/** What a test may change. */
export interface DirectOptions {
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  readonly throttle?: FailureThrottle;
  /** Called with the code of each refused sign-in. */
  readonly onRefused?: (server: string, code: string) => void;
}

/** Longest id and secret, in characters: longer headers are not hashed. */
const LONGEST = 512;

interface Token {
  readonly id: string;
  readonly secret: string;
}

/**
 * Makes the check for the line of one server. Only that server's token counts there, by its headers `CF-Access-Client-Id` and
 * `CF-Access-Client-Secret` (or the single header, if it is configured). A JWT of Access is ignored.
 *
 * It rejects with a RelayError: `access_missing`, `access_invalid`, `access_expired`, `caller_disabled`; `path_not_allowed`
 * for the status page, which is for people. Frequent failures are answered late; a valid token never waits for them.
 */
export function createDirectAccess(server: string, config: DirectConfig, options: DirectOptions = {}): CheckAccess {
  const { now = Date.now, throttle = new FailureThrottle(), onRefused } = options;
  const refuse = async (error: RelayError): Promise<never> => {
    onRefused?.(server, error.code);
    await throttle.failed();
    throw error;
  };
  return (audience, headers) => {
    if (audience === "people") {
      return refuse(
        new RelayError("path_not_allowed", "The status page is for people: open it at the public hostname."),
      );
    }
    const caller = config.callers.find(({ name }) => name === server);
    const token = readToken(headers, config.direct?.singleHeader);
    if (token === undefined) {
      return refuse(
        new RelayError(
          "access_missing",
          "The request has no service token. Send CF-Access-Client-Id and CF-Access-Client-Secret, as on the public hostname.",
        ),
      );
    }
    const found = matching(token, config.directCredentials?.[server] ?? []);
    if (found === undefined || caller === undefined || caller.clientId !== token.id) {
      return refuse(
        new RelayError(
          "access_invalid",
          `The service token is not valid on this line. It accepts the token of the server "${server}" only, and a rotated one until its previousSecretExpiresAt.`,
        ),
      );
    }
    if (found.expiresAt !== undefined && Date.parse(found.expiresAt) <= now()) {
      return refuse(
        new RelayError(
          "access_expired",
          "The service token has expired. Rotate or renew it, and call with the new one.",
          {
            detail: `expired ${found.expiresAt}`,
          },
        ),
      );
    }
    if (!caller.enabled) {
      return refuse(new RelayError("caller_disabled", `The caller "${caller.name}" is switched off.`));
    }
    return { kind: "server", name: caller.name, caller };
  };
}

/** Compares with every credential in constant time, so that the time shows neither which one matches nor how much of it. */
function matching({ id, secret }: Token, credentials: NonNullable<DirectConfig["directCredentials"]>[string]) {
  const given = Buffer.from(credentialHash(id, secret), "hex");
  let found: (typeof credentials)[number] | undefined;
  for (const credential of credentials) {
    // Of two that match, the one that is valid longer: a secret that was rotated back.
    if (
      timingSafeEqual(given, Buffer.from(credential.sha256, "hex")) &&
      (found === undefined || later(credential, found))
    ) {
      found = credential;
    }
  }
  return found;
}

const later = (one: { expiresAt?: string | undefined }, other: { expiresAt?: string | undefined }): boolean =>
  end(one.expiresAt) > end(other.expiresAt);
const end = (at: string | undefined): number => (at === undefined ? Number.POSITIVE_INFINITY : Date.parse(at));

/** Both headers; else the single header's JSON `{"cf-access-client-id": …, "cf-access-client-secret": …}`. */
function readToken(headers: IncomingHttpHeaders, singleHeader: string | undefined): Token | undefined {
  const both = asToken(headers["cf-access-client-id"], headers["cf-access-client-secret"]);
  if (both !== undefined || singleHeader === undefined) return both;
  const text = headers[singleHeader.toLowerCase()];
  if (typeof text !== "string" || text.length > 2 * LONGEST) return undefined;
  try {
    const json = JSON.parse(text) as unknown;
    if (typeof json !== "object" || json === null) return undefined;
    const fields = new Map(Object.entries(json).map(([key, value]) => [key.toLowerCase(), value as unknown]));
    return asToken(fields.get("cf-access-client-id"), fields.get("cf-access-client-secret"));
  } catch {
    return undefined;
  }
}

const asToken = (id: unknown, secret: unknown): Token | undefined =>
  isPart(id) && isPart(secret) ? { id, secret } : undefined;
const isPart = (value: unknown): value is string =>
  typeof value === "string" && value !== "" && value.length <= LONGEST;
