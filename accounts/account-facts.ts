/** Questions to the Cloudflare account for which its Pulumi provider has no data source. Reads only. */
import type Cloudflare from "cloudflare";
import { ConfigError } from "../config/config.ts";
import type { IdentityProvider, LoginFacts } from "./identity-providers.ts";
import type { AccountFacts } from "./route-check.ts";

/** Where and as whom to ask; the same that the provider uses. */
export interface AccountAccess {
  readonly accountId: string;
  readonly zoneId: string;
  /** `CLOUDFLARE_API_TOKEN`, or the stack's `cloudflare:apiToken`. */
  readonly apiToken: string | undefined;
  /** The stack's `cloudflare:baseUrl`. @default Cloudflare's own */
  readonly baseUrl?: string | undefined;
}

const statusOf = (error: unknown): number | undefined =>
  error instanceof Error && "status" in error && typeof error.status === "number" ? error.status : undefined;
const wordsOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** What a question is about, for the message when there is no answer. */
interface About {
  readonly setting: string;
  /** The API token's permissions. */
  readonly needs: string;
}
const route: About = {
  setting: "slm-network:route.mode: in this mode",
  needs: "Zone Read, DNS Read and SSL and Certificates Read",
};
const login: About = {
  setting: "slm-network:access.people: while somebody may sign in,",
  needs: "Access: Organizations, Identity Providers, and Groups Read",
};

/**
 * @returns the questions; nothing is asked before one of them is called. Each call is retried twice on 429, 5xx and lost
 * connections, and gives up after 30 s.
 * @throws (each question) ConfigError when there is no API token, or no answer to go by
 */
export function accountFacts({ accountId, zoneId, apiToken, baseUrl }: AccountAccess): AccountFacts & LoginFacts {
  /** @param otherwise what an error stands for, if it is an answer, too */
  async function ask<T>(
    question: (client: Cloudflare) => Promise<T>,
    otherwise: (error: unknown) => T | "no answer",
    { setting, needs }: About = route,
  ) {
    if (!apiToken) {
      throw new ConfigError([
        `${setting} the account is asked first, and there is no API token to do so: set CLOUDFLARE_API_TOKEN in the environment, as for \`pulumi up\``,
      ]);
    }
    // Not every config asks, and the client takes a moment to load.
    const { default: Client } = await import("cloudflare");
    const client = new Client({ apiToken, ...(baseUrl && { baseURL: baseUrl }), timeout: 30_000 });
    try {
      return await question(client);
    } catch (error) {
      const answer = otherwise(error);
      if (answer !== "no answer") return answer;
      throw new ConfigError([
        `${setting} Cloudflare is asked about the account first, and it gave no answer to go by (${wordsOf(error)}). Try again; the API token needs ${needs}`,
      ]);
    }
  }

  return {
    regions: () =>
      ask<Awaited<ReturnType<AccountFacts["regions"]>>>(
        async (client) => {
          const { result } = await client.addressing.regionalHostnames.regions.list({ account_id: accountId });
          return result.flatMap(({ key, label }) => (key ? [{ key, label: label ?? "" }] : []));
        },
        (error) => {
          const status = statusOf(error);
          const refused = status !== undefined && status >= 400 && status < 500 && status !== 429;
          return refused ? { refused: wordsOf(error) } : "no answer";
        },
      ),
    zonesAmong: (names) =>
      ask(
        async (client) => {
          const account = { id: accountId };
          const found = await Promise.all(names.map((name) => client.zones.list({ account, name })));
          return found.flatMap(({ result }) => result.map(({ name }) => name)).filter((name) => names.includes(name));
        },
        () => "no answer",
      ),
    fallbackOrigin: () =>
      ask<string | undefined>(
        async (client) => (await client.customHostnames.fallbackOrigin.get({ zone_id: zoneId })).origin,
        (error) => (statusOf(error) === 404 ? undefined : "no answer"), // 404: none is set
      ),
    identityProviders: () =>
      ask(
        async (client) => {
          const found: IdentityProvider[] = [];
          for await (const { id, name, type } of client.zeroTrust.identityProviders.list({ account_id: accountId })) {
            if (id) found.push({ id, name, type });
          }
          return found;
        },
        () => "no answer",
        login,
      ),
  };
}
