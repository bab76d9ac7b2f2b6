import { Secret } from "@pulumi/policy";
import { describe, expect, it } from "vitest";
import { resourceTypes } from "../../config/resource-types.ts";
import type { InspectedResource } from "../../policy/inspected-resource.ts";
import * as rules from "../../policy/rules.ts";
import { plainSecrets } from "../../policy/secrets.ts";
import { partOf, unprotectedIn } from "../../policy/unprotected.ts";

/** A property that throws when it is touched, as @pulumi/policy has it for what is not known in a preview. */
const later = Symbol("later");
function preview(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  return new Proxy(value, {
    get: (target, key) => {
      const field: unknown = Reflect.get(target, key);
      if (field === later) throw new Error(`string value at .${String(key)} can't be known during preview`);
      return preview(field);
    },
  });
}

const cf = (name: string) => `cloudflare:index/${name.charAt(0).toLowerCase()}${name.slice(1)}:${name}`;
const seen = (
  type: string,
  props: object,
  { protect = false, stack = "prod", name = "it" } = {},
): InspectedResource => ({
  type,
  name,
  urn: `urn:pulumi:${stack}::slm-network::${type}::${name}`,
  props: preview(props) as Record<string, unknown>,
  protect,
});
const record = (props: object, options = {}) =>
  seen(cf("DnsRecord"), { type: "CNAME", name: "slm.example.com", ...props }, options);
const application = (props: object) => seen(cf("ZeroTrustAccessApplication"), props);
const policy = (props: object) => seen(cf("ZeroTrustAccessPolicy"), { name: "who", ...props });
const collection = (ttlSeconds: unknown, options = {}) =>
  seen("pulumi-nodejs:dynamic/document-store:TtlCollection", { ttlSeconds }, options);

function told(run: (report: (message: string) => void) => void): string[] {
  const messages: string[] = [];
  run((message) => messages.push(message));
  return messages;
}
/** Nothing is unprotected. */
const none: rules.UnprotectedParts = () => new Set();
const tunnel = "0b9b6f9e-0000-4000-8000-000000000000.cfargotunnel.com";

describe("a record that leads to a tunnel is proxied", () => {
  it.each([
    ["off", record({ content: tunnel, proxied: false })],
    ["left out", record({ content: tunnel })],
    ["not known", record({ content: tunnel, proxied: later })],
    ["off, to a tunnel that is new", record({ content: later, proxied: false })],
  ])("fires: %s", (_what, resource) => {
    expect(told((report) => rules.tunnelRecordIsProxied(resource, report))).toHaveLength(1);
  });
  it.each([
    ["proxied", record({ content: tunnel, proxied: true })],
    ["proxied, to a tunnel that is new", record({ content: later, proxied: true })],
    ["another place", record({ content: "elsewhere.example.net", proxied: false })],
    ["an address that is new", record({ type: "A", content: later, proxied: false })],
    ["another resource", application({ content: tunnel, proxied: false })],
  ])("does not: %s", (_what, resource) => {
    expect(told((report) => rules.tunnelRecordIsProxied(resource, report))).toEqual([]);
  });
});

describe("a host name has an Access application", () => {
  const front = (uri: unknown) => application({ destinations: [{ type: "public", uri }] });
  const ingress = (hostname: string) =>
    seen(cf("ZeroTrustTunnelCloudflaredConfig"), {
      config: { ingresses: [{ hostname, service: "http://127.0.0.1:1" }, { service: "http_status:404" }] },
    });
  it.each([
    ["none at all", [record({ content: later })]],
    ["one for a path only", [record({ content: later }), front("slm.example.com/status")]],
    ["one for another name", [record({ content: tunnel }), front("other.example.com")]],
    ["one that is not known", [record({ content: tunnel }), front(later)]],
    ["a name that is not known", [record({ content: later, name: later }), front("slm.example.com")]],
    ["a second name in the tunnel's rules", [ingress("b.example.com"), front("slm.example.com")]],
    ["a custom hostname", [seen(cf("CustomHostname"), { hostname: "slm.example.net" }), front("slm.example.com")]],
    [
      "a custom hostname beside a rule for every name",
      [
        seen(cf("CustomHostname"), { hostname: "slm.example.net" }),
        seen(cf("ZeroTrustTunnelCloudflaredConfig"), { config: { ingresses: [{ service: "http://127.0.0.1:1" }] } }),
      ],
    ],
    [
      "a custom hostname beside rules that are not known",
      [
        seen(cf("CustomHostname"), { hostname: "slm.example.net" }),
        seen(cf("ZeroTrustTunnelCloudflaredConfig"), { config: later }),
      ],
    ],
  ])("fires: %s", (_what, resources) => {
    expect(told((report) => rules.hostnameHasApplication(resources, report))).toHaveLength(1);
  });
  it.each([
    ["the whole host", [record({ content: later }), ingress("slm.example.com"), front("SLM.example.com")]],
    ["a custom hostname", [seen(cf("CustomHostname"), { hostname: "slm.example.net" }), front("slm.example.net")]],
    [
      "a custom hostname that the tunnel does not serve yet",
      [
        seen(cf("CustomHostname"), { hostname: "slm.example.net" }),
        ingress("slm.example.com"),
        front("slm.example.com"),
      ],
    ],
    ["by `domain`", [record({ content: tunnel }), application({ domain: "slm.example.com" })]],
    ["not a tunnel's", [record({ content: "elsewhere.example.net" })]],
  ])("does not: %s", (_what, resources) => {
    expect(told((report) => rules.hostnameHasApplication(resources, report))).toEqual([]);
  });
});

