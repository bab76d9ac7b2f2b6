/**
 * Stand-in for the official `mongodbatlas` plugin where that cannot be had: the same tokens, properties and API calls for
 * what a program of this project declares. Run by the engine as `node mongodbatlas.ts <engine address>`.
 */
import { atlasApi } from "./atlas-client.ts";
import { functions } from "./atlas-functions.ts";
import { resources } from "./atlas-resources.ts";
import { string } from "./fields.ts";
import { pinnedVersion } from "./pinned.ts";
import { runProvider } from "./server.ts";

const text = (...values: unknown[]) =>
  values.find((value): value is string => typeof value === "string" && value !== "");

await runProvider({
  name: "mongodbatlas",
  version: pinnedVersion("mongodbatlas"),
  config: { baseUrl: string(), privateKey: string({ secret: true }), publicKey: string() },
  configure(config) {
    const { env } = process;
    const publicKey = text(config.publicKey, env.MONGODB_ATLAS_PUBLIC_KEY, env.MONGODB_ATLAS_PUBLIC_API_KEY);
    const privateKey = text(config.privateKey, env.MONGODB_ATLAS_PRIVATE_KEY, env.MONGODB_ATLAS_PRIVATE_API_KEY);
    if (!publicKey || !privateKey) {
      const missing = publicKey ? "private" : "public";
      const names = `MONGODB_ATLAS_${missing.toUpperCase()}_KEY`;
      throw new Error(
        `no ${missing} key for MongoDB Atlas: set the environment variable ${names} or mongodbatlas:${missing}Key`,
      );
    }
    const baseUrl = text(config.baseUrl) ?? "https://cloud.mongodb.com/";
    return atlasApi({ baseUrl, credentials: { username: publicKey, password: privateKey } });
  },
  resources,
  functions,
});
