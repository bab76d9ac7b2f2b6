import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cloudflareLookups, type Region } from "../../accounts/cloudflare.ts";
import { requiredLookups } from "../../accounts/required-lookups.ts";
import { hostnameProblem, type RouteLookups, routeProblems } from "../../accounts/route-check.ts";
import { ConfigError } from "../../config/config.ts";
import { zonesAbove } from "../../config/host-name.ts";
import type { RouteConfig } from "../../config/route.ts";
import { account_id, type Harness, startHarness, zone_id } from "../sandbox/cloudflare/harness.ts";
import { type Declared, recordResources, resolved, settled } from "./mocks.ts";

const hostname = "slm.example.com";

describe("a hostname", () => {
  it.each([
    ["slm.example.com", "example.com", undefined],
    ["slm.example.co.kr", "example.co.kr", undefined],
    ["slm.other.com", "example.com", /is not under the zone example\.com/],
    ["a.b.example.com", "example.com", /more than one label.*use e\.g\. a-b\.example\.com/],
    ["example.com.evil.org", "example.com", /is not under the zone/],
  ])("%s in the zone %s", (name, zone, problem) => {
    const found = hostnameProblem(name, zone);
    if (problem) expect(found).toMatch(problem);
    else expect(found).toBeUndefined();
  });

  it("may lie in any zone above it but the top-level domain", () => {
    expect(zonesAbove("slm.example.co.kr")).toEqual(["slm.example.co.kr", "example.co.kr", "co.kr"]);
  });
});

