/**
 * A person's token is refused on what is for servers and a server's on what is for people, at each of the three checks, tested
 * one at a time with the two others out of the way: the edge before an origin that takes everything, the real cloudflared behind
 * an edge that mixes them up, and the relay by itself. What edge and cloudflared enforce is what the components declare.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type {
  AccessApplicationView,
  AccessPolicyView,
  AccessRule,
  IngressRule,
} from "../sandbox/cloudflare/edge-view.ts";
import type { Edge } from "../sandbox/edge/edge.ts";
import { type Declared, recordResources, resolved, settled } from "./components/mocks.ts";
import {
  CLIENT_ID,
  codeOf,
  PEOPLE,
  personToken,
  SERVERS,
  serverToken,
  startModel,
  startTestRelay,
  TEAM,
  token,
} from "./runtime/relay/harness.ts";
import { application } from "./sandbox/edge/account.ts";
import { ask, Harness } from "./sandbox/edge/harness.ts";

const hostname = "slm.example.com";
const director = "director@example.com";
/** Paths as they arrive. */
const forServers = ["/v1/models", "/api/tags", "/statusx", "/Status", "/v1/status", "/", "/metricsx", "/v1/metrics"];
const forScrapers = ["/metrics", "/metrics?name[]=up", "/metrics/", "/metrics/x"];
const forPeople = ["/status", "/status/", "/status/data.json", "/status?x=/v1/models"];
const scraping = { "cf-access-client-id": "net-token-prometheus.access", "cf-access-client-secret": "scrape" };
const credentials = { "cf-access-client-id": "net-token-backend.access", "cf-access-client-secret": "right" };

let declared: Declared[];
let harness: Harness;
let applications: Record<"servers" | "people" | "metrics", AccessApplicationView>;
let declaredRules: IngressRule[];

const inputsOf = (name: string): Record<string, unknown> => {
  const found = declared.find((resource) => resource.name === name);
  if (!found) throw new Error(`nothing named ${name} was declared`);
  return found.inputs;
};
const snake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const renamed = <T>(object: Record<string, T>) => Object.entries(object).map(([key, value]) => [snake(key), value]);

/** A policy as the API would have it. */
function policyView(name: string): AccessPolicyView {
  const { decision, includes } = inputsOf(name) as {
    decision: AccessPolicyView["decision"];
    includes: Record<string, Record<string, unknown>>[];
  };
  const rules = includes.map(
    (rule): AccessRule =>
      Object.fromEntries(
        Object.entries(rule).map(([kind, fields]) => [snake(kind), Object.fromEntries(renamed(fields))]),
      ),
  );
  return { id: name, name, decision, include: rules, exclude: [], require: [] };
}

/** An application as the edge would know it. */
function applicationView(audience: "servers" | "people" | "metrics"): AccessApplicationView {
  const inputs = inputsOf(`net-app-${audience}`);
  return application({
    name: audience,
    aud: `aud-of-net-app-${audience}`,
    destinations: (inputs.destinations as { uri: string }[]).map(({ uri }) => uri),
    policies: (inputs.policies as { id: string }[]).map(({ id }) => policyView(id.replace("id-of-", ""))),
  });
}

/** The tunnel's rules as the API would have them. */
function rules(service: string): IngressRule[] {
  const { ingresses } = inputsOf("net-ingress").config as {
    ingresses: {
      service: string;
      hostname?: string;
      path?: string;
      originRequest?: { access: Record<string, unknown> };
    }[];
  };
  return ingresses.map(({ originRequest, ...rule }) => {
    if (rule.hostname === undefined) return rule;
    if (!originRequest) return { ...rule, service };
    const { audTags, ...access } = originRequest.access;
    return { ...rule, service, originRequest: { access: { ...access, audTag: audTags } } };
  });
}

beforeAll(async () => {
  declared = await recordResources();
  const { Access } = await import("../components/access.ts");
  const { Tunnel } = await import("../components/tunnel.ts");
  const access = new Access("net", {
    accountId: "a".repeat(32),
    hostname,
    servers: [{ name: "backend", enabled: true, secretVersion: 1, duration: "8760h" }],
    scrapers: [{ name: "prometheus", enabled: true, secretVersion: 1, duration: "8760h" }],
    people: {
      emails: [director],
      emailDomains: [],
      sessionDuration: "1h",
      login: { existing: ["pin"], declareOneTimePin: false },
    },
    protect: false,
  });
  const tunnel = new Tunnel("net", {
    accountId: "a".repeat(32),
    tunnelName: "t",
    hostname,
    behindAccess: access.hostnames,
    tunnelSecret: "c2VjcmV0",
    relayPort: 8790,
    teamName: "example-team",
    audiences: access.audiences,
    protect: false,
  });
  await resolved(tunnel.tunnelId);
  await settled();
  applications = {
    servers: applicationView("servers"),
    people: applicationView("people"),
    metrics: applicationView("metrics"),
  };
});

