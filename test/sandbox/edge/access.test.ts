import { describe, expect, test } from "vitest";
import type { AccessPolicyView, AccessRule } from "../../../sandbox/cloudflare/edge-view.ts";
import { type AccessOptions, type Caller, decide } from "../../../sandbox/edge/access.ts";
import { applicationFor, normalizedPath, sessionSeconds } from "../../../sandbox/edge/applications.ts";
import { application } from "./account.ts";

function policy(decision: AccessPolicyView["decision"], include: AccessRule[], rest: Partial<AccessPolicyView> = {}) {
  return { id: "p", name: "p", decision, include, exclude: [], require: [], ...rest };
}
const everyone: AccessRule = { everyone: {} };
const token: AccessRule = { service_token: { token_id: "t1" } };
const ours: AccessRule = { email_domain: { domain: "example.com" } };
const services = policy("non_identity", [token]);
const people = policy("allow", [ours]);
const t1 = { clientId: "c1.access", tokenId: "t1" };
const t2 = { clientId: "c2.access", tokenId: "t2" };

interface Row {
  when: string;
  policies: AccessPolicyView[];
  caller?: Partial<Caller>;
  redirect401?: boolean;
  options?: AccessOptions;
  expected: string;
}

const rows: Row[] = [
  { when: "no policy, a valid token", policies: [], caller: { serviceToken: t1 }, expected: "refused 403" },
  { when: "no policy, a person", policies: [], caller: { email: "a@example.com" }, expected: "refused 403" },
  {
    when: "service policy, its token",
    policies: [services],
    caller: { serviceToken: t1 },
    expected: "service c1.access",
  },
  {
    when: "service policy, another token",
    policies: [services],
    caller: { serviceToken: t2 },
    expected: "refused 403",
  },
  {
    when: "service policy, a wrong secret",
    policies: [services],
    caller: { serviceToken: "invalid" },
    expected: "refused 403",
  },
  { when: "service policy, nothing", policies: [services], expected: "refused 403" },
  {
    when: "service policy, a person",
    policies: [services],
    caller: { email: "a@example.com" },
    expected: "refused 403",
  },
  { when: "service policy with 401, nothing", policies: [services], redirect401: true, expected: "refused 401" },
  {
    when: "any valid token, another token",
    policies: [policy("non_identity", [{ any_valid_service_token: {} }])],
    caller: { serviceToken: t2 },
    expected: "service c2.access",
  },
  {
    when: "any valid token, a wrong secret",
    policies: [policy("non_identity", [{ any_valid_service_token: {} }])],
    caller: { serviceToken: "invalid" },
    expected: "refused 403",
  },
  {
    when: "a token in an allow policy still needs a person",
    policies: [policy("allow", [token])],
    caller: { serviceToken: t1 },
    expected: "sign-in",
  },
  { when: "people's policy, nobody signed in", policies: [people], expected: "sign-in" },
  {
    when: "people's policy, one of them",
    policies: [people],
    caller: { email: "A@Example.com" },
    expected: "person A@Example.com",
  },
  {
    when: "people's policy, a stranger",
    policies: [people],
    caller: { email: "a@other.com" },
    expected: "refused 403",
  },
  {
    when: "people's policy, a look-alike domain",
    policies: [people],
    caller: { email: "a@notexample.com" },
    expected: "refused 403",
  },
  {
    when: "one address, that person",
    policies: [policy("allow", [{ email: { email: "boss@example.com" } }])],
    caller: { email: "boss@example.com" },
    expected: "person boss@example.com",
  },
  { when: "everyone still signs in", policies: [policy("allow", [everyone])], expected: "sign-in" },
  { when: "bypass everyone", policies: [services, policy("bypass", [everyone])], expected: "open" },
  {
    when: "both policies, a token",
    policies: [people, services],
    caller: { serviceToken: t1 },
    expected: "service c1.access",
  },
  {
    when: "both policies, a wrong token",
    policies: [people, services],
    caller: { serviceToken: "invalid" },
    expected: "sign-in",
  },
  {
    when: "both policies with 401, a wrong token",
    policies: [people, services],
    caller: { serviceToken: "invalid" },
    redirect401: true,
    expected: "refused 401",
  },
  {
    when: "deny before allow",
    policies: [policy("deny", [{ email: { email: "a@example.com" } }]), people],
    caller: { email: "a@example.com" },
    expected: "refused 403",
  },
  {
    when: "allow before deny",
    policies: [people, policy("deny", [everyone])],
    caller: { email: "a@example.com" },
    expected: "person a@example.com",
  },
  {
    when: "exclude",
    policies: [policy("allow", [ours], { exclude: [{ email: { email: "a@example.com" } }] })],
    caller: { email: "a@example.com" },
    expected: "refused 403",
  },
  {
    when: "require an address range, inside",
    policies: [policy("non_identity", [token], { require: [{ ip: { ip: "192.0.2.0/24" } }] })],
    caller: { serviceToken: t1, ip: "192.0.2.7" },
    expected: "service c1.access",
  },
  {
    when: "require an address range, outside",
    policies: [policy("non_identity", [token], { require: [{ ip: { ip: "192.0.2.0/24" } }] })],
    caller: { serviceToken: t1, ip: "198.51.100.1" },
    expected: "refused 403",
  },
  {
    when: "require a country",
    policies: [policy("allow", [ours], { require: [{ geo: { country_code: "JP" } }] })],
    caller: { email: "a@example.com" },
    expected: "refused 403",
  },
  {
    when: "an unknown rule lets nobody in",
    policies: [policy("allow", [{ device_posture: { integration_uid: "x" } }])],
    caller: { email: "a@example.com" },
    expected: "refused 403",
  },
  {
    when: "an unknown rule in exclude and in deny shuts out",
    policies: [policy("deny", [{ device_posture: { integration_uid: "x" } }]), people],
    caller: { email: "a@example.com" },
    expected: "refused 403",
  },
  {
    when: "strict: a wrong token never leads to sign-in",
    policies: [people, services],
    caller: { serviceToken: "invalid" },
    options: { strictServiceTokens: true },
    expected: "refused 401",
  },
  {
    when: "strict: a valid token without a policy, even with a person's cookie",
    policies: [people, services],
    caller: { serviceToken: t2, email: "a@example.com" },
    options: { strictServiceTokens: true },
    expected: "refused 403",
  },
];

