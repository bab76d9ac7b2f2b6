import { readFileSync, statSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { join } from "node:path";
import { ProxyAgent, fetch as proxiedFetch } from "undici";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Edge } from "../../../sandbox/edge/edge.ts";
import { application } from "./account.ts";
import { ask, Harness } from "./harness.ts";

const HOST = "slm.example.com";
const TEAM = "https://example-team.cloudflareaccess.com";
const harness = new Harness();
const { account } = harness;
const people = application({
  name: "<people>",
  destinations: [`${HOST}/status`],
  sessionDuration: "1h",
  policies: [
    {
      id: "p",
      name: "people",
      decision: "allow",
      include: [{ email: { email: "director@example.com" } }],
      exclude: [],
      require: [],
    },
  ],
});
const browser = { accept: "text/html,application/xhtml+xml" };
let edge: Edge;
let mailFile: string;
let seen: IncomingMessage["headers"] = {};

beforeAll(async () => {
  mailFile = join(harness.folder, "mail.txt");
  const service = await harness.origin((request, response) => {
    seen = request.headers;
    response.end("the status");
  });
  const access = { required: true, teamName: "example-team", audTag: [people.aud] };
  const tunnel = account.declareTunnel(HOST, [
    { hostname: HOST, service, originRequest: { access } },
    { service: "http_status:404" },
  ]);
  account.applications.push(people);
  edge = await harness.edge({ mailFile });
  harness.cloudflared(edge, account.connectorToken(tunnel));
  await edge.routed(tunnel);
});
afterAll(() => harness.stop());

const post = (path: string, fields: Record<string, string>) =>
  ask(edge, path, {
    method: "POST",
    headers: { ...browser, "content-type": "application/x-www-form-urlencoded" },
    body: new URLSearchParams(fields).toString(),
  });
const requestOf = (html: string) => /name="request" value="([^"]+)"/.exec(html)?.[1] ?? "";
const codes = () => [...readFileSync(mailFile, "utf8").matchAll(/^(\d{6})$/gm)].map((found) => found[1] ?? "");

/** Until the code is asked for. */
async function begin(email: string): Promise<string> {
  const away = await ask(edge, "/status?tab=1", { headers: browser });
  expect(away.status).toBe(302);
  const page = await ask(edge, away.headers.location!, { headers: browser });
  expect(page.body.toString()).toContain("Sign in to &lt;people&gt;");
  const sent = await post(away.headers.location!, { email });
  expect(sent.status).toBe(200);
  return requestOf(sent.body.toString());
}

test("a person signs in with the code from the mail file, and cloudflared and the origin take the session", async () => {
  const request = await begin("director@example.com");
  expect(statSync(mailFile).mode & 0o777).toBe(0o600);
  expect(readFileSync(mailFile, "utf8")).toContain("To: director@example.com");
  const code = codes().at(-1)!;
  const wrong = await post("/cdn-cgi/access/verify", { request, code: code === "000000" ? "000001" : "000000" });
  expect(wrong.status).toBe(403);
  const right = await post("/cdn-cgi/access/verify", { request, code });
  expect(right.status).toBe(302);
  const back = await ask(edge, right.headers.location!);
  expect([back.status, back.headers.location]).toEqual([302, "/status?tab=1"]);
  const set = String(back.headers["set-cookie"]);
  expect(set).toMatch(/^CF_Authorization=[\w.-]+; Path=\/; HttpOnly; SameSite=Lax; Max-Age=3600$/);
  const cookie = set.split(";")[0]!;
  const inside = await ask(edge, "/status?tab=1", { headers: { cookie } });
  expect([inside.status, inside.body.toString()]).toEqual([200, "the status"]);
  expect(seen["cf-access-authenticated-user-email"]).toBe("director@example.com");

  // Once only: neither the code nor the link is good again.
  expect((await post("/cdn-cgi/access/verify", { request, code })).status).toBe(403);
  expect((await ask(edge, right.headers.location!)).status).toBe(403);
  const out = await ask(edge, "/cdn-cgi/access/logout", { headers: { cookie } });
  expect(String(out.headers["set-cookie"])).toContain("Max-Age=0");
});

test("a person no policy admits sees the same page, and no code is sent", async () => {
  const before = codes().length;
  const request = await begin("stranger@example.org");
  expect(request).not.toBe("");
  expect(codes()).toHaveLength(before);
  for (let attempt = 0; attempt < 5; attempt += 1) {
    expect((await post("/cdn-cgi/access/verify", { request, code: "" })).status).toBe(403);
  }
  expect((await post("/cdn-cgi/access/verify", { request, code: "" })).body.toString()).toContain("start again");
});

test.each(["//evil.example", "https://evil.example/", "/\\evil.example"])(
  "never leads to another host: %s",
  async (wanted) => {
    const query = new URLSearchParams({ kid: people.aud, redirect_url: wanted });
    const sent = await post(`/cdn-cgi/access/login/${HOST}?${query}`, { email: "director@example.com" });
    const fields = { request: requestOf(sent.body.toString()), code: codes().at(-1)! };
    const right = await post("/cdn-cgi/access/verify", fields);
    const back = await ask(edge, right.headers.location!);
    expect(back.headers.location).toBe("/");
  },
);

test("the page is also on the team's domain, where clients that use the name are redirected", async () => {
  const away = await ask(edge, "/status", { host: HOST, headers: browser });
  expect(away.headers.location).toMatch(new RegExp(`^${TEAM}/cdn-cgi/access/login/${HOST}\\?`));
  const requestTls = { ca: readFileSync(edge.caFile, "utf8") };
  const dispatcher = new ProxyAgent({ uri: edge.proxyUrl, requestTls });
  try {
    const form = (fields: Record<string, string>) => ({
      method: "POST",
      body: new URLSearchParams(fields),
      dispatcher,
      redirect: "manual" as const,
    });
    const sent = await proxiedFetch(away.headers.location!, form({ email: "director@example.com" }));
    const fields = { request: requestOf(await sent.text()), code: codes().at(-1)! };
    const right = await proxiedFetch(`${TEAM}/cdn-cgi/access/verify`, form(fields));
    const back = new URL(right.headers.get("location") ?? "");
    expect(back.origin).toBe(`https://${HOST}`);
    const begun = await ask(edge, back.pathname + back.search, { host: HOST });
    expect(begun.headers["set-cookie"]?.[0]).toMatch(/^CF_Authorization=/);
  } finally {
    await dispatcher.close();
  }
  // On the application's own name there is no page, as at Cloudflare.
  expect((await ask(edge, `/cdn-cgi/access/login/${HOST}?kid=${people.aud}`, { host: HOST })).status).toBe(404);
});

test("only the identity providers that the application allows are offered", async () => {
  account.providers.push({ id: "google", name: "Google", type: "google" });
  const page = async () => {
    const away = await ask(edge, "/status", { headers: browser });
    return ask(edge, away.headers.location!, { headers: browser });
  };
  const both = await page();
  expect([both.status, both.body.toString()]).toEqual([200, expect.stringMatching(/Send me a code[\s\S]*Google/)]);

  people.allowedIdps = ["pin"];
  expect((await page()).body.toString()).not.toContain("Google");

  people.allowedIdps = ["google"];
  const before = codes().length;
  const away = await ask(edge, "/status", { headers: browser });
  const sent = await post(away.headers.location!, { email: "director@example.com" });
  expect([sent.status, sent.body.toString()]).toEqual([403, expect.stringContaining("Google")]);
  expect(codes()).toHaveLength(before);

  people.allowedIdps = [];
  account.providers.splice(0);
  expect((await page()).body.toString()).toContain("There is no login method");
});
