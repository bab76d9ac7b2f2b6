/** Where our plugins take credentials and base URLs: as the official ones, and as the checks and commands believe. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { atlasSource, cloudflareAccess } from "../../../accounts/credentials.ts";
import { cloudflareCredentials } from "../../../sandbox/providers/cloudflare/credentials.ts";
import { strayVariables } from "../../../sandbox/providers/environment.ts";
import { atlasCredentials } from "../../../sandbox/providers/mongodbatlas/credentials.ts";
import { type Props, Secret } from "../../../sandbox/providers/plugin/values.ts";
import { type JsonServer, jsonServer } from "./json-server.ts";
import { type Plugin, startPlugin } from "./plugin.ts";

const cloud = "https://cloud.mongodb.com/";
const ours = "http://127.0.0.1:1/";
const keysHere = { MONGODB_ATLAS_PUBLIC_KEY: "pub", MONGODB_ATLAS_PRIVATE_KEY: "priv" };
const apiKey = (publicKey: string, privateKey: string) => ({ kind: "API key", publicKey, privateKey });

/** Cases of one API key: what the plugin uses, which the checks must use, too. */
const keys: [
  what: string,
  config: Record<string, string>,
  environment: NodeJS.ProcessEnv,
  base: string,
  key: object,
][] = [
  ["keys in the environment, the base URL in the config", { baseUrl: ours }, keysHere, cloud, apiKey("pub", "priv")],
  [
    "all in the environment",
    { baseUrl: cloud },
    { ...keysHere, MONGODB_ATLAS_BASE_URL: ours },
    ours,
    apiKey("pub", "priv"),
  ],
  [
    "all in the config",
    { baseUrl: ours, publicKey: "a", privateKey: "b" },
    { ...keysHere, MONGODB_ATLAS_BASE_URL: cloud },
    ours,
    apiKey("a", "b"),
  ],
  [
    "keys in the config, the base URL in the environment",
    { publicKey: "a", privateKey: "b" },
    { MONGODB_ATLAS_BASE_URL: ours },
    cloud,
    apiKey("a", "b"),
  ],
  [
    "the older names beside the others",
    {},
    { ...keysHere, MONGODB_ATLAS_PUBLIC_API_KEY: "1", MONGODB_ATLAS_PRIVATE_API_KEY: "2" },
    cloud,
    apiKey("1", "2"),
  ],
  [
    "one older name beside the others",
    {},
    { ...keysHere, MONGODB_ATLAS_PUBLIC_API_KEY: "1" },
    cloud,
    apiKey("1", "priv"),
  ],
  [
    "the names of the mongocli",
    {},
    { MCLI_PUBLIC_API_KEY: "1", MCLI_PRIVATE_API_KEY: "2", MCLI_OPS_MANAGER_URL: ours },
    ours,
    apiKey("1", "2"),
  ],
  [
    "empty variables",
    { baseUrl: ours },
    { ...keysHere, MONGODB_ATLAS_PUBLIC_API_KEY: "", MONGODB_ATLAS_BASE_URL: "" },
    cloud,
    apiKey("pub", "priv"),
  ],
];

