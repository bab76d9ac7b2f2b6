/**
 * Service accounts of Atlas: OAuth 2.0 client credentials for a token, which is sent as `Authorization: Bearer`.
 * @see https://www.mongodb.com/docs/atlas/api/service-accounts/generate-oauth2-token/
 * @see RFC 6749, sections 4.4 and 5.2
 */
import { randomBytes } from "node:crypto";

/** Where tokens come from. */
export const tokenPath = "/api/oauth/token";
const lifeSeconds = 3600;

/** One account. */
export interface ServiceAccount {
  readonly clientId: string;
  readonly clientSecret: string;
}

/** What the token's endpoint answers. */
export interface TokenAnswer {
  readonly status: number;
  readonly body: Readonly<Record<string, string | number>>;
}

/** Issues tokens and checks them. */
export class ServiceAccountGuard {
  readonly #account: ServiceAccount | undefined;
  /** Token → when it ends, in ms since 1970. */
  readonly #tokens = new Map<string, number>();

  constructor(account: ServiceAccount | undefined) {
    this.#account = account;
  }

  /** Answers a request for a token. @param text the form */
  issue(authorization: string | undefined, text: string): TokenAnswer {
    if (new URLSearchParams(text).get("grant_type") !== "client_credentials") {
      return { status: 400, body: { error: "unsupported_grant_type", error_description: "Use client_credentials." } };
    }
    const [id, secret] = Buffer.from(/^Basic (.+)$/i.exec(authorization ?? "")?.[1] ?? "", "base64")
      .toString()
      .split(":")
      .map(decodeURIComponent);
    const account = this.#account;
    if (account === undefined || id !== account.clientId || secret !== account.clientSecret) {
      return { status: 401, body: { error: "invalid_client", error_description: "Invalid client credentials." } };
    }
    const token = randomBytes(24).toString("hex");
    this.#tokens.set(token, Date.now() + lifeSeconds * 1000);
    return { status: 200, body: { access_token: token, expires_in: lifeSeconds, token_type: "Bearer" } };
  }

  /** @returns who signs in by a token; undefined for another scheme, an unknown token and one that has ended */
  check(authorization: string | undefined): { username: string } | undefined {
    const token = /^Bearer (\S+)$/i.exec(authorization ?? "")?.[1];
    const ends = token === undefined ? undefined : this.#tokens.get(token);
    if (ends === undefined || ends < Date.now()) return undefined;
    return { username: this.#account?.clientId ?? "" };
  }
}
