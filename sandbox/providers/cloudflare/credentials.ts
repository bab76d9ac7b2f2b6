/**
 * Credentials and base URL as the official cloudflare plugin finds them: each separately, from its configuration or else
 * from the environment. All of them are sent.
 * @see https://github.com/cloudflare/terraform-provider-cloudflare/blob/main/internal/provider.go (v5.19)
 * @see https://github.com/cloudflare/cloudflare-go/blob/main/client.go DefaultClientOptions
 */
import type { Failure } from "../plugin/fields.ts";
import type { Props, Value } from "../plugin/values.ts";

/** Credentials and address of requests. */
export interface CloudflareCredentials {
  apiToken: string | undefined;
  /** The legacy global key with its email address, sent beside the token. */
  apiKey: string | undefined;
  apiEmail: string | undefined;
  userServiceKey: string | undefined;
  /** Ends in `/client/v4`. @default Cloudflare's own */
  baseUrl: string | undefined;
}

const given = (value: Value | undefined): string | undefined => (typeof value === "string" ? value : undefined);

/** @throws without credentials, or when the base URL is empty */
export function cloudflareCredentials(config: Props, environment: NodeJS.ProcessEnv): CloudflareCredentials {
  // A variable that is set but empty is sent, as in the official plugin: Go's os.LookupEnv.
  const credentials: CloudflareCredentials = {
    apiToken: given(config.apiToken) ?? environment.CLOUDFLARE_API_TOKEN,
    apiKey: given(config.apiKey) ?? environment.CLOUDFLARE_API_KEY,
    apiEmail: given(config.email) ?? environment.CLOUDFLARE_EMAIL,
    userServiceKey: given(config.apiUserServiceKey) ?? environment.CLOUDFLARE_API_USER_SERVICE_KEY,
    baseUrl: given(config.baseUrl) ?? environment.CLOUDFLARE_BASE_URL,
  };
  const { apiToken, apiKey, apiEmail, userServiceKey, baseUrl } = credentials;
  if (!apiToken && !(apiKey && apiEmail) && !userServiceKey) {
    throw new Error(
      "no API token for Cloudflare: set the environment variable CLOUDFLARE_API_TOKEN or the configuration cloudflare:apiToken",
    );
  }
  if (baseUrl === "") {
    throw new Error(
      'the base URL is "": unsupported protocol scheme "". Unset CLOUDFLARE_BASE_URL and cloudflare:baseUrl, or give an address',
    );
  }
  return credentials;
}

/** The official plugin's schema checks of credentials in its configuration. It does not check those of the environment. */
export function credentialFailures(config: Props): Failure[] {
  const { apiToken, apiKey, email } = config;
  const failures: Failure[] = [];
  if (typeof apiToken === "string" && !/^[A-Za-z0-9_-]{40,80}$/.test(apiToken)) {
    const reason = `the secret value has ${apiToken.length} characters: an API token has 40 to 80, of a-z, A-Z, 0-9, - and _`;
    failures.push({ property: "apiToken", reason });
  }
  if (typeof apiKey === "string" && !/[0-9a-f]{37}/.test(apiKey)) {
    const reason = "the secret value is not an API key: it has 37 characters, of 0-9 and a-f";
    failures.push({ property: "apiKey", reason });
  }
  if (typeof apiKey === "string" && typeof email !== "string") {
    failures.push({ property: "apiKey", reason: "email must be given with it: give both or neither" });
  }
  return failures;
}