describe("mongodbatlas", () => {
  it.each(keys)("takes credentials and base URL as one set: %s", (_what, config, environment, baseUrl, signIn) => {
    expect(atlasCredentials(config, environment)).toEqual({ baseUrl, signIn, warning: undefined });
  });

  it.each(keys)(
    "is asked by the checks at the same place, by the same key: %s",
    (_what, config, environment, baseUrl, signIn) => {
      const { access, usable } = atlasSource((key) => config[key.replace("mongodbatlas:", "")], environment);
      const { baseUrl: asked = cloud, ...key } = access;
      expect(usable).toBe(true);
      expect({ asked, signIn: { kind: "API key", ...key } }).toEqual({ asked: baseUrl, signIn });
    },
  );

  const token = { MONGODB_ATLAS_ACCESS_TOKEN: "t" };
  const account = { MONGODB_ATLAS_CLIENT_ID: "mdb_sa_id_1", MONGODB_ATLAS_CLIENT_SECRET: "s" };
  it.each([
    [
      "a token before all else",
      { ...token, ...account, ...keysHere },
      "token",
      /Access Token .* Service Account and API Keys/,
    ],
    ["a token before a service account", { ...token, ...account }, "token", /Access Token .* although Service Account/],
    ["a token before a key", { ...token, ...keysHere }, "token", /Access Token .* although API Key/],
    [
      "a service account before a key",
      { ...account, ...keysHere },
      "service account",
      /Service Account .* although API Key/,
    ],
    ["none", {}, "none", /No credentials set/],
  ])("warns as the official plugin does: %s", (_what, environment, kind, warning) => {
    const found = atlasCredentials({ baseUrl: ours }, environment);
    expect(found.signIn.kind).toBe(kind);
    expect(found.warning).toMatch(warning);
    expect(found.baseUrl).toBe(cloud);
  });

  it.each([
    [{ publicKey: "pub" }, keysHere, /API Key will be used but Private Key is required/],
    [{ privateKey: "priv" }, keysHere, /API Key will be used but Public Key is required/],
    [{}, { MONGODB_ATLAS_PRIVATE_KEY: "p" }, /API Key will be used but Public Key is required/],
    [{ clientId: "id" }, keysHere, /Service Account will be used but Client Secret is required/],
    [{}, { ...keysHere, MONGODB_ATLAS_CLIENT_SECRET: "s" }, /Service Account will be used but Client ID is required/],
    [{ publicKey: "mdb_sa_id_1", privateKey: "s" }, {}, /Service Account credentials .* were provided in public_key/],
    [
      {},
      { ...keysHere, ASSUME_ROLE_ARN: "arn" },
      /^ASSUME_ROLE_ARN is set.*AWS Secrets Manager.*unset ASSUME_ROLE_ARN/,
    ],
    [{}, { ...keysHere, TF_VAR_ASSUME_ROLE_ARN: "arn" }, /^TF_VAR_ASSUME_ROLE_ARN is set/],
    [{ assumeRole: { roleArn: "arn" } }, keysHere, /^mongodbatlas:assumeRole is set/],
  ])("refuses half of a pair, and what it cannot do: %j %j", (config, environment, refusal) => {
    expect(() => atlasCredentials(config as Props, environment)).toThrow(refusal);
    const flat = Object.fromEntries(Object.entries(config).map(([key, value]) => [key, JSON.stringify(value)]));
    const { usable, findings } = atlasSource((key) => flat[key.replace("mongodbatlas:", "")], environment);
    // The prefix alone is left to the provider.
    if (!JSON.stringify(config).includes("mdb_sa"))
      expect({ usable, findings }).toMatchObject({ usable: false, findings: [{}] });
  });

  it("supports Atlas for Government", () => {
    const gov = "https://cloud.mongodbgov.com/";
    const config = { publicKey: "a", privateKey: "b", isMongodbgovCloud: true };
    expect(atlasCredentials({ ...config, baseUrl: ours }, {}).baseUrl).toBe(gov);
    const dev = "https://cloud-dev.mongodbgov.com";
    expect(atlasCredentials({ ...config, baseUrl: dev }, {}).baseUrl).toBe(dev);
  });
});

