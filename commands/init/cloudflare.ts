/** Chooses account, zone and hostname from what the API token can see, and shows the team and its login methods. */

import type { CloudflareLookups, Zone } from "../../accounts/cloudflare.ts";
import { describeFailure, type LookupResult } from "../../accounts/lookup-result.ts";
import { Refusal } from "../errors.ts";
import type { Options } from "./options.ts";
import type { Asker } from "./prompts.ts";
import { faultAt } from "./validate.ts";

/** The choice. */
export interface AccountChoice {
  readonly accountId: string;
  readonly zoneId: string;
  readonly hostname: string;
}

/** @returns the value of an answer. @throws Refusal with the failure and its fix */
export function answerOf<T>(answer: LookupResult<T>, todo: string): T {
  if (answer.ok) return answer.value;
  const lacks = answer.failure.permission ? ` It lacks the permission "${answer.failure.permission}".` : "";
  throw new Refusal(`${describeFailure(answer.failure)}.${lacks} ${todo}`);
}

const tokenAdvice =
  "Create an API token with the permissions that README.md lists (dash.cloudflare.com → Manage Account → API Tokens) and put CLOUDFLARE_API_TOKEN=… into .env";

/**
 * Asks the account, and the user where there is more than one choice.
 * @param known the hostname in the existing stack file
 */
export async function chooseAccount(
  lookups: CloudflareLookups,
  {
    asker,
    options,
    say,
    known,
  }: { asker: Asker; options: Options; say: (line: string) => void; known?: string | undefined },
): Promise<AccountChoice> {
  const zones = answerOf(await lookups.zones(), tokenAdvice);
  if (zones.length === 0) {
    throw new Refusal(
      `the API token sees no zone. Give it "Zone: Read" and "DNS: Edit" for your domain; without a domain in Cloudflare: dash.cloudflare.com → Add a domain`,
    );
  }
  const accounts = new Map(zones.map(({ account }) => [account.id, account]));
  const account = await asker.choose({
    flag: "--account",
    given: options.account,
    question: "Which Cloudflare account?",
    choices: [...accounts.values()].map((one) => ({
      value: one,
      shown: `${one.name} (${one.id})`,
      keys: [one.id, one.name],
    })),
  });
  say(`account: ${account.name} (${account.id})`);
  const own = zones.filter((zone) => zone.account.id === account.id);
  const zone = await asker.choose({
    flag: "--zone",
    given: options.zone,
    question: "Which domain will callers use?",
    choices: own.map((one) => ({
      value: one,
      shown: `${one.name} (${one.plan || one.status})`,
      keys: [one.id, one.name],
    })),
    preferred: own.find((one) => known?.endsWith(`.${one.name}`)),
  });
  say(
    `zone: ${zone.name} (${zone.id})${zone.status === "active" ? "" : `, but it is ${zone.status}: its registrar must delegate it to ${zone.nameServers.join(" and ")}`}`,
  );
  await showLoginMethods(lookups, account.id, say);
  return {
    accountId: account.id,
    zoneId: zone.id,
    hostname: await chooseHostname(lookups, zone, { asker, options, say, known }),
  };
}

async function showLoginMethods(
  lookups: CloudflareLookups,
  accountId: string,
  say: (line: string) => void,
): Promise<void> {
  const organization = await lookups.zeroTrustOrganization(accountId);
  if (!organization.ok && organization.failure.kind === "not-enabled") {
    throw new Refusal(
      "Zero Trust is not set up in this account: one.dash.cloudflare.com → choose a team name and the Free plan; then run init again",
    );
  }
  const { authDomain } = answerOf(organization, tokenAdvice);
  say(`Zero Trust team: ${authDomain}`);
  const providers = answerOf(await lookups.identityProviders(accountId), tokenAdvice);
  say(
    providers.length > 0
      ? `people sign in with: ${providers.map((one) => one.name || one.type).join(", ")}`
      : "no login method yet: `pulumi up` creates the one-time PIN if you name people for /status; servers need none",
  );
}

/** slm, slm-2, slm-3, … one label under the zone. */
export const candidates = (zoneName: string): string[] =>
  Array.from({ length: 9 }, (_, index) => `slm${index === 0 ? "" : `-${index + 1}`}.${zoneName}`);

async function chooseHostname(
  lookups: CloudflareLookups,
  zone: Zone,
  {
    asker,
    options,
    say,
    known,
  }: { asker: Asker; options: Options; say: (line: string) => void; known?: string | undefined },
): Promise<string> {
  const under = (name: string): string | undefined => {
    if (!name.endsWith(`.${zone.name}`)) return `${JSON.stringify(name)} is not under the zone ${zone.name}`;
    return name.slice(0, -zone.name.length - 1).includes(".")
      ? `${JSON.stringify(name)} is more than one label under ${zone.name}: Cloudflare's free certificate does not cover it`
      : undefined;
  };
  const fault = (name: string) => faultAt(["hostname"], name) ?? under(name);
  const wanted = options.hostname ?? (known !== undefined && fault(known) === undefined ? known : undefined);
  const free = wanted ?? (await firstFree(lookups, zone, options.adopt, say));
  const hostname = await asker.text({
    flag: "--hostname",
    given: options.hostname,
    question: "The name callers use:",
    preferred: free,
    fault,
  });
  const taken = await takenBy(lookups, zone, hostname);
  if (taken !== undefined && hostname !== known) {
    say(
      options.adopt
        ? `${hostname}: ${taken} exists; it will be listed before it is adopted`
        : `${hostname}: ${taken} exists, so \`pulumi up\` will refuse. Choose another name, or adopt it: npm run init -- --adopt`,
    );
  }
  say(`hostname: ${hostname}, one label under ${zone.name}: Cloudflare's free certificate covers no more`);
  return hostname;
}

async function firstFree(
  lookups: CloudflareLookups,
  zone: Zone,
  adopts: boolean,
  say: (line: string) => void,
): Promise<string | undefined> {
  for (const name of candidates(zone.name)) {
    const taken = await takenBy(lookups, zone, name);
    if (taken === undefined || adopts) return name;
    say(`${name} is taken: ${taken} exists`);
  }
  return undefined;
}

/** @returns what uses a name already */
async function takenBy(lookups: CloudflareLookups, zone: Zone, hostname: string): Promise<string | undefined> {
  const records = answerOf(await lookups.dnsRecordsOf(zone.id, hostname), tokenAdvice);
  const record = records.find(({ type }) => ["A", "AAAA", "CNAME", "NS"].includes(type));
  if (record) return `a ${record.type} record to ${record.content}`;
  const apps = answerOf(await lookups.accessApplications(zone.account.id), tokenAdvice);
  const app = apps.find(({ destinations }) => destinations.some((one) => one.split("/")[0] === hostname));
  return app ? `the Access application ${JSON.stringify(app.name)}` : undefined;
}
