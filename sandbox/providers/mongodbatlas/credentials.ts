/**
 * Credentials and base URL as the official mongodbatlas plugin finds them: all from its configuration or all from the
 * environment, never mixed.
 * @see https://github.com/mongodb/terraform-provider-mongodbatlas/blob/master/internal/config/credentials.go (v2.16)
 */
import { isProps, type Props, type Value } from "../plugin/values.ts";

/** How a request is signed. */
export type AtlasSignIn =
  | { kind: "token"; accessToken: string }
  | { kind: "service account"; clientId: string; clientSecret: string }
  | { kind: "API key"; publicKey: string; privateKey: string }
  | { kind: "none" };

/** The values of one source. */
interface Source {
  accessToken: string;
  clientId: string;
  clientSecret: string;
  publicKey: string;
  privateKey: string;
  baseUrl: string;
  government: boolean;
}

/** Address and credentials of requests. */
export interface AtlasCredentials {
  baseUrl: string;
  signIn: AtlasSignIn;
  /** The official plugin's warning. */
  warning: string | undefined;
}

const defaultBaseUrl = "https://cloud.mongodb.com/";
const governmentBaseUrl = "https://cloud.mongodbgov.com/";
const otherGovernmentBaseUrls = /^https:\/\/cloud-(dev|qa)\.mongodbgov\.com\/*$/;
/** Prefix of the client ids of service accounts. */
const serviceAccountPrefix = "mdb_sa";

const text = (value: Value | undefined): string => (typeof value === "string" ? value : "");

const ofConfiguration = (config: Props): Source => ({
  accessToken: text(config.accessToken),
  clientId: text(config.clientId),
  clientSecret: text(config.clientSecret),
  publicKey: text(config.publicKey),
  privateKey: text(config.privateKey),
  baseUrl: text(config.baseUrl),
  government: config.isMongodbgovCloud === true,
});

function ofEnvironment(environment: NodeJS.ProcessEnv): Source {
  // An empty variable counts as unset, as in the official plugin.
  const first = (...names: string[]): string => names.map((name) => environment[name]).find(Boolean) ?? "";
  return {
    accessToken: first("MONGODB_ATLAS_ACCESS_TOKEN"),
    clientId: first("MONGODB_ATLAS_CLIENT_ID"),
    clientSecret: first("MONGODB_ATLAS_CLIENT_SECRET"),
    publicKey: first("MONGODB_ATLAS_PUBLIC_API_KEY", "MONGODB_ATLAS_PUBLIC_KEY", "MCLI_PUBLIC_API_KEY"),
    privateKey: first("MONGODB_ATLAS_PRIVATE_API_KEY", "MONGODB_ATLAS_PRIVATE_KEY", "MCLI_PRIVATE_API_KEY"),
    baseUrl: first("MONGODB_ATLAS_BASE_URL", "MCLI_OPS_MANAGER_URL"),
    government: first("MONGODB_ATLAS_IS_MONGODBGOV_CLOUD") === "true",
  };
}

const hasServiceAccount = ({ clientId, clientSecret }: Source) => clientId !== "" || clientSecret !== "";
const hasKey = ({ publicKey, privateKey }: Source) => publicKey !== "" || privateKey !== "";
const isPresent = (source: Source) => source.accessToken !== "" || hasServiceAccount(source) || hasKey(source);

/**
 * @param config the provider's own configuration
 * @throws with the official plugin's text when half of a pair is missing; and for credentials in AWS Secrets Manager,
 * which this plugin cannot read
 */
export function atlasCredentials(config: Props, environment: NodeJS.ProcessEnv): AtlasCredentials {
  refuseAws(config, environment);
  const candidates = [ofConfiguration(config), ofEnvironment(environment)];
  const source = candidates.find(isPresent);
  // Without credentials the base URL is ignored too.
  if (!source) return { baseUrl: defaultBaseUrl, signIn: { kind: "none" }, warning: "No credentials set" };
  return { baseUrl: baseUrlOf(source), signIn: signInOf(source), warning: warningOf(source) };
}

function refuseAws(config: Props, environment: NodeJS.ProcessEnv): void {
  const [role] = Array.isArray(config.assumeRole) ? config.assumeRole : [config.assumeRole];
  const named = isProps(role) && text(role.roleArn) !== "" ? "mongodbatlas:assumeRole" : undefined;
  const found = named ?? ["ASSUME_ROLE_ARN", "TF_VAR_ASSUME_ROLE_ARN"].find((name) => environment[name]);
  if (found === undefined) return;
  throw new Error(
    `${found} is set: then the official plugin takes all credentials and the base URL from AWS Secrets Manager, whatever else is set. This plugin cannot ask AWS: unset ${found}`,
  );
}

function signInOf(source: Source): AtlasSignIn {
  const { accessToken, clientId, clientSecret, publicKey, privateKey } = source;
  if (accessToken !== "") return { kind: "token", accessToken };
  if (hasServiceAccount(source)) {
    if (clientId === "") throw new Error("Service Account will be used but Client ID is required");
    if (clientSecret === "") throw new Error("Service Account will be used but Client Secret is required");
    return { kind: "service account", clientId, clientSecret };
  }
  if (publicKey.startsWith(serviceAccountPrefix)) {
    throw new Error(
      "Service Account credentials (starting with 'mdb_sa') were provided in public_key/private_key which are meant for Programmatic Access Keys. Please use client_id and client_secret arguments for Service Account authentication",
    );
  }
  if (publicKey === "") throw new Error("API Key will be used but Public Key is required");
  if (privateKey === "") throw new Error("API Key will be used but Private Key is required");
  return { kind: "API key", publicKey, privateKey };
}

function warningOf(source: Source): string | undefined {
  const [token, account, key] = [source.accessToken !== "", hasServiceAccount(source), hasKey(source)];
  if (token && account && key) {
    return "Access Token will be used although Service Account and API Keys are also set";
  }
  if (token && account) return "Access Token will be used although Service Account is also set";
  if (token && key) return "Access Token will be used although API Key is also set";
  if (account && key) return "Service Account will be used although API Key is also set";
  return undefined;
}

function baseUrlOf({ baseUrl, government }: Source): string {
  if (government && !otherGovernmentBaseUrls.test(baseUrl)) return governmentBaseUrl;
  return baseUrl === "" ? defaultBaseUrl : baseUrl;
}