describe("cloudflare", () => {
  const nothing = {
    apiToken: undefined,
    apiKey: undefined,
    apiEmail: undefined,
    userServiceKey: undefined,
    baseUrl: undefined,
  };
  it.each([
    ["the environment", {}, { CLOUDFLARE_API_TOKEN: "t", CLOUDFLARE_BASE_URL: ours }, { apiToken: "t", baseUrl: ours }],
    [
      "the config before the environment, each by itself",
      { baseUrl: ours },
      { CLOUDFLARE_API_TOKEN: "t", CLOUDFLARE_BASE_URL: cloud },
      { apiToken: "t", baseUrl: ours },
    ],
    [
      "a global key beside the token",
      { apiToken: "c" },
      {
        CLOUDFLARE_API_TOKEN: "t",
        CLOUDFLARE_API_KEY: "k",
        CLOUDFLARE_EMAIL: "e",
        CLOUDFLARE_API_USER_SERVICE_KEY: "s",
      },
      { apiToken: "c", apiKey: "k", apiEmail: "e", userServiceKey: "s" },
    ],
    [
      "a variable that is empty",
      {},
      { CLOUDFLARE_API_TOKEN: "t", CLOUDFLARE_API_KEY: "" },
      { apiToken: "t", apiKey: "" },
    ],
  ])("takes %s", (_what, config: Record<string, string>, environment: NodeJS.ProcessEnv, wanted) => {
    expect(cloudflareCredentials(config, environment)).toEqual({ ...nothing, ...wanted });
    const { apiToken, baseUrl } = cloudflareAccess((key) => config[key.replace("cloudflare:", "")], environment);
    expect({ ...nothing, ...wanted }).toMatchObject({ apiToken, baseUrl });
  });

  it("refuses an empty base URL, and nothing to sign in with", () => {
    expect(() => cloudflareCredentials({}, { CLOUDFLARE_API_TOKEN: "t", CLOUDFLARE_BASE_URL: "" })).toThrow(
      /unsupported protocol scheme/,
    );
    expect(() => cloudflareCredentials({}, { CLOUDFLARE_API_KEY: "k" })).toThrow(/CLOUDFLARE_API_TOKEN/);
  });
});

