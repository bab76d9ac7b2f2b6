import { once } from "node:events";
import { readFile, stat, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { connect as connectTcp } from "node:net";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { openAuthority } from "../../../sandbox/edge/certificates.ts";
import { freePorts, runRelay } from "./child.ts";
import { asServer, codeOf, jwks, portOf, startModel, TEAM, temporaryFolder, testConfig, token } from "./harness.ts";

/** The address of Access's keys over TLS, and a CONNECT proxy that leads its name there. */
async function startAccess(folder: string) {
  const authority = await openAuthority(folder);
  const { cert, key } = await authority.leaf(TEAM);
  const asked: string[] = [];
  const certs = createTlsServer({ key, cert }, (req, res) => {
    asked.push(req.url ?? "");
    res.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(jwks));
  });
  await listening(certs);
  const names: string[] = [];
  const proxy = createServer();
  proxy.on("connect", (req, client, head) => {
    names.push(req.url ?? "");
    const server = connectTcp(portOf(certs), "127.0.0.1", () => {
      client.write("HTTP/1.1 200 OK\r\n\r\n");
      server.write(head);
      client.pipe(server).pipe(client);
    });
    server.on("error", () => client.destroy());
    client.on("error", () => server.destroy());
  });
  await listening(proxy);
  return {
    asked,
    names,
    env: {
      NODE_EXTRA_CA_CERTS: authority.caFile,
      NODE_USE_ENV_PROXY: "1",
      HTTPS_PROXY: `http://127.0.0.1:${portOf(proxy)}`,
    },
    close: () => Promise.all([closed(certs), closed(proxy)]),
  };
}

async function listening(server: Server): Promise<void> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => closed(server));
}

async function closed(server: Server): Promise<void> {
  if (!server.listening) return;
  server.close();
  server.closeAllConnections();
  await once(server, "close");
}

const started = ({ msg }: Record<string, unknown>) => msg === "listening";

test("keys come over TLS through the proxy of the environment, are kept, and serve when the address is down", async () => {
  const folder = await temporaryFolder();
  const dataDir = join(folder, "data");
  const access = await startAccess(folder);
  const model = await startModel();
  const config = { ...testConfig(model.url, dataDir), ...(await freePorts()) };
  const models = `http://127.0.0.1:${config.port}/v1/models`;

  const first = await runRelay(folder, config, access.env);
  await first.line(started);
  expect((await fetch(models, { headers: asServer })).status).toBe(200);
  expect(access.names).toEqual([`${TEAM}:443`]);
  expect(access.asked).toEqual(["/cdn-cgi/access/certs"]);
  first.child.kill("SIGTERM");
  expect(await first.exit).toBe(0);
  const file = join(dataDir, "jwks.json");
  expect(JSON.parse(await readFile(file, "utf8"))).toMatchObject({ url: `https://${TEAM}/cdn-cgi/access/certs`, jwks });
  expect((await stat(file)).mode & 0o777).toBe(0o600);

  await access.close();
  const second = await runRelay(folder, config, access.env);
  await second.line(started);
  await second.line(({ msg }) => msg === "keys of Access not refreshed");
  expect((await fetch(models, { headers: asServer })).status).toBe(200);
  second.child.kill("SIGTERM");
  expect(await second.exit).toBe(0);

  // Kept for another team, or too long ago: not used.
  const kept = JSON.parse(await readFile(file, "utf8")) as { url: string; uat: number };
  for (const change of [{ url: "https://evil/" }, { uat: kept.uat - 8 * 24 * 3600_000 }, { uat: Date.now() + 1e9 }]) {
    await writeFile(file, JSON.stringify({ ...kept, ...change }));
    const third = await runRelay(folder, config, access.env);
    await third.line(started);
    const response = await fetch(models, { headers: asServer });
    expect([response.status, await codeOf(response)]).toEqual([503, "access_keys_unavailable"]);
    third.child.kill("SIGTERM");
    expect(await third.exit).toBe(0);
  }
});

test("kept keys are renewed at start, and a key that is still not known does not cause fetch after fetch", async () => {
  const folder = await temporaryFolder();
  const access = await startAccess(folder);
  const model = await startModel();
  const config = { ...testConfig(model.url, folder), ...(await freePorts()) };
  const kept = {
    url: `https://${TEAM}/cdn-cgi/access/certs`,
    uat: Date.now() - 60_000,
    jwks: { keys: [{ ...jwks.keys[0], kid: "k0" }] },
  };
  await writeFile(join(folder, "jwks.json"), JSON.stringify(kept));
  const relay = await runRelay(folder, config, access.env);
  await relay.line(started);
  const url = `http://127.0.0.1:${config.port}/v1/models`;
  expect((await fetch(url, { headers: asServer })).status).toBe(200);
  const before = access.asked.length;
  // Right after a fetch an unknown key does not cause another one.
  const unknown = await fetch(url, { headers: { "Cf-Access-Jwt-Assertion": await token({}, "k9") } });
  expect(await codeOf(unknown)).toBe("access_invalid");
  expect(access.asked).toHaveLength(before);
});

