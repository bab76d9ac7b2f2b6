/** What the Cloudflare account holds: which account, zone and team, who can sign in, and which name is free. */

import type { CloudflareLookups, Zone } from "../../accounts/cloudflare.ts";
import { describeFailure, type LookupResult } from "../../accounts/lookup-result.ts";
import { InitRefusal } from "../refusal.ts";
import type { Options } from "./options.ts";
import type { Asker } from "./prompts.ts";
import { faultAt } from "./validate.ts";

/** What was found and chosen. */
export interface AccountChoice {
  readonly accountId: string;
  readonly zoneId: string;
  readonly hostname: string;
}

/** The value of an answer. @throws InitRefusal with what was said, and what to do */
export function answerOf<T>(answer: LookupResult<T>, todo: string): T {
  if (answer.ok) return answer.value;
  const lacks = answer.failure.permission ? ` It lacks the permission "${answer.failure.permission}".` : "";
  throw new InitRefusal(`${describeFailure(answer.failure)}.${lacks} ${todo}`);
}

const tokenAdvice =
  "Make an API token (dash.cloudflare.com → My Profile → API Tokens, with the rights that README.md lists) and set CLOUDFLARE_API_TOKEN";

/**
 * Asks the account, and the person where there is more than one answer.
 * @param known the hostname of the file that is there already
 * @param adopts takes a name that is taken: existing resources are taken over
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
    throw new InitRefusal(
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
    question: "Under which domain should the model be reachable?",
    choices: own.map((one) => ({
      value: one,
      shown: `${one.name} (${one.plan || one.status})`,
      keys: [one.id, one.name],
    })),
    preferred: own.find((one) => known?.endsWith(`.${one.name}`)),
  });
  say(
    `zone: ${zone.name} (${zone.id})${zone.status === "active" ? "" : `, but it is ${zone.status}: its registrar must name ${zone.nameServers.join(" and ")}`}`,
  );
  await sayWhoSignsIn(lookups, account.id, say);
  return {
    accountId: account.id,
    zoneId: zone.id,
    hostname: await chooseHostname(lookups, zone, { asker, options, say, known }),
  };
}

async function sayWhoSignsIn(
  lookups: CloudflareLookups,
  accountId: string,
  say: (line: string) => void,
): Promise<void> {
  const organization = await lookups.zeroTrustOrganization(accountId);
  if (!organization.ok && organization.failure.kind === "not-enabled") {
    throw new InitRefusal(
      "Zero Trust is not set up in this account: one.dash.cloudflare.com → choose a team name and the Free plan; then run init again",
    );
  }
  const { authDomain } = answerOf(organization, tokenAdvice);
  say(`Zero Trust team: ${authDomain}`);
  const providers = answerOf(await lookups.identityProviders(accountId), tokenAdvice);
  say(
    providers.length > 0
      ? `people sign in with: ${providers.map((one) => one.name || one.type).join(", ")}`
      : "no way to sign in yet: `pulumi up` makes the one-time PIN when you name people for /status; servers need none",
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
        ? `${hostname}: there is ${taken} already; it will be named before it is taken over`
        : `${hostname}: there is ${taken} already, so \`pulumi up\` will refuse. Take another name, or take over what is there: npm run init -- --adopt`,
    );
  }
  say(`hostname: ${hostname}, one label under ${zone.name}, since Cloudflare's free certificate covers no more`);
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
    say(`${name} is taken: there is ${taken}`);
  }
  return undefined;
}

/** What holds a name already, in words. */
async function takenBy(lookups: CloudflareLookups, zone: Zone, hostname: string): Promise<string | undefined> {
  const records = answerOf(await lookups.dnsRecordsOf(zone.id, hostname), tokenAdvice);
  const record = records.find(({ type }) => ["A", "AAAA", "CNAME", "NS"].includes(type));
  if (record) return `a ${record.type} record that leads to ${record.content}`;
  const apps = answerOf(await lookups.accessApplications(zone.account.id), tokenAdvice);
  const app = apps.find(({ destinations }) => destinations.some((one) => one.split("/")[0] === hostname));
  return app ? `the Access application ${JSON.stringify(app.name)}` : undefined;
}
