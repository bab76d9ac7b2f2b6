/**
 * The variables by which the provider plugins find their accounts: what a sandbox sets, and what it must keep out. The
 * official plugins take more from the environment than a stack's config can override, so a variable left over in a shell
 * would lead a sandbox's run to a real account.
 */

/** Where the emulated accounts are, and as whom to ask. */
export interface Accounts {
  cloudflareApi: string;
  cloudflareApiToken: string;
  atlasApi: string;
  atlasPublicKey: string;
  atlasPrivateKey: string;
}

/**
 * The credentials and the base URLs. The base URLs too: with the keys in the environment the official mongodbatlas plugin
 * ignores `mongodbatlas:baseUrl` and asks cloud.mongodb.com.
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
 * What must not come along from the user's shell: it would be sent beside a sandbox's credentials, come before them, or
 * lead elsewhere. Those of AWS itself stay: only ASSUME_ROLE_ARN makes the plugin look at them.
 */
export const strayVariables: readonly string[] = [
  // Cloudflare: sent beside the API token. https://github.com/cloudflare/terraform-provider-cloudflare/blob/main/internal/provider.go
  "CLOUDFLARE_API_KEY",
  "CLOUDFLARE_EMAIL",
  "CLOUDFLARE_API_USER_SERVICE_KEY",
  "CLOUDFLARE_CUSTOM_HEADERS",
  // Atlas: come before MONGODB_ATLAS_PUBLIC_KEY, or are part of the same set.
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
  // The Mac and the callers' token of a real stack.
  "SLM_NETWORK_SSH_AT",
  "SLM_NETWORK_SSH_KEY",
  "CF_ACCESS_CLIENT_ID",
  "CF_ACCESS_CLIENT_SECRET",
];

/**
 * The engine's own variables too, all of them: PULUMI_DEBUG_PROVIDERS and PULUMI_DEBUG_LANGUAGES attach to processes of
 * another run, and others change what is run. A sandbox sets those that it needs.
 */
const isStray = (name: string): boolean => strayVariables.includes(name) || name.startsWith("PULUMI_");

/** @returns the environment without what would lead elsewhere */
export function withoutStrays(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !isStray(name)));
}

/** @returns the names of strays that are set, for a word about them */
export const straysIn = (environment: NodeJS.ProcessEnv): string[] =>
  Object.keys(environment).filter((name) => environment[name] !== undefined && isStray(name));