describe("the route check", () => {
  const regions: Region[] = [
    { key: "eu", label: "European Union" },
    { key: "kr", label: "Republic of Korea" },
  ];
  const lookups = (known: {
    regions?: Awaited<ReturnType<RouteLookups["regions"]>>;
    zones?: string[];
    fallbackOrigin?: string;
  }): RouteLookups & { asked: string[] } => {
    const asked: string[] = [];
    return {
      asked,
      regions: async () => {
        asked.push("regions");
        return known.regions ?? [];
      },
      zonesAmong: async (names) => {
        asked.push("zones");
        return (known.zones ?? []).filter((zone) => names.includes(zone));
      },
      customHostnameStatus: async () => undefined,
      fallbackOrigin: async () => {
        asked.push("fallbackOrigin");
        return known.fallbackOrigin;
      },
    };
  };
  const regional: RouteConfig = { mode: "regional", direct: [], expectColo: ["ICN"], regionKey: "kr" };
  const saas: RouteConfig = { mode: "saas", direct: [], expectColo: ["ICN"], saasHostname: "slm.other.net" };

  it.each<[string, RouteConfig, Parameters<typeof lookups>[0], RegExp[]]>([
    ["a region in the list", regional, { regions }, []],
    [
      "a region that is guessed",
      { ...regional, regionKey: "icn" },
      { regions },
      [/"icn" is not in .* eu \(European Union\), kr \(Republic of Korea\): take one/],
    ],
    [
      "no Regional Services",
      regional,
      { regions: [] },
      [/list is empty.*Enterprise add-on.*mode: proxied.*mode: saas/],
    ],
    ["a list that is refused", regional, { regions: { refused: "403 no permission" } }, [/could not be read \(403 no/]],
    ["a name of another domain", saas, { zones: [], fallbackOrigin: hostname }, []],
    [
      "the zone's own name",
      { ...saas, saasHostname: "llm.example.com" },
      {},
      [/belongs to example\.com, a zone of this/],
    ],
    ["a zone of the same account", saas, { zones: ["other.net"] }, [/belongs to other\.net.*outside this account/]],
    [
      "a zone that serves other custom hostnames",
      saas,
      { fallbackOrigin: "shop.example.com" },
      [/has the fallback origin shop\.example\.com already.*Use another zone/],
    ],
    [
      "two problems at once",
      saas,
      { zones: ["other.net"], fallbackOrigin: "shop.example.com" },
      [/belongs to other\.net/, /fallback origin shop/],
    ],
  ])("%s", async (_what, route, known, expected) => {
    const problems = await routeProblems({ hostname, route }, "example.com", lookups(known));
    expect(problems).toHaveLength(expected.length);
    for (const [index, problem] of expected.entries()) expect(problems[index]).toMatch(problem);
  });

  it("is nothing in mode proxied, so that a preview needs no more rights", async () => {
    const asking = lookups({});
    const route: RouteConfig = { mode: "proxied", direct: [], expectColo: ["ICN"] };
    expect(await routeProblems({ hostname, route }, "example.com", asking)).toEqual([]);
    expect(asking.asked).toEqual([]);
  });
});

describe("lookups that the program needs", () => {
  let h: Harness;
  const lookups = (apiToken: string | undefined) =>
    requiredLookups({ accountId: account_id, zoneId: zone_id }, cloudflareLookups({ apiToken, baseUrl: h.url }));
  beforeAll(async () => {
    h = await startHarness({
      apiTokens: [
        { value: "all-token", permissions: "all" },
        { value: "tunnels-token", permissions: ["Cloudflare Tunnel Read"] },
      ],
    });
  });
  afterAll(() => h.close());

  it("reads the region list, or why it may not", async () => {
    expect(await lookups("all-token").regions()).toContainEqual({ key: "kr", label: "Republic of Korea" });
    expect(await lookups("tunnels-token").regions()).toEqual({ refused: expect.stringMatching(/lacks the perm.*403/) });
  });

  it("finds the zones of the account among the names", async () => {
    expect(await lookups("all-token").zonesAmong(["slm.example.com", "example.com", "other.net"])).toEqual([
      "example.com",
    ]);
  });

  it("tells a fallback origin from none", async () => {
    expect(await lookups("all-token").fallbackOrigin()).toBeUndefined();
    await h.client.customHostnames.fallbackOrigin.update({ zone_id, origin: hostname });
    expect(await lookups("all-token").fallbackOrigin()).toBe(hostname);
  });

  it("says what is missing without a token", async () => {
    await expect(lookups(undefined).regions()).rejects.toThrow(/set CLOUDFLARE_API_TOKEN/);
  });

  it.each([
    ["a refusal", "regional_hostnames/regions|fallback_origin|/zones$", 403],
    ["an API that fails", ".*", 500],
  ])("shows %s as a problem of the config, not as a stack trace", async (_what, path, status) => {
    h.account.faults.add({ path, status, times: 99 });
    try {
      const asked = lookups("all-token");
      await expect(asked.fallbackOrigin()).rejects.toThrow(ConfigError);
      await expect(asked.zonesAmong(["other.net"])).rejects.toThrow(/could not be read/);
      if (status === 403) expect(await asked.regions()).toHaveProperty("refused");
      else await expect(asked.regions()).rejects.toThrow(ConfigError);
    } finally {
      h.account.faults.clear();
    }
  });
});

describe("what a mode declares", () => {
  let declared: Declared[];
  const typesOf = (prefix: string) =>
    declared.filter(({ name }) => name.startsWith(`${prefix}-`)).map(({ type }) => type.split(":").at(-1));
  const inputsOf = (name: string) => declared.find((resource) => resource.name === name)?.inputs;
  beforeAll(async () => {
    declared = await recordResources();
  });
  const common = {
    zoneId: zone_id,
    hostname,
    target: "id.cfargotunnel.com",
    behindAccess: new Set([hostname]),
    protect: true,
  };

  it("is the same record in each, so that no change of mode takes the name away", async () => {
    const { Route } = await import("../../components/route.ts");
    await resolved(new Route("p", common).hostname);
    await resolved(new Route("k", { ...common, regionKey: "kr" }).hostname);
    await resolved(new Route("s", { ...common, fallbackOrigin: true }).hostname);
    await settled();
    expect(typesOf("p")).toEqual(["DnsRecord"]);
    expect(typesOf("k")).toEqual(["DnsRecord", "RegionalHostname"]);
    expect(typesOf("s")).toEqual(["DnsRecord", "CustomHostnameFallbackOrigin"]);
    expect(inputsOf("k-dns")).toEqual(inputsOf("p-dns"));
    expect(inputsOf("s-dns")).toEqual(inputsOf("p-dns"));
    expect(inputsOf("k-region")).toEqual({ zoneId: zone_id, hostname, regionKey: "kr" });
    expect(inputsOf("s-fallback-origin")).toEqual({ zoneId: zone_id, origin: hostname });
  });

  it("puts Access and the connector's check before a custom hostname just as before the first one", async () => {
    const { Access } = await import("../../components/access.ts");
    const { ingressRules } = await import("../../components/tunnel.ts");
    const access = new Access("a", {
      accountId: account_id,
      hostname,
      alsoHostnames: ["slm.other.net"],
      servers: [{ name: "backend", enabled: true, secretVersion: 1, duration: "8760h" }],
      people: {
        emails: [],
        emailDomains: [],
        sessionDuration: "24h",
        login: { existing: [], declareOneTimePin: false },
      },
      protect: true,
    });
    await resolved(access.audiences.people);
    await settled();
    const uris = (name: string) => ((inputsOf(name)?.destinations ?? []) as { uri: string }[]).map(({ uri }) => uri);
    expect(uris("a-app-servers")).toEqual([hostname, "slm.other.net"]);
    expect(uris("a-app-people")).toEqual([`${hostname}/status`, "slm.other.net/status"]);

    const audiences = { servers: "aud-servers", people: "aud-people" };
    const alone = ingressRules({ hostname, relayPort: 8790, teamName: "acme", audiences });
    const both = ingressRules({
      hostname,
      alsoHostnames: ["slm.other.net"],
      relayPort: 8790,
      teamName: "acme",
      audiences,
    });
    const [last, ...rules] = alone.toReversed();
    const renamed = rules.toReversed().map((rule) => ({ ...rule, hostname: "slm.other.net" }));
    expect(both).toEqual([...rules.toReversed(), ...renamed, last]);
  });

  it("asks Cloudflare to mail about this tunnel, and about tokens", async () => {
    const { Alerts } = await import("../../components/alerts.ts");
    new Alerts("m", {
      accountId: account_id,
      hostname,
      tunnelId: "the-tunnel",
      description: "slm-network, stack test",
      emails: ["a@example.com", "b@example.com"],
    });
    await settled();
    const mechanisms = { emails: [{ id: "a@example.com" }, { id: "b@example.com" }] };
    expect(inputsOf("m-alert-tunnel")).toMatchObject({
      accountId: account_id,
      alertType: "tunnel_health_event",
      description: "slm-network, stack test",
      enabled: true,
      mechanisms,
      filters: { tunnelIds: ["the-tunnel"] },
    });
    expect(inputsOf("m-alert-token")).toMatchObject({
      alertType: "expiring_service_token_alert",
      enabled: true,
      mechanisms,
    });
    expect(inputsOf("m-alert-token")).not.toHaveProperty("filters");
  });

  it("validates a custom hostname by the CNAME alone", async () => {
    const { SaasHostname } = await import("../../components/saas-hostname.ts");
    const saas = new SaasHostname("c", {
      zoneId: zone_id,
      saasHostname: "slm.other.net",
      hostname,
      isServed: false,
      protect: true,
    });
    await resolved(saas.status);
    await settled();
    expect(inputsOf("c-custom-hostname")).toMatchObject({
      hostname: "slm.other.net",
      ssl: { method: "http", type: "dv", wildcard: false },
    });
  });
});

describe("each component of a route", () => {
  it("has the type token of its module", async () => {
    const declared = await recordResources();
    const { Route } = await import("../../components/route.ts");
    const { Alerts } = await import("../../components/alerts.ts");
    const { SaasHostname } = await import("../../components/saas-hostname.ts");
    const behindAccess = new Set([hostname]);
    new Route("t", { zoneId: zone_id, hostname, behindAccess, target: "id.cfargotunnel.com", protect: true });
    new Alerts("t", {
      accountId: account_id,
      hostname,
      tunnelId: "id",
      emails: ["a@example.com"],
      description: "slm-network, stack test",
    });
    new SaasHostname("t", { zoneId: zone_id, saasHostname: "slm.other.net", hostname, isServed: false, protect: true });
    await settled();
    const own = declared.map(({ type }) => type).filter((type) => type.startsWith("slm-network:"));
    expect(own.toSorted()).toEqual([
      "slm-network:alerts:Alerts",
      "slm-network:route:Route",
      "slm-network:saas-hostname:SaasHostname",
    ]);
  });
});

describe("what is said of a custom hostname", () => {
  const names = { saasHostname: "slm.other.net", hostname, isServed: false };
  const ownership = { name: "_cf-custom-hostname.slm.other.net", value: "f00d" };

  it("while it is pending: the records, and where callers go until then", async () => {
    const { externalRecords, validationText } = await import("../../components/saas-hostname.ts");
    expect(externalRecords(names, { status: "pending", ownership })).toMatchObject([
      { type: "CNAME", name: "slm.other.net", content: hostname, note: expect.stringMatching(/DNS-only/) },
      { type: "TXT", name: ownership.name, content: "f00d", note: expect.stringMatching(/only needed when/) },
    ]);
    expect(validationText(names, { status: "pending", errors: ["no CNAME"] })).toMatch(
      /is pending \(Cloudflare: no CNAME\): until it is served callers use slm\.example\.com.*then run `pulumi up --refresh`/,
    );
  });

  it("once it is active: both names answer", async () => {
    const { externalRecords, validationText } = await import("../../components/saas-hostname.ts");
    expect(externalRecords(names, { status: "active" })).toHaveLength(1);
    expect(validationText(names, { status: "active" })).toMatch(
      /is active: run `pulumi up` once more.*callers use slm\.example\.com/,
    );
    expect(validationText({ ...names, isServed: true }, { status: "active" })).toBe(
      "slm.other.net is served; slm.example.com keeps answering beside it",
    );
    expect(validationText({ ...names, isServed: true }, { status: "blocked" })).toMatch(
      /is served, though its state is blocked/,
    );
  });
});
