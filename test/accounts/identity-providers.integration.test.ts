import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cloudflareLookups, memoizeLookups } from "../../accounts/cloudflare.ts";
import { chooseLogin, type IdentityProvider, ownsOneTimePin } from "../../accounts/identity-providers.ts";
import { requiredLookups } from "../../accounts/required-lookups.ts";
import { ConfigError } from "../../config/config.ts";
import { account_id, type Harness, startHarness, zone_id } from "../sandbox/cloudflare/harness.ts";

const pin: IdentityProvider = { id: "pin-id", name: "", type: "onetimepin" };
const google: IdentityProvider = { id: "google-id", name: "Google Workspace", type: "google-apps" };
const azure: IdentityProvider = { id: "azure-id", name: "Entra", type: "azureAD" };
const otherAzure: IdentityProvider = { id: "azure-2", name: "Entra of the parent company", type: "azureAD" };

describe("the one-time PIN", () => {
  it.each([
    ["is declared where the account has none", [google], false, { existing: [], declareOneTimePin: true }],
    [
      "is taken as it is where the account has one",
      [google, pin],
      false,
      { existing: ["pin-id"], declareOneTimePin: false },
    ],
    ["goes on being declared once it was", [pin], true, { existing: [], declareOneTimePin: true }],
  ])("%s", (_what, existing, ours, expected) => {
    expect(chooseLogin(["onetimepin"], existing, ours)).toEqual(expected);
  });

  it("is known as ours by the stack's own state only", () => {
    const type = "cloudflare:index/zeroTrustAccessIdentityProvider:ZeroTrustAccessIdentityProvider";
    expect(ownsOneTimePin("slm", [{ urn: "", type, name: "slm-one-time-pin", outputs: {} }])).toBe(true);
    expect(ownsOneTimePin("slm", [{ urn: "", type, name: "other-one-time-pin", outputs: {} }])).toBe(false);
    expect(ownsOneTimePin("slm", [{ urn: "", type: "other", name: "slm-one-time-pin", outputs: {} }])).toBe(false);
  });
});

describe("a provider of the account", () => {
  const existing = [pin, google, azure, otherAzure];
  it.each([
    ["its id", "azure-2", "azure-2"],
    ["its name", "Entra", "azure-id"],
    ["its name in other letters", "google workspace", "google-id"],
    ["its kind", "google-apps", "google-id"],
  ])("is found by %s", (_what, wanted, id) => {
    expect(chooseLogin([wanted], existing, false)).toEqual({ existing: [id], declareOneTimePin: false });
  });

  it("is taken once, however often it is named, beside the PIN", () => {
    const wanted = ["Entra", "azure-id", "onetimepin"];
    expect(chooseLogin(wanted, existing, true)).toEqual({ existing: ["azure-id"], declareOneTimePin: true });
  });

  it.each([
    [
      "one that is not there, with those that are",
      ["gogle"],
      existing,
      /\[0\]: "gogle" is not an identity provider of the account, which has "pin-id" \(onetimepin, pin-id\), "Google Workspace" \(google-apps, google-id\), "Entra"/,
    ],
    ["one where there are none", ["Google"], [], /which has none\. .*onetimepin/],
    [
      "one that may be two",
      ["azureAD"],
      existing,
      /may mean "Entra" \(azureAD, azure-id\) or "Entra of the parent company".*give the id/,
    ],
  ])("is refused: %s", (_what, wanted, there, reason) => {
    const chosen = chooseLogin(wanted, there, false);
    expect("problems" in chosen ? chosen.problems.join() : chosen).toMatch(reason);
  });

  it("has all its problems told at once, each with its place", () => {
    const chosen = chooseLogin(["one", "Entra", "two"], existing, false);
    expect("problems" in chosen ? chosen.problems.map((problem) => problem.slice(0, 50)) : chosen).toEqual([
      expect.stringContaining("identityProviders[0]"),
      expect.stringContaining("identityProviders[2]"),
    ]);
  });
});

describe("the account's list", () => {
  let h: Harness;
  beforeAll(async () => {
    h = await startHarness({
      apiTokens: [
        { value: "all-token", permissions: "all" },
        { value: "reads", permissions: ["Access: Organizations, Identity Providers, and Groups Read"] },
        { value: "dns", permissions: ["DNS Read"] },
      ],
    });
  });
  afterAll(() => h.close());
  const lookups = (apiToken: string | undefined) =>
    requiredLookups({ accountId: account_id, zoneId: zone_id }, cloudflareLookups({ apiToken, baseUrl: h.url }));

  it("is read with a token that may only read", async () => {
    expect(await lookups("reads").identityProviders()).toEqual([]);
    const made = await h.client.zeroTrust.identityProviders.create({
      account_id,
      name: "",
      type: "onetimepin",
      config: {},
    });
    expect(await lookups("reads").identityProviders()).toEqual([{ id: made.id, name: "", type: "onetimepin" }]);
  });

  it("is read once in a run, however many checks need it, also at the same time", async () => {
    const asked: string[] = [];
    const real = cloudflareLookups({ apiToken: "reads", baseUrl: h.url });
    const counted = (accountId: string) => {
      asked.push(accountId);
      return real.identityProviders(accountId);
    };
    const memoized = memoizeLookups({ ...real, identityProviders: counted });
    const [one, other] = await Promise.all([
      requiredLookups({ accountId: account_id, zoneId: zone_id }, memoized).identityProviders(),
      memoized.identityProviders(account_id),
    ]);
    expect(other).toEqual({ ok: true, value: one });
    expect(asked).toEqual([account_id]);
    await memoized.identityProviders("b".repeat(32));
    expect(asked).toEqual([account_id, "b".repeat(32)]);
  });

  it.each([
    ["dns", /access\.people: .*could not be read.*needs Access: Organizations, Identity Providers, and Groups Read/],
    [undefined, /access\.people: .*no API token.*CLOUDFLARE_API_TOKEN/],
  ])("says what the token %j lacks", async (apiToken, reason) => {
    const asked = lookups(apiToken).identityProviders();
    await expect(asked).rejects.toThrow(ConfigError);
    await expect(asked).rejects.toThrow(reason);
  });
});
