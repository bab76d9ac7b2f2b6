/**
 * Stand-in for the official `cloudflare` plugin where that cannot be had: the same tokens, properties and API calls for what
 * a program of this project declares. Run by the engine as `node cloudflare.ts <engine address>`.
 */
import { accessResources } from "./cloudflare-access.ts";
import { cloudflareApi } from "./cloudflare-client.ts";
import { cloudflareCredentials, credentialFailures } from "./cloudflare-credentials.ts";
import { functions } from "./cloudflare-functions.ts";
import { networkResources } from "./cloudflare-network.ts";
import { trafficResources } from "./cloudflare-traffic.ts";
import { string } from "./fields.ts";
import { pinnedVersion } from "./pinned.ts";
import { runProvider } from "./server.ts";

await runProvider({
  name: "cloudflare",
  version: pinnedVersion("cloudflare"),
  config: {
    apiKey: string({ secret: true }),
    apiToken: string({ secret: true }),
    apiUserServiceKey: string({ secret: true }),
    baseUrl: string(),
    email: string(),
    userAgentOperatorSuffix: string(),
  },
  checkConfig: credentialFailures,
  configure: (config) => cloudflareApi(cloudflareCredentials(config, process.env)),
  resources: [...accessResources, ...networkResources, ...trafficResources],
  functions,
});
