/** How people sign in: which of the account's identity providers to use, and whether to declare the one-time PIN. */
import { kindOf } from "../config/resource-types.ts";
import type { DeployedResource } from "./deployed.ts";

/** One of the account's login methods. */
export interface IdentityProvider {
  readonly id: string;
  /** As the sign-in page shows it; empty for those that Cloudflare made itself. */
  readonly name: string;
  /** e.g. `google`, `azureAD`, `onetimepin`. */
  readonly type: string;
}

/** Looked up in the account when people may sign in. */
export interface LoginLookups {
  /** All identity providers of the account. */
  identityProviders(): Promise<readonly IdentityProvider[]>;
}

/** The parts of the config that name people. */
export interface PeopleConfig {
  readonly people: { readonly emails: readonly string[]; readonly emailDomains: readonly string[] };
  readonly macs?: readonly { readonly sshThroughTunnel?: { readonly emails: readonly string[] } | undefined }[];
}

/** @returns whether anyone signs in: on `/status`, or to reach the Mac's SSH through the tunnel */
export const signsIn = ({ people, macs = [] }: PeopleConfig): boolean =>
  people.emails.length + people.emailDomains.length > 0 ||
  macs.some(({ sshThroughTunnel }) => (sshThroughTunnel?.emails.length ?? 0) > 0);

/** How people sign in. */
export interface Login {
  /** Ids of providers that are there; none of them is ever changed or deleted by this program. */
  readonly existing: readonly string[];
  /** Whether the one-time PIN is declared here. */
  readonly declareOneTimePin: boolean;
}

/** The word for Cloudflare's own login method, a code by e-mail; also its type in the API. */
export const oneTimePin = "onetimepin";

/** @returns the name of the one-time PIN's resource */
export const oneTimePinName = (name: string): string => `${name}-one-time-pin`;

/** @returns whether the last deployment declared the one-time PIN: then it goes on doing so, or it would delete it */
export const ownsOneTimePin = (name: string, deployed: readonly DeployedResource[]): boolean =>
  deployed.some((resource) => kindOf(resource.type) === "identityProvider" && resource.name === oneTimePinName(name));

const named = ({ id, name, type }: IdentityProvider): string => `${JSON.stringify(name || id)} (${type}, ${id})`;

/** By its id, else by its name, else by its kind; the first of these that finds any. */
function matching(wanted: string, existing: readonly IdentityProvider[]): readonly IdentityProvider[] {
  const same = (text: string) => text.toLowerCase() === wanted.toLowerCase();
  const found = [({ id }: IdentityProvider) => same(id), ({ name }: IdentityProvider) => same(name)]
    .map((by) => existing.filter(by))
    .find((providers) => providers.length > 0);
  return found ?? existing.filter(({ type }) => same(type));
}

/**
 * An account has one one-time PIN, which all its applications share, and new accounts are made with it: so the one that is
 * there is taken, and it is declared only where there is none.
 *
 * @param wanted `onetimepin`, or the name, kind or id of a provider that is there
 * @param pinIsOurs the last deployment declared the one-time PIN
 * @returns what to take, or every problem
 */
export function chooseLogin(
  wanted: readonly string[],
  existing: readonly IdentityProvider[],
  pinIsOurs: boolean,
): Login | { readonly problems: readonly string[] } {
  const ids: string[] = [];
  const problems: string[] = [];
  let declareOneTimePin = false;
  for (const [index, one] of wanted.entries()) {
    const place = `slm-network:access.people.identityProviders[${index}]: ${JSON.stringify(one)}`;
    const found = matching(one, existing);
    const [first] = found;
    if (one === oneTimePin && (pinIsOurs || !first)) declareOneTimePin = true;
    else if (one === oneTimePin && first) ids.push(first.id);
    else if (!first) {
      const known = existing.length > 0 ? `, which has ${existing.map(named).join(", ")}` : ", which has none";
      problems.push(
        `${place} is not an identity provider of the account${known}. Take the name or id of one of these, or ${oneTimePin} (a code by e-mail, made when it is not there); others are added in Zero Trust → Settings → Authentication`,
      );
    } else if (found.length > 1) {
      problems.push(`${place} may mean ${found.map(named).join(" or ")}: give the id of the one that is meant`);
    } else ids.push(first.id);
  }
  return problems.length > 0 ? { problems } : { existing: [...new Set(ids)], declareOneTimePin };
}
