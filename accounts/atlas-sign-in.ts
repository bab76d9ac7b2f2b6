/**
 * Requests to Atlas with the credentials that the provider uses: an API key by HTTP digest, a service account by a token of its
 * own (OAuth 2.0 client credentials, valid for an hour), or an access token.
 * @see https://www.mongodb.com/docs/atlas/api/service-accounts/generate-oauth2-token/
 */
import { DigestClient } from "digest-fetch";
import { z } from "zod";
import { withoutSlash } from "../runtime/base-url.ts";

/** Endpoint and credentials; the same that the provider uses. One of the three ways to sign in is enough. */
export interface AtlasAccess {
  /** `MONGODB_ATLAS_PUBLIC_KEY`, of an API key. */
  readonly publicKey?: string | undefined;
  /** `MONGODB_ATLAS_PRIVATE_KEY` */
  readonly privateKey?: string | undefined;
  /** `MONGODB_ATLAS_CLIENT_ID`, of a service account. */
  readonly clientId?: string | undefined;
  /** `MONGODB_ATLAS_CLIENT_SECRET` */
  readonly clientSecret?: string | undefined;
  /** `MONGODB_ATLAS_ACCESS_TOKEN` */
  readonly accessToken?: string | undefined;
  /** `MONGODB_ATLAS_BASE_URL`; `mongodbatlas:baseUrl` where the keys are in the config, too. @default https://cloud.mongodb.com */
  readonly baseUrl?: string | undefined;
  /** For each call, in ms. @default 20000 */
  readonly timeoutMs?: number;
}

/** A request's parts, as `fetch` takes them. */
export interface AtlasRequest {
  readonly method?: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal: AbortSignal;
}

/** @returns the answer, whatever its status. @throws as `fetch` does, and TokenRefused */
export type AtlasFetch = (url: string, request: AtlasRequest) => Promise<Response>;

/** Atlas gives the service account no token. */
export class TokenRefused extends Error {
  readonly status: number;
  readonly text: string;

  constructor(status: number, text: string) {
    super(`the service account gets no token: ${status} ${text.slice(0, 200)}`);
    this.status = status;
    this.text = text;
  }
}

/** Whether there are credentials to ask with. */
export const hasCredentials = ({ publicKey, privateKey, clientId, clientSecret, accessToken }: AtlasAccess): boolean =>
  Boolean(accessToken) || Boolean(clientId && clientSecret) || Boolean(publicKey && privateKey);

/** Where Atlas is asked, without a slash at its end. */
export const atlasBase = ({ baseUrl }: Pick<AtlasAccess, "baseUrl">): string =>
  withoutSlash(baseUrl ?? "https://cloud.mongodb.com");

/** @returns how to ask; undefined without credentials. The order is the provider's. */
export function atlasFetch(access: AtlasAccess): AtlasFetch | undefined {
  const { publicKey, privateKey, clientId, clientSecret, accessToken } = access;
  if (accessToken) return (url, request) => bearer(accessToken, url, request);
  if (clientId && clientSecret) {
    let token: Promise<string> | undefined;
    return async (url, request) => {
      token ??= serviceToken(atlasBase(access), clientId, clientSecret, request.signal);
      return bearer(await token, url, request);
    };
  }
  if (publicKey && privateKey) {
    // One client a call: it keeps a count for its nonce, which calls at the same time would use twice.
    return (url, request) => new DigestClient(publicKey, privateKey).fetch(url, { ...request });
  }
  return undefined;
}

const bearer = (token: string, url: string, request: AtlasRequest): Promise<Response> =>
  fetch(url, { ...request, headers: { ...request.headers, authorization: `Bearer ${token}` } });

const tokenSchema = z.object({ access_token: z.string() });

async function serviceToken(base: string, id: string, secret: string, signal: AbortSignal): Promise<string> {
  const basic = Buffer.from(`${encodeURIComponent(id)}:${encodeURIComponent(secret)}`).toString("base64");
  const response = await fetch(`${base}/api/oauth/token`, {
    method: "POST",
    headers: { authorization: `Basic ${basic}`, accept: "application/json" },
    body: new URLSearchParams({ grant_type: "client_credentials" }),
    signal,
  });
  const text = await response.text();
  if (!response.ok) throw new TokenRefused(response.status, text);
  return tokenSchema.parse(JSON.parse(text)).access_token;
}
