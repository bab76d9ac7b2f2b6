/**
 * The emulated `cloudflare` plugin: the same tokens, properties and API calls for the resources of this project's program.
 * The engine runs it as `node main.ts <engine address>`.
 */

import { pinnedVersion } from "../pinned.ts";
import { string } from "../plugin/fields.ts";
import { runProvider } from "../plugin/server.ts";
import { accessResources } from "./access.ts";
import { cloudflareApi } from "./client.ts";
import { cloudflareCredentials, credentialFailures } from "./credentials.ts";
import { functions } from "./functions.ts";
import { networkResources } from "./network.ts";
import { notificationResources } from "./notifications.ts";

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
  resources: [...accessResources, ...networkResources, ...notificationResources],
  functions,
});