/** An edge and a cloudflared before an origin that answers everything with 200. */
async function network(
  ingress: (service: string) => IngressRule[],
  knownApplications: AccessApplicationView[],
): Promise<{ edge: Edge; reached: string[] }> {
  harness = new Harness();
  const reached: string[] = [];
  const service = await harness.origin((request, response) => {
    reached.push(request.url ?? "");
    response.end("origin");
  });
  const { account } = harness;
  account.tokens.set(credentials["cf-access-client-id"], { secret: "right", tokenId: "id-of-net-token-backend" });
  account.tokens.set(scraping["cf-access-client-id"], { secret: "scrape", tokenId: "id-of-net-token-prometheus" });
  account.applications.push(...knownApplications);
  const tunnel = account.declareTunnel(hostname, ingress(service));
  const edge = await harness.edge();
  harness.cloudflared(edge, account.connectorToken(tunnel));
  await edge.routed(tunnel);
  return { edge, reached };
}
const stop = () => harness.stop();

/** Status of each path. */
async function answers(edge: Edge, paths: readonly string[], headers: Record<string, string>): Promise<number[]> {
  const all = [];
  for (const path of paths) all.push((await ask(edge, path, { host: hostname, headers })).status);
  return all;
}
const each = (paths: readonly string[], status: number) => paths.map(() => status);

describe("the edge, before a connector and an origin that check nothing", () => {
  let edge: Edge;
  let reached: string[];
  let session: { cookie: string };
  beforeAll(async () => {
    const open = (service: string) => [{ hostname, service }, { service: "http_status:404" }];
    ({ edge, reached } = await network(open, Object.values(applications)));
    const token = await edge.signPersonToken(applications.people.aud, director);
    session = { cookie: `CF_Authorization=${token}` };
  });
  afterEach(() => void reached.splice(0));
  afterAll(stop);

  it("lets each in where it belongs", async () => {
    expect(await answers(edge, forServers, credentials)).toEqual(each(forServers, 200));
    expect(await answers(edge, forPeople, session)).toEqual(each(forPeople, 200));
    expect(reached).toHaveLength(forServers.length + forPeople.length);
  });

  it("lets only a scraper's token to the metrics, and a scraper nowhere else", async () => {
    expect(await answers(edge, forScrapers, scraping)).toEqual(each(forScrapers, 200));
    expect(reached).toHaveLength(forScrapers.length);
    reached.splice(0);
    expect(await answers(edge, forScrapers, credentials)).toEqual(each(forScrapers, 403));
    expect(await answers(edge, forScrapers, session)).toEqual(each(forScrapers, 403));
    expect(await answers(edge, forScrapers, {})).toEqual(each(forScrapers, 403));
    expect(await answers(edge, forScrapers, { ...scraping, "cf-access-client-secret": "wrong" })).toEqual(
      each(forScrapers, 403),
    );
    expect(await answers(edge, forServers, scraping)).toEqual(each(forServers, 403));
    expect(await answers(edge, forPeople, scraping)).toEqual(each(forPeople, 302));
    expect(reached).toEqual([]);
  });

  it("answers a monitor without a token 403 on /readyz, and one with a token of its own", async () => {
    expect(await answers(edge, ["/readyz"], {})).toEqual([403]);
    expect(reached).toEqual([]);
    expect(await answers(edge, ["/readyz"], credentials)).toEqual([200]);
    expect(reached).toEqual(["/readyz"]);
  });

  it("refuses a person on what is for servers, whichever application the session was cut for", async () => {
    expect(await answers(edge, forServers, session)).toEqual(each(forServers, 403));
    // A cookie cut for the other application is none.
    const forged = await edge.signPersonToken(applications.servers.aud, director);
    expect(await answers(edge, forServers, { cookie: `CF_Authorization=${forged}` })).toEqual(each(forServers, 403));
    expect(reached).toEqual([]);
  });

  it("sends a server to the sign-in on what is for people, and lets it no further", async () => {
    expect(await answers(edge, forPeople, credentials)).toEqual(each(forPeople, 302));
    expect(reached).toEqual([]);
  });

  it("takes no token that a client brings along by itself", async () => {
    const own = { "cf-access-jwt-assertion": await edge.signPersonToken(applications.people.aud, director) };
    expect(await answers(edge, forPeople, own)).toEqual(each(forPeople, 302));
    expect(await answers(edge, forServers, own)).toEqual(each(forServers, 403));
    expect(reached).toEqual([]);
  });
});

