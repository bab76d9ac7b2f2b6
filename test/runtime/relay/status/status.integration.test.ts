import { once } from "node:events";
import { connect } from "node:net";
import { expect, test } from "vitest";
import { MAX_REQUESTS_PER_PERSON } from "../../../../runtime/relay/memory/holdings.ts";
import {
  asPerson,
  asServer,
  codeOf,
  PEOPLE,
  personToken,
  post,
  startModel,
  startTestRelay,
  token,
} from "../harness.ts";

const tags = { models: [{ name: "llama3:latest" }, { name: "<b>bge</b>" }] };

test("the page shows whether the model server answers, its models and the callers, with values escaped", async () => {
  const model = await startModel((_seen, res) => res.end(JSON.stringify(tags)));
  const relay = await startTestRelay(model.url);
  await fetch(`${relay.url}/v1/models`, { headers: { ...asServer, "CF-Ray": "8f0a-ICN" } });
  await post(relay, "/api/chat", "no json");
  const response = await fetch(`${relay.url}/status`, { headers: asPerson });
  const html = await response.text();
  expect(response.headers.get("content-type")).toBe("text/html; charset=utf-8");
  expect(html).toContain("slm.example.com");
  expect(html).toContain("Working");
  expect(html).toContain("llama3:latest, &lt;b&gt;bge&lt;/b&gt;");
  expect(html).toMatch(/<th scope="row">Caller: backend<\/th><td>Calls: 2 \(none\)<\/td>/);
  expect(html).not.toContain("<b>");
  expect(html).not.toContain("<script"); // a relay from its sources has no program for the page
});

test("the JSON has the same values; health checks are not counted", async () => {
  const model = await startModel((_seen, res) => res.end(JSON.stringify(tags)));
  const relay = await startTestRelay(model.url);
  await fetch(`${relay.url}/readyz`);
  const answer = await fetch(`${relay.url}/status/data.json`, { headers: asPerson });
  expect(await answer.json()).toMatchObject({
    hostname: "slm.example.com",
    draining: false,
    model: { kind: "ollama", reachable: true, models: ["llama3:latest", "<b>bge</b>"] },
    tally: { inFlight: 1, requests: 0 },
  });
});

test("a model server that is down is reported", async () => {
  const model = await startModel();
  await model.close();
  const relay = await startTestRelay(model.url, { model: { kind: "openai", url: model.url, embeddingModel: "e" } });
  const html = await (await fetch(`${relay.url}/status`, { headers: asPerson })).text();
  expect(html).toMatch(/does not answer\..*ECONNREFUSED/);
  expect((await fetch(`${relay.url}/readyz`)).status).toBe(200); // the relay itself can serve
});

test("a model server with invalid answers is reported as not working", async () => {
  const model = await startModel((_seen, res) => res.end("[]"));
  const relay = await startTestRelay(model.url);
  expect(await (await fetch(`${relay.admin}/details`)).json()).toMatchObject({ model: { reachable: false } });
});

test("health needs no token and answers one word; the admin listener has health and metrics", async () => {
  const model = await startModel();
  const relay = await startTestRelay(model.url);
  for (const base of [relay.url, relay.admin]) {
    expect(await (await fetch(`${base}/healthz`)).text()).toBe("ok\n");
    expect(await (await fetch(`${base}/readyz`)).text()).toBe("ready\n");
  }
  expect((await fetch(`${relay.url}/readyz?x=1`, { method: "HEAD" })).status).toBe(200);
  expect(await codeOf(await fetch(`${relay.url}/readyz/`))).toBe("access_missing");
  await fetch(`${relay.url}/v1/models/a`, { headers: { ...asServer, "CF-Ray": "8f0a1b2c-ICN" } });
  await fetch(`${relay.url}/v1/models/b`, { headers: { "CF-Ray": "8f0a1b2c-LAX" } });
  const metrics = await (await fetch(`${relay.admin}/metrics`)).text();
  expect(metrics).toContain('slm_requests_total{route="/v1/models/{id}",status="200",caller="backend"} 1');
  expect(metrics).toContain('slm_requests_total{route="other",status="403",caller="-"} 2');
  expect(metrics).toContain('slm_entry_colo_total{colo="ICN",caller="backend"} 1');
  expect(metrics).not.toContain("LAX"); // nobody vouches for a request without a token
  expect(metrics).toContain('slm_request_duration_seconds_count{route="/v1/models/{id}"} 1');
  expect(metrics).toContain("slm_requests_in_flight 0");
  expect((await fetch(`${relay.admin}/v1/models`)).status).toBe(404);
  expect((await fetch(`${relay.admin}/metrics`, { method: "POST" })).status).toBe(405);
});

test("open requests are limited per person; others see the page", async () => {
  const model = await startModel((_seen, res) => res.end(JSON.stringify(tags)));
  const relay = await startTestRelay(model.url);
  const get = (headers: Record<string, string>) => fetch(`${relay.url}/status`, { headers });
  // Each is open until its body has come, and that does not come.
  const head = `Host: x\r\nCf-Access-Jwt-Assertion: ${personToken}\r\nContent-Length: 5\r\n`;
  const sockets = Array.from({ length: MAX_REQUESTS_PER_PERSON }, () => {
    const socket = connect(relay.port, "127.0.0.1");
    socket.write(`GET /status HTTP/1.1\r\n${head}\r\n`);
    return socket;
  });
  for (const [data] of await Promise.all(sockets.map((socket) => once(socket, "data")))) {
    expect(String(data)).toMatch(/^HTTP\/1.1 200/);
  }
  const refused = await get(asPerson);
  expect([refused.status, refused.headers.get("retry-after"), await codeOf(refused)]).toEqual([
    429,
    "5",
    "too_many_requests",
  ]);
  const other = await token({ aud: [PEOPLE], email: "lee@example.com", common_name: undefined });
  expect((await get({ "Cf-Access-Jwt-Assertion": other })).status).toBe(200);
  for (const socket of sockets) socket.destroy();
  await expect.poll(async () => (await get(asPerson)).status, { timeout: 20_000 }).toBe(200);
});
