/** All that a stack is asked before anything is declared: the account, the route, who signs in, and when secrets rotate. */
import * as cloudflare from "@pulumi/cloudflare";
import { ConfigError, type StackConfig } from "../config/config.ts";
import { accountProblems } from "./account-check.ts";
import { accountFacts } from "./account-facts.ts";
import { atlasSource, type ConfigValue, cloudflareAccess } from "./credentials.ts";
import type { DeployedResource } from "./deployed.ts";
import { problemText } from "./finding.ts";
import { chooseLogin, type Login, type LoginFacts, ownsOneTimePin } from "./identity-providers.ts";
import { deployedSecrets, rotationProblem, tokenName, type WantedSecret } from "./rotation.ts";
import { routeProblems } from "./route-check.ts";
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

/**
 * Nothing is changed.
 * @returns by what people sign in
 * @throws ConfigError with every problem. What rests on the account is asked only once the account itself is in order
 */
export async function checkStack(config: StackConfig, args: CheckArgs): Promise<Login> {
  const { deployed } = args;
  const access = cloudflareAccess(args.providerConfig);
  const wanted = { ...config, tunnelName: args.tunnelName };
  const { problems: cloudflareProblems, zoneName } = await accountProblems(wanted, access, deployed);
  const found = [...cloudflareProblems, ...atlasProblems(config, args.providerConfig)];
  const late = args.forceRotation ? [] : untimelyRotations(config.access.servers, args.name, deployed);
  if (found.length > 0) throw new ConfigError([...found, ...late], "what the stack rests on has");

  const { accountId, zoneId } = config;
  const account = accountFacts({ accountId, zoneId, ...access });
  const zone = zoneName ?? (await cloudflare.getZone({ zoneId })).name;
  const login = await loginOf(config.access.people, args.name, account, deployed);
  const refused = "problems" in login ? login.problems : [];
  const problems = [...(await routeProblems(config, zone, account)), ...sshProblems(config, zone), ...refused, ...late];
  if (problems.length > 0 || "problems" in login) throw new ConfigError(problems);
  return login;
}

/** Atlas itself is left to its provider; only what would lead that to another Atlas than the config says. */
function atlasProblems({ documents }: StackConfig, providerConfig: ConfigValue): string[] {
  if (documents.store !== "atlas") return [];
  const { findings } = atlasSource(providerConfig);
  return findings.filter(({ level }) => level === "fail").map(problemText);
}

/** @returns a problem for each secret that must not be rotated now */
function untimelyRotations(servers: readonly WantedSecret[], name: string, deployed: readonly DeployedResource[]) {
  const names = servers.map((server) => server.name);
  const secrets = deployedSecrets(names, (server) => tokenName(name, server), deployed);
  return servers.flatMap((server) => rotationProblem(server, secrets.get(server.name)) ?? []);
}

/** The account is asked only when somebody may sign in. @returns by what, or every problem */
async function loginOf(
  people: StackConfig["access"]["people"],
  name: string,
  account: LoginFacts,
  deployed: readonly DeployedResource[],
): Promise<Login | { readonly problems: readonly string[] }> {
  if (people.emails.length + people.emailDomains.length === 0) return { existing: [], declareOneTimePin: false };
  return chooseLogin(people.identityProviders, await account.identityProviders(), ownsOneTimePin(name, deployed));
}