describe("no Access policy lets everyone in", () => {
  const inside = (entry: object) => application({ policies: [entry] });
  it.each([
    [
      "everyone",
      policy({ decision: "allow", includes: [{ email: { email: "a@b.co" } }, { everyone: {} }] }),
      /everyone/,
    ],
    ["any token", policy({ decision: "non_identity", includes: [{ anyValidServiceToken: {} }] }), /any service token/],
    ["every address", policy({ decision: "allow", includes: [{ ip: { ip: "0.0.0.0/0" } }] }), /every address/],
    ["open mail", policy({ decision: "allow", includes: [{ emailDomain: { domain: "Naver.com" } }] }), /naver\.com/],
    ["bypass", policy({ decision: "bypass", includes: [] }), /bypass/],
    ["rules not known", policy({ decision: "allow", includes: later }), /not known/],
    ["one rule not known", policy({ decision: "allow", includes: [later] }), /not known/],
    ["a decision not known", policy({ decision: later, includes: [] }), /not known/],
    ["inside an application", inside({ decision: "allow", includes: [{ everyone: {} }] }), /everyone/],
  ])("fires: %s", (_what, resource, reason) => {
    const messages = told((report) => rules.accessPolicyIsNotOpen(resource, report));
    expect(messages).toHaveLength(1);
    expect(messages[0]).toMatch(reason);
  });
  it.each([
    ["a token that is new", policy({ decision: "non_identity", includes: [{ serviceToken: { tokenId: later } }] })],
    ["people by name", policy({ decision: "allow", includes: [{ emailDomain: { domain: "example.com" } }] })],
    ["everyone shut out", policy({ decision: "deny", includes: [{ everyone: {} }] })],
    ["a policy that is named, new", inside({ id: later, precedence: 1 })],
  ])("does not: %s", (_what, resource) => {
    expect(told((report) => rules.accessPolicyIsNotOpen(resource, report))).toEqual([]);
  });
});

describe("the type of a resource is known", () => {
  it.each([
    ["of Cloudflare", cf("Ruleset")],
    ["of Atlas", "mongodbatlas:index/advancedCluster:AdvancedCluster"],
    ["a dynamic provider's", "pulumi-nodejs:dynamic/document-store:Another"],
    ["a command", "command:local:Command"],
  ])("fires: %s", (_what, type) => {
    for (const stack of ["prod", "sandbox"]) {
      const messages = told((report) => rules.typeIsKnown(seen(type, {}, { stack, protect: true }), report));
      expect(messages).toEqual([expect.stringMatching(`${type}.*config/resource-types.ts`)]);
    }
  });
  it.each([
    ...Object.values(resourceTypes).map(({ token }) => token),
    "slm-network:route:Route",
    "pulumi:pulumi:Stack",
    "pulumi:providers:cloudflare",
  ])("does not: %s", (type) => {
    expect(told((report) => rules.typeIsKnown(seen(type, {}), report))).toEqual([]);
  });
});

describe("what holds state is protected in production", () => {
  it.each([
    ["a record", record({})],
    ["the collection", collection(later)],
    ["the tunnel", seen(cf("ZeroTrustTunnelCloudflared"), {})],
  ])("fires: %s", (_what, resource) => {
    expect(told((report) => rules.statefulIsProtected(resource, report, none))).toHaveLength(1);
  });
  it.each([
    ["prod", true],
    ["production", true],
    ["prod-kr", true],
    ["kr.prod", true],
    ["PROD_KR", true],
    ["nonprod", false],
    ["non-prod", false],
    ["pre-prod", false],
    ["product-demo", false],
    ["sandbox", false],
  ])("the stack %s is production: %s", (stack, expected) => {
    expect(told((report) => rules.statefulIsProtected(record({}, { stack }), report, none))).toHaveLength(
      expected ? 1 : 0,
    );
  });
  it.each([
    ["protected", record({}, { protect: true })],
    ["another stack", record({}, { stack: "sandbox" })],
    ["what holds none", policy({})],
  ])("does not: %s", (_what, resource) => {
    expect(told((report) => rules.statefulIsProtected(resource, report, none))).toEqual([]);
  });
});