describe("Access decides", () => {
  test.each(rows)("$when → $expected", ({ policies, caller, redirect401 = false, options, expected: wanted }) => {
    const app = application({ policies, serviceAuth401Redirect: redirect401 });
    const decision = decide(app, { ip: "192.0.2.1", country: "KR", ...caller }, options);
    const detail =
      decision.outcome === "refused"
        ? ` ${decision.status}`
        : decision.outcome === "service"
          ? ` ${decision.clientId}`
          : decision.outcome === "person"
            ? ` ${decision.email}`
            : "";
    expect(`${decision.outcome}${detail}`).toBe(wanted);
  });

  test("no application: it passes without a token", () => {
    expect(decide(undefined, { ip: "192.0.2.1", country: "KR" })).toEqual({ outcome: "open" });
  });
});

describe("the application that stands before a path", () => {
  const list = [
    application({ name: "servers", destinations: ["slm.example.com"] }),
    application({ name: "people", destinations: ["slm.example.com/status"] }),
    application({ name: "deep", destinations: ["slm.example.com/status/admin/*"] }),
    application({ name: "any", destinations: ["*.example.com"] }),
  ];
  test.each([
    ["slm.example.com", "/", "servers"],
    ["slm.example.com", "/v1/models?x=/status", "servers"],
    ["slm.example.com", "/status", "people"],
    ["slm.example.com", "/status?x", "people"],
    ["slm.example.com", "/status/queue", "people"],
    ["slm.example.com", "/statuses", "servers"],
    ["slm.example.com", "/Status", "servers"],
    ["slm.example.com", "/%73tatus", "people"],
    ["slm.example.com", "//status", "people"],
    ["slm.example.com", "/v1/../status", "people"],
    ["slm.example.com", "/v1/%2e%2e/status", "people"],
    ["slm.example.com", "/status/admin", "people"],
    ["slm.example.com", "/status/admin/x", "deep"],
    ["other.example.com", "/status", "any"],
    ["a.b.example.com", "/", undefined],
    ["example.com", "/", undefined],
  ])("%s%s → %s", (hostname, target, name) => {
    expect(applicationFor(list, hostname, target)?.name).toBe(name);
  });

  test("an encoded slash stays one, and Korean in a destination matches its encoded form", () => {
    expect(normalizedPath("/status%2fx")).toBe("/status%2Fx");
    const korean = application({ name: "korean", destinations: ["slm.example.com/상태"] });
    expect(applicationFor([korean], "slm.example.com", "/%ec%83%81%ed%83%9c/1")?.name).toBe("korean");
  });
});

test.each([
  ["24h", 86_400],
  ["30m", 1800],
  ["1h30m", 5400],
  ["24h0m0s", 86_400],
  ["", 86_400],
  ["tomorrow", 86_400],
])("a session of %j lasts %i seconds", (duration, seconds) => {
  expect(sessionSeconds(duration)).toBe(seconds);
});
