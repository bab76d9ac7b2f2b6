/** How an emulated account is made. */
import type { Conditions } from "./conditions.ts";

/** An API token and its permissions: "all", or the dashboard's names, e.g. `DNS Write`. */
export interface ApiToken {
  value: string;
  permissions: "all" | string[];
  /** Account-owned tokens are unknown to the endpoints for user tokens. @default "user" */
  owner?: "user" | "account";
}

/** A region of Regional Services, as in the account's list. */
export interface Region {
  key: string;
  label: string;
}

/** How to make an account. */
export interface AccountOptions {
  /** 32 hex digits, as Cloudflare's. */
  accountId: string;
  zone: { id: string; name: string };
  /** `<team>.cloudflareaccess.com` */
  teamDomain: string;
  apiTokens: ApiToken[];
  /** State file, mode 0600. In memory only when absent. */
  statePath?: string;
  /** Regions the account is entitled to. Regional Services is an add-on: `[]` is an ordinary account. */
  regions?: Region[];
  /** Folder for the emails of notification policies; none are written when absent. */
  mailDir?: string;
  /** @default defaultConditions */
  conditions?: Partial<Conditions>;
  /** Time in ms for which an ended connection still counts: Cloudflare's bookkeeping lags. @default 0 */
  connectionLagMs?: number;
  /** File with the DNS records of external domains: `[{ "type": "CNAME", "name": …, "content": … }]`. */
  outsideDnsPath?: string;
}

/** Default regions of a test account. */
export const defaultRegions: Region[] = [
  { key: "ca", label: "Canada" },
  { key: "eu", label: "European Union" },
  { key: "us", label: "United States of America" },
  { key: "jp", label: "Japan" },
  { key: "kr", label: "Republic of Korea" },
];

/** @throws when an id has not Cloudflare's form */
export function checkIds({ accountId, zone }: Pick<AccountOptions, "accountId" | "zone">): void {
  for (const [name, id] of [
    ["accountId", accountId],
    ["zone.id", zone.id],
  ]) {
    if (!/^[0-9a-f]{32}$/.test(id ?? "")) {
      throw new Error(
        `${name} is "${id}", but Cloudflare's ids are 32 hex digits in lower case: give one of that form`,
      );
    }
  }
}
