/** What a verified token makes of a request: who sent it, or why it is refused. */
import type { JWTVerifyGetKey } from "jose";
import { describe, expect, it } from "vitest";
import type { RelayConfig } from "../../../../runtime/config.ts";
import { type Audience, audienceOf, createAccess } from "../../../../runtime/relay/access/access.ts";
import { KeysUnavailable } from "../../../../runtime/relay/access/keys.ts";
import { CLAIMS, HEADER, keys, makeToken } from "./mutated-tokens.ts";

const caller = { name: "backend", clientId: "x.access", companies: ["*"], weight: 1, enabled: true };
const config = {
  access: {
    teamDomain: "acme.cloudflareaccess.com",
    audiences: { servers: "aud-servers", people: "aud-people", metrics: "aud-metrics" },
  },
  callers: [{ ...caller, name: "old", clientId: "old.access", enabled: false }, caller],
  scrapers: [
    { name: "off", clientId: "off.access", enabled: false },
    { name: "prometheus", clientId: "p.access", enabled: true },
  ],
} satisfies Pick<RelayConfig, "access" | "callers" | "scrapers">;

type Config = Parameters<typeof createAccess>[0];

const tokenWith = (claims: object) => makeToken(HEADER, { ...CLAIMS, ...claims });

/** Asks twice with the same token: jose verifies it the first time, the relay itself from then on. */
async function ask(audience: Audience, claims: object, { access: from = config as Config, by = keys } = {}) {
  const access = createAccess(from, by);
  const headers = { "cf-access-jwt-assertion": tokenWith(claims) };
  const outcome = async () => {
    try {
      return await access(audience, headers);
    } catch (cause) {
      const { code, detail, message, status } = cause as Record<string, unknown>;
      return { code, detail, message, status };
    }
  };
  const first = await outcome();
  expect(await outcome()).toEqual(first);
  return first;
}

describe("the audience of a path", () => {
  it.each([
    ["/status", "people"],
    ["/status/", "people"],
    ["/status/data.json", "people"],
    ["/statusx", "servers"],
    ["/Status", "servers"],
    ["//status", "servers"],
    ["/v1/status/", "servers"],
    ["/metrics", "metrics"],
    ["/metrics/x", "metrics"],
    ["/metricsx", "servers"],
    ["/v1/metrics", "servers"],
    ["/v1/models", "servers"],
    ["/", "servers"],
    ["", "servers"],
  ])("%j is %s", (path, audience) => {
    expect(audienceOf(path)).toBe(audience);
  });
});

describe("a request without a token is refused:", () => {
  it.each([
    ["no header", {}],
    ["an empty one", { "cf-access-jwt-assertion": "" }],
    ["two", { "cf-access-jwt-assertion": ["a", "b"] }],
  ])("%s", (_name, headers) => {
    expect(() => createAccess(config, keys)("servers", headers)).toThrow(
      expect.objectContaining({
        code: "access_missing",
        message: expect.stringContaining("CF-Access-Client-Id and CF-Access-Client-Secret") as string,
      }),
    );
  });
});

describe("a server", () => {
  it("is the caller with its token's client id", async () => {
    const principal = { kind: "server", name: "backend", caller };
    expect(await ask("servers", {})).toEqual(principal);
    expect(await ask("servers", { type: "app" })).toEqual(principal);
  });

  it("is known without a pause once its header is known", async () => {
    const access = createAccess(config, keys);
    const headers = { "cf-access-jwt-assertion": tokenWith({}) };
    for (let n = 0; n < 2; n += 1) await access("servers", headers);
    expect(access("servers", headers)).toEqual({ kind: "server", name: "backend", caller });
  });

  it("that is added or switched off while the relay runs counts at once", async () => {
    const callers = [caller];
    const access = createAccess({ ...config, callers }, keys);
    const headers = { "cf-access-jwt-assertion": tokenWith({}) };
    await access("servers", headers);
    callers[0] = { ...caller, enabled: false };
    await expect(async () => access("servers", headers)).rejects.toMatchObject({ code: "caller_disabled" });
  });

  it.each([
    ["an unknown client id", { common_name: "y.access" }, "caller_unknown", 'client id "y.access"'],
    ["no client id", { common_name: undefined }, "caller_unknown", "client id null"],
    ["the client id of a scraper", { common_name: "p.access" }, "caller_unknown", 'client id "p.access"'],
    ["a caller that is switched off", { common_name: "old.access" }, "caller_disabled", undefined],
    ["a team's session", { type: "org" }, "access_invalid", 'its type is "org", not "app"'],
    ["a person's audience", { aud: ["aud-people"] }, "access_wrong_audience", 'unexpected "aud" claim value'],
    ["another issuer", { iss: "https://evil.cloudflareaccess.com" }, "access_invalid", 'unexpected "iss" claim value'],
    ["an end that is past", { exp: CLAIMS.iat - 60 }, "access_expired", '"exp" claim timestamp check failed'],
    ["no end", { exp: undefined }, "access_invalid", 'missing required "exp" claim'],
  ])("with %s is refused", async (_name, claims, code, detail) => {
    expect(await ask("servers", claims)).toMatchObject({ code, detail, status: 403 });
  });

  it("is told what was wrong", async () => {
    const said = async (claims: object) => ((await ask("servers", claims)) as { message: string }).message;
    expect(await said({ common_name: "y" })).toMatch(/not among the callers/);
    expect(await said({ common_name: "old.access" })).toMatch(/caller "old" is switched off/);
    expect(await said({ aud: "aud-people" })).toMatch(/for another path/);
    expect(await said({ exp: 1 })).toMatch(/has expired/);
    expect(await said({ iss: "x" })).toMatch(/not valid/);
    expect(await said({ type: "org" })).toMatch(/not valid/);
  });
});

