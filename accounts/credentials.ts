/**
 * Where the provider plugins take their credentials and base URLs, so that checks and commands ask the same accounts as
 * `pulumi up`. Pure.
 * @see https://github.com/cloudflare/terraform-provider-cloudflare/blob/main/internal/provider.go
 * @see https://github.com/mongodb/terraform-provider-mongodbatlas/blob/master/internal/config/credentials.go
 */
import { withoutSlash } from "../runtime/base-url.ts";
import { type AtlasAccess, atlasBase } from "./atlas-sign-in.ts";
import type { CloudflareAccess } from "./cloudflare.ts";
import type { Finding } from "./finding.ts";
import type { Where } from "./messages/en.ts";
import { fail, warn } from "./messages.ts";

/** Looks up a key of the stack's config, e.g. `cloudflare:baseUrl`. */
export type ConfigValue = (key: string) => string | undefined;

/** What the provider sends to Cloudflare beside the API token. */
const besideToken = {
  "cloudflare:apiKey": "CLOUDFLARE_API_KEY",
  "cloudflare:email": "CLOUDFLARE_EMAIL",
  "cloudflare:apiUserServiceKey": "CLOUDFLARE_API_USER_SERVICE_KEY",
} as const;

/** Each by itself: the stack's config, else the environment. */
export function cloudflareAccess(config: ConfigValue, environment: NodeJS.ProcessEnv = process.env): CloudflareAccess {
  const beside = Object.entries(besideToken).flatMap(([key, variable]) =>
    config(key) !== undefined ? [key] : environment[variable] !== undefined ? [variable] : [],
  );
  return {
    apiToken: config("cloudflare:apiToken") ?? environment.CLOUDFLARE_API_TOKEN,
    baseUrl: config("cloudflare:baseUrl") ?? environment.CLOUDFLARE_BASE_URL,
    beside,
  };
}

/** Without an API token, by a global key: then only the provider can ask. */
export const signsInByGlobalKey = ({ apiToken, beside = [] }: CloudflareAccess): boolean =>
  !apiToken && beside.length > 0;

/** Atlas, as the provider will ask it. */
export interface AtlasSource {
  readonly access: AtlasAccess;
  /** What is wrong with the credentials, or why nothing can be asked with them here. */
  readonly findings: readonly Finding[];
  /** False: the provider signs in in a way that only it can, or not at all. */
  readonly usable: boolean;
}

const nobody: AtlasAccess = {};

/** One source of credentials. */
interface Candidate {
  readonly where: Where;
  readonly accessToken: string | undefined;
  readonly clientId: string | undefined;
  readonly clientSecret: string | undefined;
  readonly publicKey: string | undefined;
  readonly privateKey: string | undefined;
  readonly baseUrl: string | undefined;
}

function candidates(config: ConfigValue, environment: NodeJS.ProcessEnv): readonly [Candidate, Candidate] {
  const ours = (name: string) => config(`mongodbatlas:${name}`) || undefined;
  const first = (...names: string[]) => names.map((name) => environment[name]).find(Boolean);
  return [
    {
      where: "the stack's config",
      accessToken: ours("accessToken"),
      clientId: ours("clientId"),
      clientSecret: ours("clientSecret"),
      publicKey: ours("publicKey"),
      privateKey: ours("privateKey"),
      baseUrl: ours("baseUrl"),
    },
    {
      where: "the environment",
      accessToken: first("MONGODB_ATLAS_ACCESS_TOKEN"),
      clientId: first("MONGODB_ATLAS_CLIENT_ID"),
      clientSecret: first("MONGODB_ATLAS_CLIENT_SECRET"),
      publicKey: first("MONGODB_ATLAS_PUBLIC_API_KEY", "MONGODB_ATLAS_PUBLIC_KEY", "MCLI_PUBLIC_API_KEY"),
      privateKey: first("MONGODB_ATLAS_PRIVATE_API_KEY", "MONGODB_ATLAS_PRIVATE_KEY", "MCLI_PRIVATE_API_KEY"),
      baseUrl: first("MONGODB_ATLAS_BASE_URL", "MCLI_OPS_MANAGER_URL"),
    },
  ];
}

/**
 * All from the stack's config, or all from the environment; AWS Secrets Manager before both. Within one: an access token
 * before a service account before an API key.
 */
export function atlasSource(config: ConfigValue, environment: NodeJS.ProcessEnv = process.env): AtlasSource {
  const role = config("mongodbatlas:assumeRole")
    ? "mongodbatlas:assumeRole"
    : ["ASSUME_ROLE_ARN", "TF_VAR_ASSUME_ROLE_ARN"].find((name) => environment[name]);
  if (role) return onlyTheProvider(role);
  const [ofConfig, ofEnvironment] = candidates(config, environment);
  const source = [ofConfig, ofEnvironment].find(
    ({ accessToken, clientId, clientSecret, publicKey, privateKey }) =>
      accessToken ?? clientId ?? clientSecret ?? publicKey ?? privateKey,
  );
  // Without a key nothing can be looked up; the caller reports it.
  if (!source) return { access: nobody, findings: [], usable: true };
  const ignored = ignoredBaseUrl(ofConfig, source);
  const { accessToken, clientId, clientSecret, publicKey, privateKey, baseUrl, where } = source;
  if (accessToken) return { access: { accessToken, baseUrl }, findings: ignored, usable: true };
  if (clientId ?? clientSecret) {
    if (clientId && clientSecret)
      return { access: { clientId, clientSecret, baseUrl }, findings: ignored, usable: true };
    const key = clientId ? "noSecret" : "noId";
    return {
      access: nobody,
      findings: [...ignored, fail("atlas.key", (say) => say.atlasKey[key](where))],
      usable: false,
    };
  }
  if (!publicKey || !privateKey) {
    const key = publicKey ? "noPrivate" : "noPublic";
    return {
      access: nobody,
      findings: [...ignored, fail("atlas.key", (say) => say.atlasKey[key](where))],
      usable: false,
    };
  }
  return { access: { publicKey, privateKey, baseUrl }, findings: ignored, usable: true };
}

/** A base URL beside keys of another place is not read: `up` would ask the public Atlas. */
function ignoredBaseUrl({ baseUrl: configured }: Candidate, source: Candidate): Finding[] {
  const used = atlasBase(source);
  if (source.where === "the stack's config" || !configured || withoutSlash(configured) === used) return [];
  return [fail("atlas.base-url", (say) => say.atlasKey.ignoredBaseUrl(configured, used))];
}

function onlyTheProvider(setting: string): AtlasSource {
  const finding = warn("atlas.key", (say) => say.atlasKey.secretsManager(setting));
  return { access: nobody, findings: [finding], usable: false };
}
