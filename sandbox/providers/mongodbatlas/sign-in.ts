/** Requests to Atlas, signed: by HTTP digest with an API key, or by a bearer token. */
import { z } from "zod";
import { networkError } from "../plugin/go-errors.ts";
import type { AtlasSignIn } from "./credentials.ts";
import { digestFetch } from "./digest.ts";

/** A request whose body is text. */
export interface SignedRequest {
  method: string;
  headers: Record<string, string>;
  body?: string;
  signal: AbortSignal;
}
/** Sends a request with the credentials. Rejects without a response, as `fetch` does. */
export type SignedFetch = (url: URL, request: SignedRequest) => Promise<Response>;

const tokenSchema = z.object({ access_token: z.string() });

/**
 * @param base without a trailing slash
 * @throws when the service account gets no token, which is requested at once as in the official plugin
 */
export async function signedFetch(signIn: AtlasSignIn, base: string): Promise<SignedFetch> {
  switch (signIn.kind) {
    case "API key":
      return (url, request) => digestFetch(url, request, { username: signIn.publicKey, password: signIn.privateKey });
    case "token":
      return bearer(signIn.accessToken);
    case "service account":
      return bearer(await serviceAccountToken(signIn, base));
    case "none":
      return (url, request) => fetch(url, request);
  }
}

const bearer =
  (token: string): SignedFetch =>
  (url, request) =>
    fetch(url, { ...request, headers: { ...request.headers, authorization: `Bearer ${token}` } });

/** OAuth 2.0 client credentials. @see https://www.mongodb.com/docs/atlas/api/service-accounts/generate-oauth2-token/ */
async function serviceAccountToken(
  { clientId, clientSecret }: Extract<AtlasSignIn, { kind: "service account" }>,
  base: string,
): Promise<string> {
  const url = new URL(`${base}/api/oauth/token`);
  const basic = Buffer.from(`${encodeURIComponent(clientId)}:${encodeURIComponent(clientSecret)}`).toString("base64");
  const response = await fetch(url, {
    method: "POST",
    headers: { authorization: `Basic ${basic}`, accept: "application/json" },
    body: new URLSearchParams({ grant_type: "client_credentials" }),
    signal: AbortSignal.timeout(30_000),
  }).catch((error: unknown) => {
    throw new Error(networkError("POST", url, error), { cause: error });
  });
  const said = await response.text();
  if (!response.ok) {
    throw new Error(`oauth2: cannot fetch token: ${response.status} ${response.statusText} Response: ${said}`);
  }
  return tokenSchema.parse(JSON.parse(said)).access_token;
}