describe("who reads the metrics", () => {
  const aud = ["aud-metrics"];

  it("is a scraper of the config", async () => {
    expect(await ask("metrics", { aud, common_name: "p.access" })).toEqual({ kind: "scraper", name: "prometheus" });
  });

  it.each([
    [
      "a server's client id",
      { common_name: "x.access" },
      "caller_unknown",
      'client id "x.access"',
      /may read the metrics/,
    ],
    ["no client id", { common_name: undefined }, "caller_unknown", "client id null", /may read the metrics/],
    [
      "one that is switched off",
      { common_name: "off.access" },
      "caller_disabled",
      undefined,
      /scraper "off" is switched off/,
    ],
    ["a server's audience", { aud: ["aud-servers"] }, "access_wrong_audience", expect.anything(), /./],
  ])("with %s is refused", async (_name, claims, code, detail, message) => {
    const refused = await ask("metrics", { aud, ...claims });
    expect(refused).toMatchObject({ code, detail, message: expect.stringMatching(message) as string });
  });

  it("is nobody without scrapers in the config; without an application of theirs the path is one for servers", async () => {
    const { scrapers: _, ...none } = config;
    expect(await ask("metrics", { aud, common_name: "p.access" }, { access: none })).toMatchObject({
      code: "caller_unknown",
    });
    const { metrics: _metrics, ...audiences } = config.access.audiences;
    const access = { ...config, access: { ...config.access, audiences } };
    expect(await ask("metrics", {}, { access })).toMatchObject({ kind: "server" });
    expect(await ask("metrics", { aud: [""], common_name: "p.access" }, { access })).toMatchObject({
      code: "access_wrong_audience",
    });
  });
});

describe("a person", () => {
  const person = { aud: ["aud-people"], common_name: undefined, email: "kim@example.com" };
  const expiresAt = CLAIMS.exp * 1000;

  it("has the address and the end of the sign-in", async () => {
    expect(await ask("people", person)).toEqual({
      kind: "person",
      name: "kim@example.com",
      email: "kim@example.com",
      expiresAt,
    });
  });

  it.each([
    ["no address", { email: undefined }],
    ["an empty address", { email: "" }],
    ["an address that is no text", { email: 1 }],
    ["a service token's client id beside the address", { common_name: "x.access" }],
  ])("with %s is someone without an address", async (_name, claims) => {
    expect(await ask("people", { ...person, ...claims })).toEqual({
      kind: "person",
      name: "someone without an address",
      email: undefined,
      expiresAt,
    });
  });

  it("is let in without an application for the metrics, too", async () => {
    const { metrics: _metrics, ...audiences } = config.access.audiences;
    const access = { ...config, access: { ...config.access, audiences } };
    expect(await ask("people", person, { access })).toMatchObject({ kind: "person", name: "kim@example.com" });
  });

  it("is not let in with a server's token", async () => {
    expect(await ask("people", {})).toMatchObject({ code: "access_wrong_audience" });
  });
});

describe("a failure to verify", () => {
  const failing =
    (cause: unknown): JWTVerifyGetKey =>
    () =>
      Promise.reject(cause);
  const failed = async (cause: unknown) => {
    try {
      await createAccess(config, failing(cause))("servers", { "cf-access-jwt-assertion": tokenWith({}) });
    } catch (error) {
      return error;
    }
    throw new Error("it was accepted");
  };

  it("for want of keys passes: 503, with when to try again", async () => {
    const cause = new KeysUnavailable("fetch failed");
    expect(await failed(cause)).toMatchObject({
      code: "access_keys_unavailable",
      status: 503,
      headers: { "Retry-After": "5" },
      detail: "fetch failed",
      cause,
      message: expect.stringContaining("cannot be fetched") as string,
    });
  });

  it.each([
    [new TypeError("unexpected"), "unexpected"],
    ["a text", "a text"],
  ])("of another kind (%s) is the relay's own, and told in the log only", async (cause, detail) => {
    expect(await failed(cause)).toMatchObject({
      code: "internal",
      status: 500,
      detail,
      cause,
      message: "The relay failed while checking access.",
    });
  });
});
