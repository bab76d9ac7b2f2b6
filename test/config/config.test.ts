import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { parseStackConfig, readStackConfig } from "../../config/config.ts";
import { DIALECTS } from "../../runtime/relay/dialects/dialects.ts";
import { headersToModel } from "../../runtime/relay/http/header-filters.ts";
import { LEAST as good, problemsOf } from "./stack.ts";

const secret = good.tunnelSecret;

describe("the stack's config", () => {
  it("takes the least that is needed and fills in the rest", () => {
    const config = parseStackConfig(good);
    expect(config.route.mode).toBe("proxied");
    expect(config.protect).toBe(true);
    expect(config.documents).toMatchObject({ store: "embedded", ttlDays: 30 });
    expect(config.macs[0]?.port).toBe(22);
    expect(config.limits).toMatchObject({ chat: 4, embeddings: 2, whenBusy: "queue" });
    expect(config.artifacts.cloudflared.url).toContain("darwin-arm64");
  });

  it("takes the memory's bound if the largest body and every caller fit into it, and says what would", () => {
    expect(parseStackConfig({ ...good, limits: { memoryMiB: 320 } }).limits.memoryMiB).toBe(320);
    expect(parseStackConfig(good).limits.memoryMiB).toBeUndefined();
    expect(problemsOf({ ...good, limits: { memoryMiB: 300, waitingMiB: 400 }, hostname: "x y" }).join("\n")).toMatch(
      /hostname.*\n.*limits\.memoryMiB: .*is under 5 × bodyMiB \(64\).*320 or more.*; it is under waitingMiB \(400\)/,
    );
    const servers = Array.from({ length: 20 }, (_, n) => ({ name: `server-${n}` }));
    const limits = { memoryMiB: 64, bodyMiB: 8 };
    expect(problemsOf({ ...good, limits, access: { servers } }).join()).toMatch(
      /too little for 20 callers.*80 or more/,
    );
    expect(parseStackConfig({ ...good, documents: { maxDiskMiB: 512 } }).documents.maxDiskMiB).toBe(512);
  });

  it("explains why a UPS must not shut the Mac down, and requires an explicit opt-in", () => {
    const mac = (power: unknown) => ({ ...good, macs: [{ ...good.macs[0], power }] });
    expect(problemsOf(mac({ ups: { haltLevel: 20 } })).join()).toMatch(
      /macs\[0\]\.power\.ups\.mayStayOff: must be true: after a UPS has had the Mac shut down, the Mac can stay off.*take `ups` out/,
    );
    expect(problemsOf(mac({ ups: { mayStayOff: true } })).join()).toMatch(/has no threshold.*haltLevel/);
    expect(parseStackConfig(mac({ ups: { mayStayOff: true, haltRemain: 5 } })).macs[0]?.power).toEqual({
      set: true,
      ups: { mayStayOff: true, haltRemain: 5 },
    });
    expect(parseStackConfig(good).macs[0]).toMatchObject({
      power: { set: true },
      removeData: false,
      skipRemoval: false,
    });
  });

  it("says of a model service what launchd could not start", () => {
    const service = { program: "ollama", args: [1], env: { OLLAMA_NUM_PARALLEL: 4, "A-B": "x" }, user: "root" };
    const text = problemsOf({ ...good, model: { ...good.model, service } }).join("\n");
    expect(text).toMatch(/model\.service\.program: "ollama" is not an absolute path: launchd looks nowhere else/);
    expect(text).toMatch(/model\.service\.args\[0\]: 1 must be a text: put it in quotes/);
    expect(text).toMatch(/model\.service\.env\.OLLAMA_NUM_PARALLEL: 4 must be a text, as launchd takes no other/);
    expect(text).toMatch(/model\.service\.user: "root" is more than a model server needs/);
    const least = { program: "/opt/homebrew/bin/ollama", user: "director" };
    const parsed = parseStackConfig({ ...good, model: { ...good.model, service: { ...least, args: ["serve"] } } });
    expect(parsed.model.service).toEqual({ ...least, args: ["serve"], env: {} });
  });

  it("reports all problems at once, each with its value, the reason and the fix", () => {
    const problems = problemsOf({
      ...good,
      zoneId: undefined,
      hostname: "https://slm.example.com/",
      documents: { ttlDays: 0, store: "atlas" },
      macs: [...good.macs, ...good.macs],
      route: { mode: "dns-only" },
    });
    const text = problems.join("\n");
    expect(problems).toHaveLength(8);
    expect(text).toMatch(/slm-network:zoneId: the zone's id is missing.*dash\.cloudflare\.com/);
    expect(text).toMatch(/slm-network:hostname: "https:\/\/slm\.example\.com\/" is not a host name.*slm\.example\.com/);
    expect(text).toMatch(/slm-network:documents\.ttlDays: 0 .*1 to 365 days/);
    expect(text).toMatch(/slm-network:documents\.atlas: is missing while store is atlas/);
    expect(text).toMatch(/slm-network:macs: .*two or more Macs.*Keep one/);
    expect(text).toMatch(/slm-network:route\.mode: "dns-only" .*cfargotunnel\.com resolves to an unroutable address/);
    expect(text).toMatch(/slm-network:atlasSchemaPassword: is missing.*pulumi config set --secret atlasSchemaPassword/);
  });

  it("finds problems inside the entries of a list that is itself too long", () => {
    const problems = problemsOf({ ...good, macs: [{ host: "a" }, ...good.macs] });
    expect(problems.join("\n")).toMatch(/macs\[0\]\.hostKey: is missing.*ssh-keyscan[\s\S]*two or more Macs/);
  });

  it.each([
    ["grey", /DNS-only.*npm run probe/],
    ["warp", /caller's machine changed.*docs\/routes\.md/],
    ["carrier-pigeon", /is not a route mode/],
    [7, /is not a route mode/],
  ])("refuses the route %s with its reason", (mode, reason) => {
    expect(problemsOf({ ...good, route: { mode } }).join()).toMatch(reason);
  });

  it.each([
    [{ mode: "regional", regionKey: "kr" }],
    [{ mode: "saas", saasHostname: "slm.example.net" }],
    [{ mode: "proxied", expectColo: [] }],
  ])("takes the route %j", (route) => {
    expect(parseStackConfig({ ...good, route }).route).toMatchObject(route);
  });

  it.each([
    [{ mode: "regional" }, /route\.regionKey: is missing.*the keys that it has are shown/],
    [{ mode: "saas" }, /route\.saasHostname: is missing.*not in this Cloudflare account/],
    [{ regionKey: "kr" }, /regionKey: "kr" has no effect unless mode is regional/],
    [{ mode: "regional", regionKey: "kr", saasHostname: "a.b.net" }, /saasHostname: "a\.b\.net" has no effect/],
    [{ mode: "saas", saasHostname: "https://b.net" }, /saasHostname: "https:\/\/b\.net" is not a host name/],
    [{ expectColo: ["Seoul"] }, /expectColo\[0\]: "Seoul" is not a Cloudflare location/],
  ])("refuses the route %j", (route, reason) => {
    const problems = problemsOf({ ...good, route });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(reason);
  });

  it("says which line to use instead of an RSA host key", () => {
    const [problem] = problemsOf({ ...good, macs: [{ ...good.macs[0], hostKey: "ssh-rsa AAAAB3Nz" }] });
    expect(problem).toMatch(
      /macs\[0\]\.hostKey: .*is an RSA key.*`ssh-keyscan -t ed25519 .*copy `ssh-ed25519 AAAA…` instead/,
    );
  });

  it.each([
    ["a name without a zone", { hostname: "slm" }],
    ["capitals", { hostname: "SLM.example.com" }],
    ["a short id", { accountId: "abc" }],
    ["no server", { access: { servers: [] } }],
    ["two servers of one name", { access: { servers: [{ name: "a" }, { name: "a" }] } }],
    ["a rotation without an end of the old secret", { access: { servers: [{ name: "a", secretVersion: 2 }] } }],
    [
      "an end of the old secret without a rotation",
      { access: { servers: [{ name: "a", previousSecretExpiresAt: "2027-01-01T00:00:00Z" }] } },
    ],
    ["an RSA host key", { macs: [{ ...good.macs[0], hostKey: "ssh-rsa AAAAB3NzaC1yc2EAAAADAQAB" }] }],
    [
      "an RSA host key of a jump host",
      { macs: [{ ...good.macs[0], jump: { ...good.macs[0], hostKey: "ssh-rsa AAAA" } }] },
    ],
    ["a host key that is none", { macs: [{ ...good.macs[0], hostKey: "SHA256:abc" }] }],
    ["a tunnel secret of a few bytes", { tunnelSecret: Buffer.from("too short").toString("base64") }],
    [
      "the whole internet at the database",
      { documents: { atlas: { projectId: "0".repeat(24), cluster: "main", allowFrom: ["0.0.0.0/0"] } } },
    ],
    [
      "an address that is not a network",
      { documents: { atlas: { projectId: "0".repeat(24), cluster: "main", allowFrom: ["office"] } } },
    ],
    ["an alert to nobody's address", { alerts: { emails: ["ops"] } }],
    ["a setting that does not exist", { timeToLive: 30 }],
    ["a wait that Cloudflare would cut", { limits: { waitSeconds: 120 } }],
  ])("refuses %s", (_what, change) => {
    expect(problemsOf({ ...good, ...change })).toHaveLength(1);
  });

  it("allows access from anywhere only with allowAnywhere, and fills in the defaults of a new cluster", () => {
    const atlas = {
      projectId: "0".repeat(24),
      cluster: { create: {} },
      allowFrom: ["0.0.0.0/0"],
      allowAnywhere: true,
    };
    const config = parseStackConfig({ ...good, documents: { atlas } });
    expect(config.documents.atlas?.cluster).toEqual({
      create: { name: "slm", provider: "AWS", region: "AP_NORTHEAST_2" },
    });
    expect(problemsOf({ ...good, documents: { atlas: { ...atlas, allowAnywhere: false } } }).join()).toMatch(
      /allowFrom\[0\]: "0\.0\.0\.0\/0" exposes the database to the internet.*allowAnywhere: true/,
    );
    expect(problemsOf({ ...good, documents: { atlas: { ...atlas, cluster: 7 } } }).join()).toMatch(
      /neither the name of/,
    );
    expect(problemsOf({ ...good, documents: { chunk: { characters: 100, overlap: 90 } } }).join()).toMatch(
      /chunk\.overlap: 90 is over half/,
    );
  });

  it("never shows a secret", () => {
    const text = problemsOf({ ...good, tunnelSecret: "hunter2", atlasRelayPassword: "hunter2" }).join();
    expect(text).toContain("(a secret)");
    expect(text).not.toContain("hunter2");
  });

  it("reads structured values as Pulumi passes them, and keeps ids of digits as text", () => {
    const passed = new Map(
      Object.entries(good).map(([key, value]) => [key, typeof value === "string" ? value : JSON.stringify(value)]),
    );
    const config = readStackConfig({ get: (key) => passed.get(key) });
    expect(config).toEqual(parseStackConfig(good));
  });
});

describe("who may sign in", () => {
  const people = (settings: object) =>
    problemsOf({ ...good, access: { servers: [{ name: "backend" }], people: settings } });

  it("is nobody unless named, and by a code by e-mail unless said otherwise", () => {
    expect(parseStackConfig(good).access.people).toEqual({
      emails: [],
      emailDomains: [],
      identityProviders: ["onetimepin"],
      sessionDuration: "24h",
      operators: [],
    });
    expect(people({ emails: ["kim@gmail.com"], emailDomains: ["example.co.kr"] })).toEqual([]);
  });

  it.each([
    [
      "a domain where anyone can get an address",
      { emailDomains: ["naver.com"] },
      /emailDomains\[0\]: "naver\.com" is a domain where anyone can get.*let everyone in.*one by one/,
    ],
    [
      "another one",
      { emailDomains: ["example.com", "gmail.com"] },
      /emailDomains\[1\]: "gmail\.com" is a domain where anyone can/,
    ],
    ["every domain", { emailDomains: ["*"] }, /"\*" is not an e-mail domain.*without wildcards/],
    ["every domain below one", { emailDomains: ["*.example.com"] }, /is not an e-mail domain/],
    ["an address for a domain", { emailDomains: ["@example.com"] }, /is not an e-mail domain/],
    [
      "everybody of a domain",
      { emails: ["*@example.com"] },
      /"\*@example\.com" is not an e-mail address.*without wildcards.*people\.emailDomains/,
    ],
    ["everybody", { emails: ["*"] }, /is not an e-mail address/],
    ["a rule of Cloudflare's", { everyone: true }, /people\.everyone: is not a known setting/],
    ["a way in for nobody", { identityProviders: [] }, /identityProviders: \[\] is empty, so nobody could sign in/],
  ])("is never everyone, nor unclear: %s", (_what, settings, reason) => {
    const problems = people(settings);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(reason);
  });
});

describe("who may act from the status page", () => {
  const operators = (
    list: unknown[],
    people: object = { emails: ["kim@example.com"], emailDomains: ["example.co.kr"] },
  ) => problemsOf({ ...good, access: { servers: [{ name: "backend" }], people: { ...people, operators: list } } });

  it("is some of those who can sign in: by address in any case, or by a whole domain", () => {
    expect(operators(["Kim@Example.com", "lee@example.co.kr", "@example.co.kr"])).toEqual([]);
  });

  it.each([
    ["lee@example.com", /operators\[0\]: "lee@example\.com" names somebody who cannot sign in.*people\.emails: lee@/],
    ["kim@sub.example.co.kr", /cannot sign in/],
    ["@example.com", /cannot sign in: add people\.emailDomains: example\.com/],
    ["@gmail.com", /is neither an e-mail address nor the domain of a company/],
    ["*@example.co.kr", /is neither/],
    ["example.co.kr", /is neither/],
    ["", /is neither/],
    ["\u212aim@example.com", /is neither|beyond ASCII/],
  ])("is nobody else: %j", (entry, reason) => {
    const problems = operators([entry]);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(reason);
  });
});

describe("a fallback", () => {
  it("is off unless configured, and needs companies that agreed", () => {
    expect(parseStackConfig(good).fallback).toBeUndefined();
    const fallback = { url: "https://api.example.com", companies: ["acme"] };
    expect(parseStackConfig({ ...good, fallback }).fallback).toEqual(fallback);
    const problems = problemsOf({ ...good, fallback: { url: "https://api.example.com/v1/", companies: [] } });
    expect(problems.join("\n")).toMatch(/fallback\.url: .*leave that out.*fallback\.companies: .*is empty/s);
  });
});

describe("Pulumi.prod.yaml as committed", () => {
  const file = readFileSync(join(import.meta.dirname, "../../Pulumi.prod.yaml"), "utf8");
  const { config } = parse(file) as { config: Record<string, unknown> };
  const settings = Object.fromEntries(
    Object.entries(config).map(([key, value]) => [key.replace("slm-network:", ""), value]),
  );

  it("passes once the secrets it names are set", () => {
    const named = [...file.matchAll(/config set --secret (\w+)/g)].map(([, key]) => key as string);
    expect(named).toEqual(["tunnelSecret", "atlasSchemaPassword", "atlasRelayPassword"]);
    expect(problemsOf(settings)).toHaveLength(named.length);
    const secrets = Object.fromEntries(named.map((key) => [key, secret]));
    expect(parseStackConfig({ ...settings, ...secrets }).protect).toBe(true);
  });
});

describe("access.singleHeader", () => {
  const named = (singleHeader: unknown) => problemsOf({ ...good, access: { ...good.access, singleHeader } }).join();

  it("is off unless it is set, and takes any name that means nothing else", () => {
    expect(parseStackConfig(good).access.singleHeader).toBeUndefined();
    for (const name of ["x-api-key", "api-key", "X-API-Key", "Authorization", "X-Token"]) expect(named(name)).toBe("");
  });

  it.each([
    ["Content-Type", /access\.singleHeader: "Content-Type" has a meaning of its own.*x-api-key/],
    ["cf-access-client-id", /has a meaning of its own/],
    ["Slm-Company", /has a meaning of its own/],
    ["prefer", /has a meaning of its own/],
    ["x api key", /is not a valid header name: letters, digits and -/],
    ["", /is not a valid header name/],
    [7, /is not a valid header name/],
    ["키", /is not a valid header name/],
  ])("refuses %j and says why", (name, words) => expect(named(name)).toMatch(words));

  it.each(DIALECTS.map((dialect) => [dialect.name, dialect] as const))(
    "refuses what the relay passes on to the model server in the API %s",
    (_name, dialect) => {
      const read = new Set<string>();
      const headers = new Proxy({}, { get: (_target, name) => void read.add(String(name)) });
      headersToModel(headers, "id", dialect);
      expect([...read]).toEqual(expect.arrayContaining(["accept", ...dialect.headers.toModel]));
      for (const name of read) expect(named(name), name).toMatch(/has a meaning of its own/);
    },
  );
});

describe("modelKey", () => {
  it("is a secret that a header can carry, and never shown", () => {
    expect(parseStackConfig({ ...good, modelKey: "sk-lm-0:a" }).modelKey).toBe("sk-lm-0:a");
    for (const modelKey of ["two words", "열쇠", "line\nbreak", ""]) {
      const [problem] = problemsOf({ ...good, modelKey });
      expect(problem).toMatch(/^slm-network:modelKey: \(a secret\) has spaces or characters beyond ASCII/);
      if (modelKey !== "") expect(problem).not.toContain(modelKey);
    }
  });
});

describe("parts that may be deleted while the rest stays protected", () => {
  it("are named in unprotect", () => {
    expect(
      parseStackConfig({ ...good, unprotect: ["servers.backend", "saas", "ssh", "documents"] }).unprotect,
    ).toHaveLength(4);
    expect(problemsOf({ ...good, unprotect: ["backend", "tunnel"] })).toEqual([
      expect.stringMatching(/unprotect\[0\]: "backend" is not a part.*servers\.<name>/),
      expect.stringMatching(/unprotect\[1\]: "tunnel" is not a part/),
    ]);
  });
});

describe("model.options", () => {
  const withOptions = (options: unknown) => ({ ...good, model: { ...good.model, options } });

  it("takes bounds and switches, and allows none by default", () => {
    const options = { num_ctx: { min: 2048, max: 16_384 }, num_gpu: { min: -1, max: -1 }, use_mlock: true };
    expect(parseStackConfig(withOptions(options)).model.options).toEqual(options);
    expect(parseStackConfig(good).model.options).toBeUndefined();
  });

  it.each([
    [{ num_ctx: { min: 16_384, max: 2048 } }, /model\.options\.num_ctx: .*has a min above its max/],
    [{ num_ctx: 8192 }, /model\.options\.num_ctx: 8192 is no range: write \{ min: 2048, max: 16384 \}/],
    [{ num_ctx: { min: 2048 } }, /model\.options\.num_ctx\.max: /],
    [{ num_ctx: { min: 2048.5, max: 4096 } }, /model\.options\.num_ctx\.min: 2048\.5 is not a whole number/],
    [{ num_gpu: { min: -2, max: 99 } }, /model\.options\.num_gpu\.min: -2 is under -1/],
    [{ use_mmap: false }, /model\.options\.use_mmap: false must be true, or left out/],
    [{ temperature: { min: 0, max: 1 } }, /model\.options.*temperature/],
  ])("refuses %j, with the reason", (options, reason) => {
    expect(problemsOf(withOptions(options)).join("\n")).toMatch(reason);
  });
});

describe("macs[].edgeIpVersion", () => {
  it("is auto, 4 or 6", () => {
    const mac = (edgeIpVersion: unknown) => ({ ...good, macs: [{ ...good.macs[0], edgeIpVersion }] });
    expect(parseStackConfig(good).macs[0]?.edgeIpVersion).toBeUndefined();
    expect(parseStackConfig(mac("auto")).macs[0]?.edgeIpVersion).toBe("auto");
    expect(parseStackConfig(mac(6)).macs[0]?.edgeIpVersion).toBe(6);
    expect(problemsOf(mac(5)).join()).toMatch(/edgeIpVersion: 5 must be auto, 4 or 6/);
  });
});
