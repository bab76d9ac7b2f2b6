/** Questions to the Cloudflare account for which its Pulumi provider has no data source. Reads only. */
import type { AccountFacts } from "./route-check.ts";

/** Where and as whom to ask; the same that the provider uses. */
export interface AccountAccess {
  readonly accountId: string;
  readonly zoneId: string;
  /** `CLOUDFLARE_API_TOKEN`, or the stack's `cloudflare:apiToken`. */
  readonly apiToken: string | undefined;
  /** The stack's `cloudflare:baseUrl`. @default Cloudflare's own */
  readonly baseUrl: string | undefined;
}

/**
 * @returns the questions; nothing is asked before one of them is called. Each call is retried twice on 429, 5xx and lost
 * connections, and gives up after 30 s.
 */
export function accountFacts({ accountId, zoneId, apiToken, baseUrl }: AccountAccess): AccountFacts {
  const client = async () => {
    if (!apiToken) {
      throw new Error(
        "no API token to ask Cloudflare with: set CLOUDFLARE_API_TOKEN in the environment, as for `pulumi up`",
      );
    }
    // Only some modes ask, and the client takes a moment to load.
    const { default: Cloudflare } = await import("cloudflare");
    return new Cloudflare({ apiToken, ...(baseUrl && { baseURL: baseUrl }), timeout: 30_000 });
  };
  const statusOf = (error: unknown): number | undefined =>
    error instanceof Error && "status" in error && typeof error.status === "number" ? error.status : undefined;

  return {
    async regions() {
      const asked = await client();
      try {
        const { result } = await asked.addressing.regionalHostnames.regions.list({ account_id: accountId });
        return result.flatMap(({ key, label }) => (key ? [{ key, label: label ?? "" }] : []));
      } catch (error) {
        const status = statusOf(error);
        if (status === undefined || status >= 500 || status === 429) throw error;
        return { refused: error instanceof Error ? error.message : String(error) };
      }
    },
    async zonesAmong(names) {
      const asked = await client();
      const found = await Promise.all(names.map((name) => asked.zones.list({ account: { id: accountId }, name })));
      return found.flatMap(({ result }) => result.map((zone) => zone.name)).filter((name) => names.includes(name));
    },
    async fallbackOrigin() {
      const asked = await client();
      try {
        return (await asked.customHostnames.fallbackOrigin.get({ zone_id: zoneId })).origin;
      } catch (error) {
        if (statusOf(error) === 404) return undefined; // none is set
        throw error;
      }
    },
  };
}
