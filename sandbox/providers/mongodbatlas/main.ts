/**
 * The emulated `mongodbatlas` plugin: the same tokens, properties and API calls for the resources of this project's
 * program. The engine runs it as `node main.ts <engine address>`.
 */

import { pinnedVersion } from "../pinned.ts";
import { any, boolean, string } from "../plugin/fields.ts";
import { runProvider } from "../plugin/server.ts";
import { atlasApi } from "./client.ts";
import { atlasCredentials } from "./credentials.ts";
import { functions } from "./functions.ts";
import { resources } from "./resources.ts";

await runProvider({
  name: "mongodbatlas",
  version: pinnedVersion("mongodbatlas"),
  config: {
    accessToken: string({ secret: true }),
    assumeRole: any(),
    awsAccessKeyId: string(),
    awsSecretAccessKey: string({ secret: true }),
    awsSessionToken: string({ secret: true }),
    baseUrl: string(),
    clientId: string(),
    clientSecret: string({ secret: true }),
    isMongodbgovCloud: boolean(),
    privateKey: string({ secret: true }),
    publicKey: string(),
    realmBaseUrl: string(),
    region: string(),
    secretName: string(),
    stsEndpoint: string(),
  },
  configure(config, log) {
    const { warning, ...credentials } = atlasCredentials(config, process.env);
    if (warning !== undefined) log("warning", warning);
    return atlasApi(credentials);
  },
  resources,
  functions,
});
