/**
 * Stand-in for the official `cloudflare` plugin where that cannot be had: the same tokens, properties and API calls for what
 * a program of this project declares. Run by the engine as `node cloudflare.ts <engine address>`.
 */
import { accessResources } from "./cloudflare-access.ts";
import { cloudflareApi } from "./cloudflare-client.ts";
import { functions } from "./cloudflare-functions.ts";
import { networkResources } from "./cloudflare-network.ts";
import { trafficResources } from "./cloudflare-traffic.ts";
import { string } from "./fields.ts";
import { pinnedVersion } from "./pinned.ts";
import { runProvider } from "./server.ts";

const text = (value: unknown) => (typeof value === "string" && value !== "" ? value : undefined);

await runProvider({
  name: "cloudflare",
  version: pinnedVersion("cloudflare"),
  config: { apiToken: string({ secret: true }), baseUrl: string() },
  configure(config) {
    const apiToken = text(config.apiToken) ?? text(process.env.CLOUDFLARE_API_TOKEN);
    if (!apiToken) {
      throw new Error(
        "no API token for Cloudflare: set the environment variable CLOUDFLARE_API_TOKEN or the configuration cloudflare:apiToken",
      );
    }
    return cloudflareApi({ apiToken, baseUrl: text(config.baseUrl) ?? text(process.env.CLOUDFLARE_BASE_URL) });
  },
  resources: [...accessResources, ...networkResources, ...trafficResources],
  functions,
});
