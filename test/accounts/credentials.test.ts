/** What the checks say of credentials; that they use the provider's is in test/sandbox/providers/credentials.integration.test.ts. */
import { expect, it } from "vitest";
import { atlasSource, cloudflareAccess, signsInByGlobalKey } from "../../accounts/credentials.ts";

const keys = { MONGODB_ATLAS_PUBLIC_KEY: "pub", MONGODB_ATLAS_PRIVATE_KEY: "priv" };
const elsewhere = "http://127.0.0.1:1";
const atlas = (config: Record<string, string>, environment: NodeJS.ProcessEnv) =>
  atlasSource((key) => config[key], environment);

it("fails when the stack's base URL of Atlas would be ignored, with what to export", () => {
  const { access, findings, usable } = atlas({ "mongodbatlas:baseUrl": elsewhere }, keys);
  expect(findings).toMatchObject([
    {
      id: "atlas.base-url",
      level: "fail",
      says: expect.stringMatching(
        /mongodbatlas:baseUrl \(http:\/\/127.0.0.1:1\) is ignored.* asks https:\/\/cloud.mongodb.com$/,
      ),
      todo: expect.stringContaining(`export MONGODB_ATLAS_BASE_URL=${elsewhere}`),
    },
  ]);
  expect({ usable, baseUrl: access.baseUrl }).toEqual({ usable: true, baseUrl: undefined });
});

it.each([
  [
    "the same address in both places",
    { "mongodbatlas:baseUrl": elsewhere },
    { ...keys, MONGODB_ATLAS_BASE_URL: `${elsewhere}/` },
  ],
  ["the public address in the config", { "mongodbatlas:baseUrl": "https://cloud.mongodb.com/" }, keys],
  [
    "keys and base URL in the config",
    { "mongodbatlas:baseUrl": elsewhere, "mongodbatlas:publicKey": "a", "mongodbatlas:privateKey": "b" },
    {},
  ],
  ["nothing at all", { "mongodbatlas:baseUrl": elsewhere }, {}],
])("says nothing of %s", (_what, config, environment) => {
  expect(atlas(config, environment)).toMatchObject({ usable: true, findings: [] });
});

it("fails for half a key pair: the provider mixes no sources", () => {
  const { findings, usable } = atlas({ "mongodbatlas:publicKey": "pub" }, { MONGODB_ATLAS_PRIVATE_KEY: "priv" });
  expect(usable).toBe(false);
  expect(findings).toMatchObject([
    {
      id: "atlas.key",
      level: "fail",
      says: expect.stringMatching(/the stack's config has the public half .* not the private/),
    },
  ]);
});

it.each([
  ["ASSUME_ROLE_ARN", /AWS Secrets Manager, since ASSUME_ROLE_ARN is set/],
  ["TF_VAR_ASSUME_ROLE_ARN", /since TF_VAR_ASSUME_ROLE_ARN is set/],
])("does not ask as somebody else than the provider: %s", (variable, says) => {
  const { access, findings, usable } = atlas({}, { ...keys, [variable]: "x" });
  expect({ usable, access }).toEqual({ usable: false, access: {} });
  expect(findings).toMatchObject([{ id: "atlas.key", level: "warn", says: expect.stringMatching(says) }]);
});

it.each([
  [{ MONGODB_ATLAS_ACCESS_TOKEN: "t", MONGODB_ATLAS_CLIENT_ID: "c" }, { accessToken: "t" }],
  [
    { MONGODB_ATLAS_CLIENT_ID: "c", MONGODB_ATLAS_CLIENT_SECRET: "s" },
    { clientId: "c", clientSecret: "s" },
  ],
])("signs in as the provider does, with %j before an API key", (variables, access) => {
  expect(atlas({}, { ...keys, ...variables })).toMatchObject({ usable: true, access, findings: [] });
});

it.each([
  [{ MONGODB_ATLAS_CLIENT_ID: "c" }, /the environment has the client id .* not the client secret/],
  [{ MONGODB_ATLAS_CLIENT_SECRET: "s" }, /the environment has the client secret .* not the client id/],
])("fails for half a service account, also beside an API key: %j", (variables, says) => {
  const { findings, usable } = atlas({}, { ...keys, ...variables });
  expect(usable).toBe(false);
  expect(findings).toMatchObject([{ id: "atlas.key", level: "fail", says: expect.stringMatching(says) }]);
});

it("names what goes out beside Cloudflare's token", () => {
  const environment = { CLOUDFLARE_API_TOKEN: "t", CLOUDFLARE_API_KEY: "k", CLOUDFLARE_EMAIL: "e" };
  const { beside } = cloudflareAccess((key) => (key === "cloudflare:apiKey" ? "k" : undefined), environment);
  expect(beside).toEqual(["cloudflare:apiKey", "CLOUDFLARE_EMAIL"]);
  expect(cloudflareAccess(() => undefined, { CLOUDFLARE_API_TOKEN: "t" }).beside).toEqual([]);
  const by = (variables: NodeJS.ProcessEnv) => signsInByGlobalKey(cloudflareAccess(() => undefined, variables));
  expect([by({ CLOUDFLARE_API_KEY: "k" }), by(environment), by({})]).toEqual([true, false, false]);
});