test("on SIGTERM a running stream is finished, new requests get 503, and the exit code is 0", async () => {
  const folder = await temporaryFolder();
  const access = await startAccess(folder);
  let finish = () => {};
  const model = await startModel((_seen, res) => {
    res.writeHead(200, { "Content-Type": "text/event-stream" }).write("data: 1\n\n");
    finish = () => res.end("data: 2\n\n");
  });
  const config = { ...testConfig(model.url, folder, { graceSeconds: 20 }), ...(await freePorts()) };
  const base = `http://127.0.0.1:${config.port}`;
  const relay = await runRelay(folder, config, access.env);
  await relay.line(started);
  expect((await fetch(`${base}/readyz`)).status).toBe(200);
  const chat = () => fetch(`${base}/api/chat`, { method: "POST", body: "{}", headers: asServer });
  const reader = (await chat()).body!.pipeThrough(new TextDecoderStream()).getReader();
  expect((await reader.read()).value).toBe("data: 1\n\n");

  relay.child.kill("SIGTERM");
  await relay.line(({ msg }) => msg === "stopping");
  const ready = await fetch(`${base}/readyz`);
  expect([ready.status, await ready.text()]).toEqual([503, "not ready\n"]);
  expect((await fetch(`${base}/healthz`)).status).toBe(200);
  const refused = await chat();
  expect([refused.status, await codeOf(refused)]).toEqual([503, "shutting_down"]);
  expect(refused.headers.get("retry-after")).toBe("5");

  finish();
  expect((await reader.read()).value).toBe("data: 2\n\n");
  expect((await reader.read()).done).toBe(true);
  expect(await relay.exit).toBe(0);
  await expect(fetch(`${base}/healthz`)).rejects.toThrow("fetch failed");
});

test("what still runs after the grace time is cut, at the caller and at the model server, and the exit code is 0", async () => {
  const folder = await temporaryFolder();
  const access = await startAccess(folder);
  const gone = Promise.withResolvers<void>();
  const model = await startModel((_seen, res) => {
    res.on("close", gone.resolve);
    res.writeHead(200, { "Content-Type": "text/event-stream" }).write("data: 1\n\n");
  });
  const config = { ...testConfig(model.url, folder, { graceSeconds: 1 }), ...(await freePorts()) };
  const relay = await runRelay(folder, config, access.env);
  await relay.line(started);
  const url = `http://127.0.0.1:${config.port}/api/chat`;
  const reader = (await fetch(url, { method: "POST", body: "{}", headers: asServer })).body!.getReader();
  await reader.read();
  relay.child.kill("SIGINT");
  await expect(reader.read()).rejects.toThrow("terminated");
  await gone.promise;
  expect(await relay.exit).toBe(0);
  expect(relay.lines.find(({ msg }) => msg === "request")).toMatchObject({ code: "shutting_down" });
});

test("bad settings end with 78 and one line for each fault", async () => {
  const folder = await temporaryFolder();
  const good = testConfig("http://127.0.0.1:1", folder);
  const relay = await runRelay(folder, { ...good, graceSeconds: 1000 }); // the ports are 0, too
  expect(await relay.exit).toBe(78);
  expect(relay.stderr().trim().split("\n")).toEqual([
    expect.stringMatching(/relay\.json: port is 0: /),
    expect.stringMatching(/relay\.json: adminPort is 0: /),
    expect.stringMatching(/relay\.json: graceSeconds is 1000: .*170/),
  ]);
  expect(relay.lines).toEqual([]);
});

test("a port that is taken ends with 1 and a message", async () => {
  const folder = await temporaryFolder();
  const blocker = createServer();
  await listening(blocker);
  const { adminPort } = await freePorts();
  const relay = await runRelay(folder, {
    ...testConfig("http://127.0.0.1:1", folder),
    port: portOf(blocker),
    adminPort,
  });
  expect(await relay.exit).toBe(1);
  expect(relay.stderr()).toMatch(/public listener cannot bind .* another process holds it/);
});
