import { randomBytes } from "node:crypto";
import { once } from "node:events";
import type { RequestListener } from "node:http";
import { connect } from "node:tls";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ask, Harness, open, read } from "./harness.ts";

const HOST = "slm.example.com";
let harness: Harness;
beforeEach(() => {
  harness = new Harness();
});
afterEach(() => harness.stop());

/** An edge, an origin, and a tunnel between them that nobody serves yet. */
async function declared(listener: RequestListener) {
  const service = await harness.origin(listener);
  const tunnel = harness.account.declareTunnel(HOST, [{ hostname: HOST, service }, { service: "http_status:404" }]);
  const edge = await harness.edge();
  return { edge, tunnel };
}

test("without a connector the response is 530 with code 1033", async () => {
  const { edge, tunnel } = await declared((_request, response) => void response.end("origin"));
  const before = await ask(edge, "/");
  expect([before.status, before.body.toString()]).toEqual([530, "error code: 1033"]);
  await expect(edge.routed(tunnel, { timeoutMs: 10 })).rejects.toThrow("0 of 1 connections with version 1 after 10 ms");

  const connector = harness.cloudflared(edge, harness.account.connectorToken(tunnel));
  await edge.routed(tunnel);
  expect((await ask(edge, "/")).body.toString()).toBe("origin");

  connector.process.kill("SIGTERM");
  await connector.ended;
  expect(await harness.account.connected(tunnel, 0)).toEqual([]);
  expect((await ask(edge, "/")).status).toBe(530);
});

test("a connector that stops lets a running answer end, while new requests are refused", async () => {
  let finish: (() => void) | undefined;
  const { edge, tunnel } = await declared((_request, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write("data: 1\n\n");
    finish = () => response.end("data: 2\n\n");
  });
  const connector = harness.cloudflared(edge, harness.account.connectorToken(tunnel));
  await edge.routed(tunnel);
  const stream = await open(edge, "/");
  await once(stream, "data");
  connector.process.kill("SIGTERM");
  await harness.account.connected(tunnel, 0);
  expect((await ask(edge, "/")).status).toBe(530);
  finish!();
  expect((await read(stream)).body.toString()).toBe("data: 2\n\n");
  await connector.ended;
});

test("a wrong secret and a deleted tunnel are refused; an open connection continues", async () => {
  const { edge, tunnel } = await declared((_request, response) => void response.end("origin"));
  const wrong = harness.cloudflared(edge, harness.account.connectorToken(tunnel, randomBytes(32)));
  await wrong.logged("Unauthorized: Invalid tunnel secret");
  expect(harness.account.connections.get(tunnel) ?? []).toEqual([]);

  harness.cloudflared(edge, harness.account.connectorToken(tunnel));
  await edge.routed(tunnel);
  const token = harness.account.connectorToken(tunnel);
  harness.account.tunnels.get(tunnel)!.secret = randomBytes(32);
  const late = harness.cloudflared(edge, token);
  await late.logged("Unauthorized: Invalid tunnel secret");
  expect((await ask(edge, "/")).body.toString()).toBe("origin");

  harness.account.tunnels.delete(tunnel);
  expect((await ask(edge, "/")).body.toString()).toBe("origin");
});

test("when one of two connectors dies the other serves, and the account shows the remaining one", async () => {
  const { edge, tunnel } = await declared((_request, response) => void response.end("origin"));
  const token = harness.account.connectorToken(tunnel);
  const [first] = [harness.cloudflared(edge, token), harness.cloudflared(edge, token)];
  await edge.routed(tunnel, { connections: 4 });
  const both = await harness.account.connected(tunnel, 4);
  expect(new Set(both.map(({ connectorId }) => connectorId)).size).toBe(2);

  first.process.kill("SIGKILL");
  const left = await harness.account.connected(tunnel, 2);
  expect(new Set(left.map(({ connectorId }) => connectorId)).size).toBe(1);
  const answers = await Promise.all(Array.from({ length: 10 }, () => ask(edge, "/")));
  expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 10 }, () => 200));
});

test("a connector that is killed cuts the answers it carried: they do not look complete", async () => {
  const { edge, tunnel } = await declared((_request, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write("data: 1\n\n");
  });
  const connector = harness.cloudflared(edge, harness.account.connectorToken(tunnel));
  await edge.routed(tunnel);
  const stream = await open(edge, "/");
  await once(stream, "data");
  const whole = read(stream);
  connector.process.kill("SIGKILL");
  await expect(whole).rejects.toThrow("aborted");
});

test("requests go to the connection with the fewest in flight", async () => {
  const held: (() => void)[] = [];
  const ports = new Set<number | undefined>();
  const { edge, tunnel } = await declared((request, response) => {
    ports.add(request.socket.remotePort);
    held.push(() => response.end());
    if (held.length === 4) for (const finish of held) finish();
  });
  harness.cloudflared(edge, harness.account.connectorToken(tunnel));
  await edge.routed(tunnel, { connections: 2 });
  await Promise.all(Array.from({ length: 4 }, () => ask(edge, "/")));
  expect(ports.size).toBe(4);
});

test("a connector that hangs is found by the heartbeat, cut, and taken back when it runs again", async () => {
  const { edge, tunnel } = await declared((request, response) => {
    if (request.url === "/held") response.writeHead(200, { "content-type": "text/event-stream" }).write("data: 1\n\n");
    else response.end("origin");
  });
  const connector = harness.cloudflared(edge, harness.account.connectorToken(tunnel));
  await edge.routed(tunnel, { connections: 2 });
  const stream = await open(edge, "/held");
  await once(stream, "data");
  const whole = read(stream);
  connector.process.kill("SIGSTOP");
  await expect(whole).rejects.toThrow("aborted");
  await harness.account.connected(tunnel, 0);
  expect((await ask(edge, "/")).status).toBe(530);
  connector.process.kill("SIGCONT");
  await edge.routed(tunnel, { timeoutMs: 50_000 });
  expect((await ask(edge, "/")).body.toString()).toBe("origin");
}, 60_000);

test("an edge that starts again on its ports is found by a cloudflared that runs, with a newer configuration", async () => {
  const { edge, tunnel } = await declared((_request, response) => void response.end("origin"));
  harness.cloudflared(edge, harness.account.connectorToken(tunnel));
  await edge.routed(tunnel);
  const port = (address: string) => Number(new URL(address.includes("//") ? address : `http://${address}`).port);
  await edge.close();
  harness.account.configure(tunnel, [{ hostname: HOST, service: "http_status:418" }, { service: "http_status:404" }]);
  const again = await harness.edge({
    ports: { connector: port(edge.connectorAddress), client: port(edge.url), proxy: port(edge.proxyUrl) },
  });
  await again.routed(tunnel, { timeoutMs: 50_000 }); // cloudflared's own back-off: up to 20 s
  expect((await ask(again, "/")).status).toBe(418);
}, 60_000);

test("a client that is not a connector is cut off and leaves no trace", async () => {
  const { edge, tunnel } = await declared((_request, response) => void response.end());
  const [host, port] = edge.connectorAddress.split(":");
  const socket = connect({ host, port: Number(port), servername: "h2.cftunnel.com", rejectUnauthorized: false });
  socket.on("error", () => {});
  socket.resume();
  await once(socket, "secureConnect");
  socket.write("GET / HTTP/1.1\r\nHost: h2.cftunnel.com\r\n\r\n");
  await once(socket, "close");
  expect(harness.account.connections.get(tunnel)).toBeUndefined();
  expect((await ask(edge, "/")).status).toBe(530);
});
