/** Sign-in on a direct line, through a relay with a real listener for it. */
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { RelayConfig } from "../../../../runtime/config.ts";
import { credentialHash } from "../../../../runtime/direct-config.ts";
import { configProblems } from "../../../../runtime/relay/settings.ts";
import { claimPorts } from "../../../../sandbox/machine/ports.ts";
import {
  asPerson,
  asServer,
  CLIENT_ID,
  codeOf,
  portOf,
  startModel,
  startTestRelay,
  temporaryFolder,
  testConfig,
} from "../harness.ts";

const secret = "5".repeat(64);
const otherId = `${"f".repeat(32)}.access`;
const caller = { name: "backend", clientId: CLIENT_ID, companies: ["*"], weight: 1, enabled: true };
const other = { ...caller, name: "batch", clientId: otherId };
const headersOf = (id: string, value: string) => ({ "CF-Access-Client-Id": id, "CF-Access-Client-Secret": value });
const good = headersOf(CLIENT_ID, secret);

const config = (changes: Partial<RelayConfig> = {}): Partial<RelayConfig> => ({
  callers: [caller, other],
  direct: { lines: [{ server: "backend", port: 0 }] },
  directCredentials: {
    backend: [{ sha256: credentialHash(CLIENT_ID, secret) }],
    batch: [{ sha256: credentialHash(otherId, secret) }],
  },
  ...changes,
});

async function lineRelay(changes: Partial<RelayConfig> = {}) {
  const model = await startModel();
  const relay = await startTestRelay(model.url, config(changes));
  const line = `http://127.0.0.1:${relay.linePorts.get("backend")}`;
  const call = (headers: Record<string, string>, path = "/v1/chat/completions") =>
    fetch(line + path, { method: "POST", body: "{}", headers: { "Content-Type": "application/json", ...headers } });
  return { model, relay, line, call };
}

