/**
 * Environment variables of the provider plugins: those a sandbox sets, and those it must remove. The official plugins read
 * more from the environment than a stack's config can override, so a left-over variable would direct a sandbox's run to a
 * real account.
 */

/** Addresses and credentials of the emulated accounts. */
export interface Accounts {
  cloudflareApi: string;
  cloudflareApiToken: string;
  atlasApi: string;
  atlasPublicKey: string;
  atlasPrivateKey: string;
}

/**
 * The credentials and the base URLs. With the keys in the environment the official mongodbatlas plugin ignores
 * `mongodbatlas:baseUrl` and calls cloud.mongodb.com.
 * @see https://github.com/mongodb/terraform-provider-mongodbatlas/blob/master/internal/config/credentials.go
 */
export const providerVariables = (accounts: Accounts): Record<string, string> => ({
  CLOUDFLARE_API_TOKEN: accounts.cloudflareApiToken,
  CLOUDFLARE_BASE_URL: accounts.cloudflareApi,
  MONGODB_ATLAS_PUBLIC_KEY: accounts.atlasPublicKey,
  MONGODB_ATLAS_PRIVATE_KEY: accounts.atlasPrivateKey,
  MONGODB_ATLAS_BASE_URL: accounts.atlasApi,
});

/**
 * Variables to remove from the user's shell: they would be sent beside a sandbox's credentials, take precedence, or change
 * the address. AWS' own stay: the plugin reads them only with ASSUME_ROLE_ARN.
 */
export const strayVariables: readonly string[] = [
  // Cloudflare: sent beside the API token. https://github.com/cloudflare/terraform-provider-cloudflare/blob/main/internal/provider.go
  "CLOUDFLARE_API_KEY",
  "CLOUDFLARE_EMAIL",
  "CLOUDFLARE_API_USER_SERVICE_KEY",
  "CLOUDFLARE_CUSTOM_HEADERS",
  // Atlas: take precedence over MONGODB_ATLAS_PUBLIC_KEY, or belong to the same set.
  "ASSUME_ROLE_ARN",
  "TF_VAR_ASSUME_ROLE_ARN",
  "MONGODB_ATLAS_ACCESS_TOKEN",
  "MONGODB_ATLAS_CLIENT_ID",
  "MONGODB_ATLAS_CLIENT_SECRET",
  "MONGODB_ATLAS_PUBLIC_API_KEY",
  "MONGODB_ATLAS_PRIVATE_API_KEY",
  "MONGODB_ATLAS_IS_MONGODBGOV_CLOUD",
  "MONGODB_REALM_BASE_URL",
  "MCLI_PUBLIC_API_KEY",
  "MCLI_PRIVATE_API_KEY",
  "MCLI_OPS_MANAGER_URL",
  // The Mac and the service token of a real stack.
  "SLM_NETWORK_SSH_AT",
  "SLM_NETWORK_SSH_KEY",
  "CF_ACCESS_CLIENT_ID",
  "CF_ACCESS_CLIENT_SECRET",
];

/**
 * All of the engine's own variables too: PULUMI_DEBUG_PROVIDERS and PULUMI_DEBUG_LANGUAGES attach to processes of another
 * run, and others change what is run. A sandbox sets those it needs.
 */
const isStray = (name: string): boolean => strayVariables.includes(name) || name.startsWith("PULUMI_");

/** @returns the environment without stray variables */
export function withoutStrays(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !isStray(name)));
}

/** @returns the names of the stray variables that are set, for the log */
export const straysIn = (environment: NodeJS.ProcessEnv): string[] =>
  Object.keys(environment).filter((name) => environment[name] !== undefined && isStray(name));
