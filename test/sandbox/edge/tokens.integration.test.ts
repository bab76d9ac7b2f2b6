import { readFileSync, statSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { connect as connectTcp } from "node:net";
import { join } from "node:path";
import { createLocalJWKSet, decodeJwt, decodeProtectedHeader, type JSONWebKeySet, jwtVerify } from "jose";
import { ProxyAgent, fetch as proxiedFetch } from "undici";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { IngressRule } from "../../../sandbox/cloudflare/edge-view.ts";
import type { Edge } from "../../../sandbox/edge/edge.ts";
import { application } from "./account.ts";
import { ask, Harness } from "./harness.ts";

const HOST = "slm.example.com";
const TEAM = "example-team";
const ISSUER = `https://${TEAM}.cloudflareaccess.com`;
const harness = new Harness();
const { account } = harness;
const include = [{ service_token: { token_id: "token-1" } }];
const none = { exclude: [], require: [] };
const servers = application({
  name: "servers",
  destinations: [HOST],
  serviceTokenHeader: "x-api-key",
  policies: [{ id: "p1", name: "servers", decision: "non_identity", include, ...none }],
});
const people = application({
  name: "people",
  destinations: [`${HOST}/status`],
  sessionDuration: "1h",
  policies: [
    { id: "p2", name: "people", decision: "allow", include: [{ email_domain: { domain: "example.com" } }], ...none },
  ],
});
const credentials = { "cf-access-client-id": "c1.access", "cf-access-client-secret": "right" };
let edge: Edge;
let tunnel: string;
let service: string;
let seen: IncomingMessage["headers"] = {};

const checked = (path: string | undefined, ...audTag: string[]): IngressRule => ({
  hostname: HOST,
  path,
  service,
  originRequest: { access: { required: true, teamName: TEAM, audTag } },
});

beforeAll(async () => {
  service = await harness.origin((request, response) => {
    seen = request.headers;
    response.end("origin");
  });
  tunnel = account.declareTunnel(HOST, [
    { hostname: HOST, path: "^/readyz$", service },
    checked("^/status(/|$)", people.aud),
    checked("^/wrong", "0".repeat(64)),
    checked(undefined, servers.aud),
    { service: "http_status:404" },
  ]);
  account.applications.push(servers, people);
  account.tokens.set("c1.access", { secret: "right", tokenId: "token-1" });
  edge = await harness.edge();
  harness.cloudflared(edge, account.connectorToken(tunnel));
  await edge.routed(tunnel);
});
afterAll(() => harness.stop());

/** The key set as a relay fetches it: through the proxy, over TLS that the edge's authority vouches for. */
async function keySet(): Promise<JSONWebKeySet> {
  const requestTls = { ca: readFileSync(edge.caFile, "utf8") };
  const agent = new ProxyAgent({ uri: edge.proxyUrl, requestTls });
  const answer = await proxiedFetch(`${ISSUER}/cdn-cgi/access/certs`, { dispatcher: agent });
  const set = (await answer.json()) as JSONWebKeySet;
  await agent.close();
  return set;
}

test("a service token is exchanged for a token that the published keys verify, and cloudflared lets it pass", async () => {
  // A caller admitted by a service token cannot add its own assertion.
  const forged = await edge.signPersonToken(servers.aud, "boss@example.com");
  const headers = { ...credentials, "cf-access-jwt-assertion": forged, "cf-access-authenticated-user-email": "boss@x" };
  const answer = await ask(edge, "/v1/models", { headers });
  expect([answer.status, answer.body.toString()]).toEqual([200, "origin"]);
  expect(seen["cf-access-authenticated-user-email"]).toBeUndefined();
  const assertion = String(seen["cf-access-jwt-assertion"]);
  const set = await keySet();
  const { payload, protectedHeader } = await jwtVerify(assertion, createLocalJWKSet(set), { issuer: ISSUER });
  expect(payload).toEqual({
    type: "app",
    aud: [servers.aud],
    iss: ISSUER,
    iat: payload.iat,
    nbf: payload.iat,
    exp: payload.iat! + 86_400,
    common_name: "c1.access",
    sub: "",
  });
  expect(protectedHeader.alg).toBe("RS256");
  expect(set.keys).toHaveLength(1);
  expect(Object.keys(set.keys[0]!).sort()).toEqual(["alg", "e", "kid", "kty", "n", "use"]);
  expect(seen["cf-access-client-secret"]).toBeUndefined();
});

test("a service token in the application's single header is admitted through cloudflared; with a prefix it is not", async () => {
  const json = JSON.stringify(credentials);
  const single = (value: string) => ask(edge, "/v1/models", { headers: { "x-api-key": value } });
  expect((await single(json)).status).toBe(200);
  const { payload } = await jwtVerify(String(seen["cf-access-jwt-assertion"]), createLocalJWKSet(await keySet()));
  expect(payload.common_name).toBe("c1.access");
  for (const value of [`Bearer ${json}`, json.replace("right", "wrong"), "right", "{}"]) {
    expect([value, (await single(value)).status]).toEqual([value, 403]);
  }
  expect((await ask(edge, "/v1/models", { headers: { authorization: json } })).status).toBe(403);
});

test("a cached response is shared between callers, but Access is checked first", async () => {
  account.tokens.set("c2.access", { secret: "right", tokenId: "token-1" });
  const asked = async (headers: Record<string, string>) => {
    const answer = await ask(edge, "/v1/files/contract.pdf", { headers });
    return [answer.status, answer.headers["cf-cache-status"]];
  };
  expect(await asked(credentials)).toEqual([200, "MISS"]);
  expect(await asked({ ...credentials, "cf-access-client-id": "c2.access" })).toEqual([200, "HIT"]);
  expect(await asked({})).toEqual([403, undefined]);
});

test("Access refuses before anything reaches the origin", async () => {
  seen = {};
  for (const headers of [
    {},
    { "cf-access-client-id": "c1.access", "cf-access-client-secret": "wrong" },
    { "cf-access-client-id": "c1.access" },
    { "cf-access-jwt-assertion": await edge.signPersonToken(servers.aud, "a@example.com") },
  ] as Record<string, string>[]) {
    const answer = await ask(edge, "/v1/models", { headers });
    expect(answer.status).toBe(403);
    expect(answer.headers["cf-access-aud"]).toBe(servers.aud);
    expect(answer.headers["cf-ray"]).toMatch(/-ICN$/);
  }
  expect(seen).toEqual({});
});

test("a person without a session is sent to sign in; with one the origin gets that token and the address", async () => {
  const away = await ask(edge, "/status?tab=1");
  expect(away.status).toBe(302);
  const location = new URL(away.headers.location!);
  expect(location.origin + location.pathname).toBe(`${ISSUER}/cdn-cgi/access/login/${HOST}`);
  expect(location.searchParams.get("redirect_url")).toBe("/status?tab=1");

  const session = await edge.signPersonToken(people.aud, "a@example.com");
  const cookie = `theme=dark; CF_Authorization=${session}`;
  const inside = await ask(edge, "/status/queue", { headers: { cookie } });
  expect(inside.status).toBe(200);
  expect(seen["cf-access-jwt-assertion"]).toBe(session);
  expect(seen["cf-access-authenticated-user-email"]).toBe("a@example.com");
  const claims = decodeJwt(session);
  expect(claims).toMatchObject({ type: "app", email: "a@example.com", country: "KR", exp: claims.iat! + 3600 });
  expect(claims.sub).toMatch(/^[0-9a-f-]{36}$/);
  expect(claims.identity_nonce).toMatch(/./);
});

test("a session of another application, of another signer, or of a stranger opens nothing", async () => {
  const other = await edge.signPersonToken(servers.aud, "a@example.com");
  expect((await ask(edge, "/status", { headers: { cookie: `CF_Authorization=${other}` } })).status).toBe(302);
  const forged = `${other.split(".").slice(0, 2).join(".")}.AAAA`;
  expect((await ask(edge, "/status", { headers: { cookie: `CF_Authorization=${forged}` } })).status).toBe(302);
  const stranger = await edge.signPersonToken(people.aud, "a@other.com");
  expect((await ask(edge, "/status", { headers: { cookie: `CF_Authorization=${stranger}` } })).status).toBe(403);
});

test("cloudflared's own check: a missing token and a wrong audience are 403, a rule without a check passes", async () => {
  const applications = account.applications.splice(0);
  try {
    expect((await ask(edge, "/v1/models")).status).toBe(403);
    expect((await ask(edge, "/readyz")).status).toBe(200);
  } finally {
    account.applications.push(...applications);
  }
  expect((await ask(edge, "/wrong", { headers: credentials })).status).toBe(403);
  expect((await ask(edge, "/right", { headers: credentials })).status).toBe(200);
});

test("after a rotation the new key signs, the old one stays published and cloudflared accepts both", async () => {
  const old = await edge.signPersonToken(people.aud, "a@example.com");
  await edge.rotateKeys();
  const [current, previous] = (await keySet()).keys;
  expect(previous?.kid).toBe(decodeProtectedHeader(old).kid);
  expect((await ask(edge, "/v1/models", { headers: credentials })).status).toBe(200);
  expect(decodeProtectedHeader(String(seen["cf-access-jwt-assertion"])).kid).toBe(current?.kid);
  expect((await ask(edge, "/status", { headers: { cookie: `CF_Authorization=${old}` } })).status).toBe(200);
  await edge.rotateKeys();
  expect((await keySet()).keys.map(({ kid }) => kid)).not.toContain(previous?.kid);
  expect((await ask(edge, "/status", { headers: { cookie: `CF_Authorization=${old}` } })).status).toBe(302);
});

test("the key address answers no keys, or late, when it is told to", async () => {
  try {
    edge.setKeyAddress("garbage");
    await expect(keySet()).rejects.toThrow(/JSON/);
    edge.setKeyAddress("slow");
    const from = performance.now();
    expect((await keySet()).keys).not.toEqual([]);
    expect(performance.now() - from).toBeGreaterThan(3_900);
  } finally {
    edge.setKeyAddress("keys");
  }
});

test("the proxy leads to the team's domain only", async () => {
  const agent = new ProxyAgent({ uri: edge.proxyUrl, requestTls: { ca: readFileSync(edge.caFile, "utf8") } });
  await expect(proxiedFetch("https://other.cloudflareaccess.com/", { dispatcher: agent })).rejects.toThrow();
  expect((await proxiedFetch(`${ISSUER}/`, { dispatcher: agent })).status).toBe(404);
  await agent.close();
  const { port } = new URL(edge.proxyUrl);
  const answer = await new Promise<string>((resolve, reject) => {
    const socket = connectTcp(Number(port), "127.0.0.1");
    socket.on("error", reject);
    socket.on("data", (chunk: Buffer) => resolve(chunk.toString()));
    socket.write("CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: 127.0.0.1:22\r\n\r\n");
  });
  expect(answer).toMatch(/^HTTP\/1\.1 403 /);
});

test("keys and certificates are kept for the next start, readable by their owner only", async () => {
  const before = { ca: readFileSync(edge.caFile, "utf8"), keys: await keySet() };
  for (const file of ["ca.key", "h2.cftunnel.com.key", `${TEAM}.cloudflareaccess.com.key`, "access-keys.json"])
    expect(statSync(join(harness.folder, "edge", file)).mode & 0o777).toBe(0o600);
  const first = edge;
  edge = await harness.edge();
  expect({ ca: readFileSync(edge.caFile, "utf8"), keys: await keySet() }).toEqual(before);
  await first.close();
});