describe("documents are kept 1 to 365 days", () => {
  it.each([
    ["0", 0],
    ["a second short of a day", 86_399],
    ["a second over a year", 365 * 86_400 + 1],
    ["not known", later],
    ["not set", undefined],
    ["text", "2592000"],
  ])("fires: %s", (_what, ttl) => {
    expect(told((report) => rules.ttlIsInRange(collection(ttl), report))).toHaveLength(1);
  });
  it.each([86_400, 30 * 86_400, 365 * 86_400])("does not: %d", (ttl) => {
    expect(told((report) => rules.ttlIsInRange(collection(ttl), report))).toEqual([]);
    expect(told((report) => rules.ttlIsInRange(record({ ttlSeconds: 1 }), report))).toEqual([]);
  });
});

describe("no secret is in plain text", () => {
  const command = "command:remote:Command";
  const secret = `cfast_${"a".repeat(48)}`;
  const connectorToken = Buffer.from(JSON.stringify({ a: "b".repeat(32), t: "c", s: "d" })).toString("base64");
  it.each([
    ["a property that is one by its meaning", command, { stdin: "anything" }],
    ["what is installed on the Mac", "pulumi-nodejs:dynamic/mac:Installation", { input: { secrets: {} } }],
    ["a service token's secret", command, { create: `curl -H ${secret}` }],
    ["a password in an address", command, { environment: { URI: "mongodb+srv://u:p%40@host/" } }],
    ["a tunnel's token, deep inside", cf("DnsRecord"), { a: [{ b: [connectorToken] }] }],
    ["a private key", command, { connection: { privateKey: "-----BEGIN OPENSSH PRIVATE KEY-----\nx" } }],
  ])("fires: %s", (_what, type, props) => {
    const found = plainSecrets(type, props);
    expect(found).toHaveLength(1);
    expect(found[0]).toMatch(/in plain text/);
    for (const text of [secret, connectorToken, "p%40"]) expect(found[0]).not.toContain(text);
  });
  it.each([
    ["marked as secret", command, { stdin: new Secret("x"), environment: { A: new Secret(secret) } }],
    ["a secret list", command, { connection: new Secret({ privateKey: "-----BEGIN PRIVATE KEY-----" }) }],
    ["none", command, { create: "curl https://example.com/a:b@c cfast_short", stdin: undefined }],
  ])("does not: %s", (_what, type, props) => {
    expect(plainSecrets(type, props)).toEqual([]);
  });
});

describe("what the config unprotects by name", () => {
  const token = (name: string, options = {}) => seen(cf("ZeroTrustAccessServiceToken"), {}, { name, ...options });
  const only =
    (...parts: string[]): rules.UnprotectedParts =>
    (stack) =>
      new Set(stack === "prod" ? parts : []);
  const both = (resource: InspectedResource, parts: rules.UnprotectedParts) => [
    told((report) => rules.statefulIsProtected(resource, report, parts)),
    told((report) => rules.unprotectedOnPurpose(resource, report, parts)),
  ];

  it("is accepted with a warning; another part, another stack and what has no part are not", () => {
    expect(both(token("slm-token-old"), only("servers.old"))).toEqual([
      [],
      [expect.stringMatching(/^slm-token-old may be deleted: slm-network:unprotect has servers\.old/)],
    ]);
    const refused = [[expect.stringContaining("not protected")], []];
    expect(both(token("slm-token-backend"), only("servers.old"))).toEqual(refused);
    expect(both(token("slm-token-old", { stack: "prod-kr" }), only("servers.old"))).toEqual(refused);
    expect(both(seen(cf("ZeroTrustTunnelCloudflared"), {}, { name: "slm-tunnel" }), only("ssh", "saas"))).toEqual(
      refused,
    );
  });

  it("is nothing to say while the part is protected, or outside production", () => {
    expect(both(token("slm-token-old", { protect: true }), only("servers.old"))).toEqual([[], []]);
    expect(both(token("slm-token-old", { stack: "dev" }), only("servers.old"))).toEqual([[], []]);
  });

  it.each([
    ["slm-token-old", "servers.old"],
    ["slm-custom-hostname", "saas"],
    ["slm-mac-app-ssh", "ssh"],
    ["slm-mac-ssh-record", "ssh"],
    ["slm-documents", "documents"],
    ["slm-cluster", "documents"],
    ["slm-tunnel", undefined],
    ["slm-app-servers", undefined],
    ["slm-record", undefined],
  ])("%s belongs to %s", (name, part) => {
    expect(partOf(name)).toBe(part);
  });

  it.each([
    ["config:\n  slm-network:unprotect: [servers.old, ssh]\n", ["servers.old", "ssh"]],
    ["config:\n  slm-network:unprotect: '[\"saas\"]'\n", ["saas"]],
    ["config:\n  slm-network:unprotect: everything\n", []],
    ["config: {}\n", []],
    ["", []],
  ])("%j unprotects %j", (text, parts) => {
    expect([...unprotectedIn(text)]).toEqual(parts);
  });
});