describe("a direct line", { timeout: 60_000 }, () => {
  it("accepts its server's token by the two headers, passes neither on, and records the entry", async () => {
    const { model, relay, call } = await lineRelay();
    const answer = await call({ ...good, "CF-Ray": "8f00-ICN", Authorization: "Bearer x" });
    expect(answer.status).toBe(200);
    expect(await answer.text()).toBe("{}");
    const seen = JSON.stringify(model.seen);
    expect(model.seen).toHaveLength(1);
    expect(seen).not.toContain(secret);
    expect(seen).not.toContain(CLIENT_ID);
    await expect.poll(() => relay.lines.find(({ msg }) => msg === "request")).toBeDefined();
    const logged = relay.lines.find(({ msg }) => msg === "request");
    expect(logged).toMatchObject({ caller: "backend", entry: "direct", colo: "direct", status: 200 });
    expect(logged).not.toHaveProperty("ray");
    expect(JSON.stringify(relay.lines)).not.toContain(secret);
  });

  it("refuses everything else, each with its code", async () => {
    const { model, relay, line, call } = await lineRelay();
    const refusals: [Record<string, string>, string][] = [
      [{}, "access_missing"],
      [{ "CF-Access-Client-Id": CLIENT_ID }, "access_missing"],
      [headersOf(CLIENT_ID, ""), "access_missing"],
      [headersOf(CLIENT_ID, "x".repeat(600)), "access_missing"],
      [headersOf(CLIENT_ID, `${secret.slice(1)}6`), "access_invalid"],
      [headersOf(CLIENT_ID, secret.slice(1)), "access_invalid"],
      [headersOf(`${CLIENT_ID}:${secret.slice(0, 1)}`, secret.slice(1)), "access_invalid"],
      // Another server's valid token: this line is not its own.
      [headersOf(otherId, secret), "access_invalid"],
      // What Cloudflare Access would have signed counts on the public listener only.
      [asServer, "access_missing"],
      [
        { "X-Api-Key": JSON.stringify({ "cf-access-client-id": CLIENT_ID, "cf-access-client-secret": secret }) },
        "access_missing",
      ],
    ];
    for (const [headers, code] of refusals) {
      const answer = await call(headers);
      expect([answer.status, await codeOf(answer)]).toEqual([403, code]);
    }
    const page = await fetch(`${line}/status`, { headers: { ...good, ...asPerson } });
    expect([page.status, await codeOf(page)]).toEqual([403, "path_not_allowed"]);
    expect(model.seen).toEqual([]);
    const metrics = await (await fetch(`${relay.admin}/metrics`)).text();
    expect(metrics).toContain('slm_direct_refused_total{server="backend",code="access_invalid"} 4');
  });

  it("is no way in for its headers on the public listener", async () => {
    const { relay } = await lineRelay();
    const answer = await fetch(`${relay.url}/v1/models`, { headers: good });
    expect([answer.status, await codeOf(answer)]).toEqual([403, "access_missing"]);
  });

  it("reads the single header when one is configured", async () => {
    const { call } = await lineRelay({
      direct: { singleHeader: "X-Api-Key", lines: [{ server: "backend", port: 0 }] },
    });
    const json = (id: string, value: string) => ({
      "x-api-key": JSON.stringify({ "CF-Access-Client-Id": id, "cf-access-client-secret": value }),
    });
    expect((await call(json(CLIENT_ID, secret))).status).toBe(200);
    expect((await call(good)).status).toBe(200);
    expect(await codeOf(await call(json(CLIENT_ID, "wrong")))).toBe("access_invalid");
    for (const text of ["", "null", "{", "[]", '{"cf-access-client-id":1,"cf-access-client-secret":2}']) {
      expect(await codeOf(await call({ "x-api-key": text }))).toBe("access_missing");
    }
  });

  it("accepts a rotated secret until its end, and a new one at once, by a reload", async () => {
    const soon = new Date(Date.now() + 3_600_000).toISOString();
    const past = new Date(Date.now() - 1000).toISOString();
    const { relay, call } = await lineRelay();
    const { limits } = testConfig("http://127.0.0.1:1", "/");
    const newest = { sha256: credentialHash(CLIENT_ID, "new") };
    const old = { sha256: credentialHash(CLIENT_ID, secret) };
    const reload = (backend: { sha256: string; expiresAt?: string }[]) =>
      relay.reload({ callers: [caller, other], limits, directCredentials: { backend } });
    reload([newest, { ...old, expiresAt: soon }]);
    expect((await call(good)).status).toBe(200);
    expect((await call(headersOf(CLIENT_ID, "new"))).status).toBe(200);
    reload([newest, { ...old, expiresAt: past }]);
    expect(await codeOf(await call(good))).toBe("access_expired");
    expect((await call(headersOf(CLIENT_ID, "new"))).status).toBe(200);
    reload([newest]);
    expect(await codeOf(await call(good))).toBe("access_invalid");
    reload([]);
    expect(await codeOf(await call(headersOf(CLIENT_ID, "new")))).toBe("access_invalid");
  });

  it("cuts a running request and refuses the next one when its caller is switched off", async () => {
    const model = await startModel((_seen, res) => void res.writeHead(200).write("x")); // never ends
    const relay = await startTestRelay(model.url, config());
    const line = `http://127.0.0.1:${relay.linePorts.get("backend")}/v1/chat/completions`;
    const call = () =>
      fetch(line, { method: "POST", body: "{}", headers: { ...good, "Content-Type": "application/json" } });
    const running = await call();
    const { limits } = testConfig("http://127.0.0.1:1", "/");
    relay.reload({
      callers: [{ ...caller, enabled: false }, other],
      limits,
      directCredentials: config().directCredentials,
    });
    await expect(running.text()).rejects.toThrow();
    expect(await codeOf(await call())).toBe("caller_disabled");
  });

  it("shows whether its SSH connection is up, on /status and in the metrics", async () => {
    const logDir = await temporaryFolder();
    const { relay } = await lineRelay({ logDir });
    const state = async () =>
      ((await (await fetch(`${relay.admin}/details`)).json()) as { direct: Record<string, unknown>[] }).direct;
    expect(await state()).toEqual([{ server: "backend", port: 0, connected: false, reason: "there is no log" }]);
    await writeFile(
      join(logDir, "direct-backend.log"),
      'Authenticated to 10.0.0.1 ([10.0.0.1]:22) using "publickey".\n',
    );
    expect(await state()).toMatchObject([{ server: "backend", connected: true }]);
    const metrics = await (await fetch(`${relay.admin}/metrics`)).text();
    expect(metrics).toContain('slm_direct_connected{server="backend"} 1');
    const page = await (await fetch(`${relay.url}/status`, { headers: asPerson })).text();
    expect(page).toMatch(/Direct lines: backend<\/th><td>connected/);
  });

  it("whose port is taken does not keep a relay that takes over from serving, and is bound when the port is free", async () => {
    const [port] = (await claimPorts(1)) as [number];
    const holder = createServer().listen(port, "127.0.0.1");
    await once(holder, "listening");
    expect(portOf(holder)).toBe(port);
    const model = await startModel();
    const lines = { lines: [{ server: "backend", port }] };
    await expect(startTestRelay(model.url, config({ direct: lines }))).rejects.toThrow(
      /direct backend.* another process/,
    );
    const relay = await startTestRelay(model.url, config({ direct: lines }), { takeOver: true });
    expect((await fetch(`${relay.url}/readyz`)).status).toBe(200);
    expect(relay.linePorts.size).toBe(0);
    holder.close();
    await expect.poll(() => relay.linePorts.get("backend"), { timeout: 10_000 }).toBe(port);
    expect((await fetch(`http://127.0.0.1:${port}/v1/models`, { headers: good })).status).toBe(200);
  });
});

it("a relay's config names lines with ports in use or without a caller", () => {
  const lines = [
    { server: "backend", port: 8790 },
    { server: "nobody", port: 8793 },
    { server: "batch", port: 8793 },
  ];
  const problems = configProblems(
    testConfig("http://127.0.0.1:1", "/", { ...config({ direct: { lines } }), port: 8790, adminPort: 8791 }),
  ).join("\n");
  expect(problems).toMatch(/direct\.lines\[0\]\.port and port are both 8790/);
  expect(problems).toMatch(/direct\.lines\[1\]\.server is "nobody", which is not a caller/);
  expect(problems).toMatch(/direct\.lines\[2\]\.port and direct\.lines\[1\]\.port are both 8793/);
});