describe("the plugins themselves", () => {
  const plugins: Plugin[] = [];
  const closing: (() => Promise<void>)[] = [];
  const plugin = async (...args: Parameters<typeof startPlugin>): Promise<Plugin> => {
    const started = await startPlugin(...args);
    plugins.push(started);
    return started;
  };
  const api = async (...args: Parameters<typeof jsonServer>): Promise<JsonServer> => {
    const server = await jsonServer(...args);
    closing.push(server.close);
    return server;
  };
  afterEach(async () => {
    for (const one of plugins.splice(0)) await one.stop();
    for (const close of closing.splice(0)) await close();
  });
  const user = "mongodbatlas:index/databaseUser:DatabaseUser";
  const tunnel = "cloudflare:index/zeroTrustTunnelCloudflared:ZeroTrustTunnelCloudflared";
  const userInputs = { projectId: "5".repeat(24), authDatabaseName: "admin", username: "u", password: new Secret("p") };

  it("asks the public Atlas when the keys are in the environment and the base URL is not", async () => {
    const asked: string[] = [];
    // A proxy that leads nowhere, so that nothing leaves this machine.
    const proxy = createServer().on("connect", (request, socket) => {
      asked.push(request.url ?? "");
      socket.end("HTTP/1.1 502 Bad Gateway\r\n\r\n");
    });
    await new Promise<void>((listening) => proxy.listen(0, "127.0.0.1", listening));
    closing.push(() => new Promise((closed) => proxy.close(() => closed())));
    const emulated = await api(() => ({ body: {} }));
    const HTTPS_PROXY = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    const atlas = await plugin("mongodbatlas", {
      ...keysHere,
      NODE_USE_ENV_PROXY: "1",
      HTTPS_PROXY,
      NO_PROXY: "127.0.0.1",
    });
    await atlas.configure({ baseUrl: emulated.url });
    await expect(atlas.create(user, userInputs)).rejects.toThrow(
      /Post "https:\/\/cloud\.mongodb\.com\/api\/atlas\/v2\/groups\/5+\/databaseUsers": /,
    );
    expect(asked).toEqual(["cloud.mongodb.com:443"]);
    expect(emulated.asked).toEqual([]);
  });

  it("says in Go's words that nothing answers", async () => {
    const gone = await jsonServer(() => ({}));
    await gone.close();
    const atlas = await plugin("mongodbatlas", { ...keysHere, MONGODB_ATLAS_BASE_URL: gone.url });
    await atlas.configure({});
    const refused = new RegExp(
      `Post "${gone.url}/api/.*": dial tcp ${new URL(gone.url).host}: connect: connection refused`,
    );
    await expect(atlas.create(user, userInputs)).rejects.toThrow(refused);
  });

  it("goes to Atlas without credentials with a warning, and is refused there", async () => {
    const emulated = await api(() => ({ status: 401, body: { errorCode: "UNAUTHORIZED", detail: "no" } }));
    const atlas = await plugin("mongodbatlas", { MONGODB_ATLAS_PUBLIC_KEY: "", MONGODB_ATLAS_PRIVATE_KEY: "" });
    await atlas.configure({});
    expect(atlas.log).toContain("warning: No credentials set");
    const signed = await plugin("mongodbatlas", {
      MONGODB_ATLAS_ACCESS_TOKEN: "t",
      MONGODB_ATLAS_BASE_URL: emulated.url,
    });
    await signed.configure({});
    await expect(signed.create(user, userInputs)).rejects.toThrow(
      /HTTP 401 Unauthorized \(Error code: "UNAUTHORIZED"\)/,
    );
    expect(emulated.asked.map(({ headers }) => headers.authorization)).toEqual(["Bearer t"]);
  });

  it("fetches a service account's token when it is configured, and fails there when it gets none", async () => {
    const emulated = await jsonServerOf(api, { status: 200, body: { access_token: "short", expires_in: 3600 } });
    const account = {
      MONGODB_ATLAS_CLIENT_ID: "mdb_sa_id_1",
      MONGODB_ATLAS_CLIENT_SECRET: "s",
      MONGODB_ATLAS_BASE_URL: emulated.url,
    };
    const atlas = await plugin("mongodbatlas", account);
    await atlas.configure({});
    await expect(atlas.create(user, userInputs)).rejects.toThrow(/418/);
    expect(emulated.bearers).toEqual(["Bearer short"]);
    const refusing = await jsonServerOf(api, { status: 401, body: { error: "invalid_client" } });
    const refused = await plugin("mongodbatlas", { ...account, MONGODB_ATLAS_BASE_URL: refusing.url });
    await expect(refused.configure({})).rejects.toThrow(/oauth2: cannot fetch token: 401 .*invalid_client/);
  });

  it("sends a global key from the environment beside Cloudflare's token", async () => {
    const emulated = await api(() => ({
      status: 403,
      body: { success: false, errors: [{ code: 9103, message: "Unknown X-Auth-Key or X-Auth-Email" }] },
    }));
    const cloudflare = await plugin("cloudflare", {
      CLOUDFLARE_API_TOKEN: "t",
      CLOUDFLARE_API_KEY: "k",
      CLOUDFLARE_EMAIL: "ops@example.com",
      CLOUDFLARE_API_USER_SERVICE_KEY: "s",
      CLOUDFLARE_BASE_URL: emulated.url,
    });
    await cloudflare.configure({});
    await expect(cloudflare.create(tunnel, { accountId: "a", name: "x" })).rejects.toThrow(
      /403 Forbidden .*9103.*X-Auth-Key/,
    );
    expect(emulated.asked[0]?.headers).toMatchObject({
      authorization: "Bearer t",
      "x-auth-key": "k",
      "x-auth-email": "ops@example.com",
      "x-auth-user-service-key": "s",
    });
  });
});

/** The token's endpoint, and 418 for all else. */
async function jsonServerOf(
  api: (...args: Parameters<typeof jsonServer>) => Promise<JsonServer>,
  token: { status: number; body: unknown },
) {
  const bearers: (string | undefined)[] = [];
  const server = await api(({ path, headers }) => {
    if (path === "/api/oauth/token") return token;
    bearers.push(headers.authorization);
    return { status: 418, body: {} };
  });
  return { url: server.url, bearers };
}

it("reads only variables that a sandbox removes or sets", () => {
  const base = { ...keysHere, MONGODB_ATLAS_BASE_URL: ours, CLOUDFLARE_API_TOKEN: "t", CLOUDFLARE_BASE_URL: ours };
  const own = new Set(Object.keys(base));
  const read = new Set<string>();
  const watched = new Proxy<NodeJS.ProcessEnv>(
    { ...base },
    {
      get: (target, name) => {
        read.add(String(name));
        return target[String(name)];
      },
    },
  );
  atlasCredentials({}, watched);
  cloudflareCredentials({}, watched);
  expect([...read].filter((name) => !own.has(name) && !strayVariables.includes(name))).toEqual([]);
  expect(read.size).toBeGreaterThan(15);
});
