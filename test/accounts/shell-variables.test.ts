import { expect, it } from "vitest";
import { shellFindings } from "../../accounts/shell-variables.ts";

const says = (environment: NodeJS.ProcessEnv, config: Record<string, string> = {}) =>
  shellFindings((key) => config[key], environment).map((finding) => finding.says);

it("names the variable that comes before the one the README names", () => {
  const keys = { MONGODB_ATLAS_PUBLIC_API_KEY: "old", MONGODB_ATLAS_PUBLIC_KEY: "new" };
  expect(says(keys)).toEqual([
    expect.stringMatching(/^MONGODB_ATLAS_PUBLIC_API_KEY comes before MONGODB_ATLAS_PUBLIC_KEY/),
  ]);
  expect(says({ ...keys, MONGODB_ATLAS_PUBLIC_API_KEY: "new" })).toEqual([]);
  expect(says(keys, { "mongodbatlas:publicKey": "x" })).toEqual([]);
});

it.each([
  [{ CLOUDFLARE_CUSTOM_HEADERS: "x:y" }, /every call to Cloudflare/],
  [{ MONGODB_ATLAS_IS_MONGODBGOV_CLOUD: "true" }, /Atlas for Government/],
  [{ MCLI_OPS_MANAGER_URL: "https://x" }, /base URL of Atlas/],
])("names %o", (environment, pattern) => {
  expect(says(environment)).toEqual([expect.stringMatching(pattern)]);
});

it("names an API token of the shell that the stack's config hides", () => {
  const environment = { CLOUDFLARE_API_TOKEN: "a" };
  expect(says(environment, { "cloudflare:apiToken": "b" })).toEqual([expect.stringMatching(/ignored/)]);
  expect(says(environment, { "cloudflare:apiToken": "a" })).toEqual([]);
  expect(says(environment)).toEqual([]);
});