describe("cloudflared, behind an edge that takes one application for the whole host", () => {
  const whole = (view: AccessApplicationView) => ({ ...view, destinations: [hostname] });
  beforeAll(() => {
    declaredRules = rules("http://127.0.0.1:1");
  });
  afterEach(stop);

  it("has a check on every rule that leads to the relay but the one for a monitor", () => {
    const unchecked = declaredRules.filter((rule) => rule.hostname && !rule.originRequest).map(({ path }) => path);
    expect(unchecked).toEqual(["^/readyz$"]);
  });

  it("refuses a server's token on what is for people", async () => {
    const { edge, reached } = await network(rules, [whole(applications.servers)]);
    expect(await answers(edge, forPeople, credentials)).toEqual(each(forPeople, 403));
    expect(reached).toEqual([]);
    expect(await answers(edge, forServers, credentials)).toEqual(each(forServers, 200));
  });

  it("refuses the tokens of servers and people on the metrics, and a scraper's everywhere else", async () => {
    const { edge, reached } = await network(rules, [whole(applications.metrics)]);
    expect(await answers(edge, [...forServers, ...forPeople], scraping)).toEqual(
      each([...forServers, ...forPeople], 403),
    );
    expect(reached).toEqual([]);
    expect(await answers(edge, forScrapers, scraping)).toEqual(each(forScrapers, 200));
    await stop();
    const other = await network(rules, [whole(applications.servers)]);
    expect(await answers(other.edge, forScrapers, credentials)).toEqual(each(forScrapers, 403));
    expect(other.reached).toEqual([]);
  });

  it("refuses a person's token on what is for servers", async () => {
    const { edge, reached } = await network(rules, [whole(applications.people)]);
    const token = await edge.signPersonToken(applications.people.aud, director);
    const session = { cookie: `CF_Authorization=${token}` };
    expect(await answers(edge, forServers, session)).toEqual(each(forServers, 403));
    expect(reached).toEqual([]);
    expect(await answers(edge, forPeople, session)).toEqual(each(forPeople, 200));
  });

  it("refuses whoever comes without a token", async () => {
    const { edge, reached } = await network(rules, []);
    expect(await answers(edge, [...forServers, ...forPeople], credentials)).toEqual(
      each([...forServers, ...forPeople], 403),
    );
    expect(await answers(edge, ["/readyz"], {})).toEqual([200]);
    expect(reached).toEqual(["/readyz"]);
  });
});

describe("the relay, reached by whoever has a token", () => {
  const status = async (url: string, jwt: string) => {
    const response = await fetch(url, { headers: { "Cf-Access-Jwt-Assertion": jwt } });
    return response.status === 403 ? `403 ${await codeOf(response)}` : response.status;
  };

  it("refuses a person's token on what is for servers, and nothing reaches the model", async () => {
    const model = await startModel();
    const relay = await startTestRelay(model.url);
    for (const path of forServers)
      expect(await status(relay.url + path, personToken), path).toBe("403 access_wrong_audience");
    expect(model.seen).toEqual([]);
    expect(await status(`${relay.url}/status`, personToken)).toBe(200);
  });

  it("refuses a server's token on what is for people", async () => {
    const model = await startModel();
    const relay = await startTestRelay(model.url);
    for (const path of forPeople)
      expect(await status(relay.url + path, serverToken), path).toBe("403 access_wrong_audience");
    expect(await status(`${relay.url}/v1/models`, serverToken)).toBe(200);
  });

  it("serves the metrics to scrapers of the config only, and not at all without them", async () => {
    const model = await startModel();
    const audiences = { servers: SERVERS, people: PEOPLE, metrics: "aud-metrics" };
    const clientId = `${"a".repeat(32)}.access`;
    const off = `${"b".repeat(32)}.access`;
    const relay = await startTestRelay(model.url, {
      access: { teamDomain: TEAM, audiences },
      scrapers: [
        { name: "prometheus", clientId, enabled: true },
        { name: "old", clientId: off, enabled: false },
      ],
    });
    const of = (common_name: string, aud = "aud-metrics") => token({ aud: [aud], common_name });
    const url = `${relay.url}/metrics`;
    const response = await fetch(url, { headers: { "Cf-Access-Jwt-Assertion": await of(clientId) } });
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toMatch(/^text\/plain; version=0\.0\.4/);
    expect(response.headers.get("cache-control")).toMatch(/no-store/);
    expect(await response.text()).toContain("slm_requests_in_flight");
    expect(await status(url, await of(off))).toBe("403 caller_disabled");
    expect(await status(url, await of(CLIENT_ID))).toBe("403 caller_unknown");
    expect(await status(url, serverToken)).toBe("403 access_wrong_audience");
    expect(await status(url, personToken)).toBe("403 access_wrong_audience");
    // A scraper's token opens nothing else, with whichever audience.
    expect(await status(`${relay.url}/v1/models`, await of(clientId))).toBe("403 access_wrong_audience");
    expect(await status(`${relay.url}/v1/models`, await of(clientId, SERVERS))).toBe("403 caller_unknown");
    expect(await status(`${relay.url}/metrics/x`, await of(clientId))).toBe(404);
    expect(model.seen).toEqual([]);
    const without = await startTestRelay(model.url);
    expect(await status(`${without.url}/metrics`, serverToken)).toBe(404);
    expect(await status(`${without.url}/metrics`, await of(clientId))).toBe("403 access_wrong_audience");
  });
});
