/** Everything that is checked before anything is declared: the account, the route, how people sign in, and when secrets rotate. */
import { getZeroTrustOrganization } from "@pulumi/cloudflare/getZeroTrustOrganization.js";
import { getZone } from "@pulumi/cloudflare/getZone.js";
import { ConfigError, type StackConfig } from "../config/config.ts";
import { type AccessListPlan, planAccessList } from "./access-list.ts";
import { type AccountCheck, checkAccount } from "./account-check.ts";
import { atlasLookups } from "./atlas.ts";
import { cloudflareLookups, memoizeLookups } from "./cloudflare.ts";
import {
  type AtlasSource,
  atlasSource,
  type ConfigValue,
  cloudflareAccess,
  signsInByGlobalKey,
} from "./credentials.ts";
import type { DeployedResource } from "./deployed.ts";
import { problemText } from "./finding.ts";
import { chooseLogin, type Login, type LoginLookups, ownsOneTimePin, signsIn } from "./identity-providers.ts";
import { requiredLookups } from "./required-lookups.ts";
import { deployedSecrets, rotationProblem, tokenName, type WantedSecret } from "./rotation.ts";
import { routeProblems } from "./route-check.ts";
import { servesCustomHostname } from "./saas-phase.ts";
import { sshProblems } from "./ssh-check.ts";

/** What is not in the stack's config. */
export interface CheckArgs {
  /** Prefix of the resources' names. */
  readonly name: string;
  readonly tunnelName: string;
  /** The providers' own config, by the full key. */
  readonly providerConfig: ConfigValue;
  /** The last deployment. */
  readonly deployed: readonly DeployedResource[];
  /** Lets secrets rotate whatever the time. */
  readonly forceRotation: boolean;
}

/** What the checks found out that the program needs. */
export interface CheckedStack {
  readonly login: Login;
  /** `<team>.cloudflareaccess.com` */
  readonly authDomain: string;
  /** Mode `saas`: the custom hostname is active, so Access and the tunnel have it. */
  readonly servesCustomHostname: boolean;
  readonly accessList: AccessListPlan;
}

/**
 * Changes nothing. Each question is asked once.
 * @throws ConfigError with every problem. What depends on the account is checked only once the account itself is in order
 */
export async function checkStack(config: StackConfig, args: CheckArgs): Promise<CheckedStack> {
  const { deployed } = args;
  const { accountId, zoneId } = config;
  const access = cloudflareAccess(args.providerConfig);
  const lookups = memoizeLookups(cloudflareLookups(access));
  const wanted = { ...config, tunnelName: args.tunnelName };
  // With a global API key only the provider can sign in.
  const account: AccountCheck = signsInByGlobalKey(access)
    ? { problems: [] }
    : await checkAccount(wanted, { access, lookups }, deployed);
  const early = args.forceRotation
    ? []
    : untimelyRotations([...config.access.servers, ...config.metrics.scrapers], args.name, deployed);
  const atlas = atlasSource(args.providerConfig);
  const found = [...account.problems, ...atlasProblems(config, atlas)];
  if (found.length > 0) throw new ConfigError([...found, ...early], "the accounts and credentials of the stack have");

  const required = requiredLookups({ accountId, zoneId }, lookups);
  const zone = account.zoneName ?? (await getZone({ zoneId })).name;
  const [route, login, authDomain, servesCustom, accessList] = await Promise.all([
    routeProblems(config, zone, required),
    loginOf(config, args.name, required, deployed),
    account.authDomain ?? getZeroTrustOrganization({ accountId }).then((one) => one.authDomain),
    servesCustomHostname(config.route, required, deployed),
    planAccessList(config, atlas.usable ? atlasLookups({ ...atlas.access, timeoutMs: 10_000 }) : undefined, deployed),
  ]);
  const problems = [...route, ...sshProblems(config, zone), ...("problems" in login ? login.problems : []), ...early];
  if (problems.length > 0 || "problems" in login) throw new ConfigError(problems);
  return { login, authDomain, servesCustomHostname: servesCustom, accessList };
}

/** Atlas itself is left to its provider; only what would lead that to another Atlas than the config says. */
function atlasProblems({ documents }: StackConfig, { findings }: AtlasSource): string[] {
  if (documents.store !== "atlas") return [];
  return findings.filter(({ level }) => level === "fail").map(problemText);
}

/** @returns a problem for each secret that must not be rotated now */
function untimelyRotations(servers: readonly WantedSecret[], name: string, deployed: readonly DeployedResource[]) {
  const names = servers.map((server) => server.name);
  const secrets = deployedSecrets(names, (server) => tokenName(name, server), deployed);
  return servers.flatMap((server) => rotationProblem(server, secrets.get(server.name)) ?? []);
}

/** The account is asked only when people may sign in. @returns how, or every problem */
async function loginOf(
  { access: { people }, macs }: StackConfig,
  name: string,
  account: LoginLookups,
  deployed: readonly DeployedResource[],
): Promise<Login | { readonly problems: readonly string[] }> {
  if (!signsIn({ people, macs })) return { existing: [], declareOneTimePin: false };
  return chooseLogin(people.identityProviders, await account.identityProviders(), ownsOneTimePin(name, deployed));
}
