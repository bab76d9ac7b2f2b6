import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { canTakeOver, connectorStatus, requestsIn } from "../../../runtime/installer/connector-handover.ts";

describe("a connector can take over", () => {
  const before = { connections: 4, version: 3 };
  it.each([
    ["with all connections and the configuration", { connections: 4, version: 3 }, before, true],
    ["with a newer configuration", { connections: 4, version: 4 }, before, true],
    ["not before it has as many connections", { connections: 3, version: 3 }, before, false],
    ["not with an older configuration", { connections: 4, version: 2 }, before, false],
    ["from one that does not answer", { connections: 1, version: 0 }, undefined, true],
    ["not without any configuration", { connections: 4, version: -1 }, undefined, false],
    [
      "not from nobody when it has no connection",
      { connections: 0, version: 3 },
      { connections: 0, version: 3 },
      false,
    ],
    ["not when it does not answer", undefined, before, false],
  ])("%s", (_what, now, from, expected) => {
    expect(canTakeOver(now, from)).toBe(expected);
  });
});

describe("cloudflared's metrics port", () => {
  it("shows the number of running requests", () => {
    const name = "cloudflared_tunnel_concurrent_requests_per_tunnel";
    expect(requestsIn(`# HELP ${name} x\n# TYPE ${name} gauge\n${name} 3\nother 1\n`)).toBe(3);
    expect(requestsIn(`${name}{a="b"} 0\n`)).toBe(0);
    expect(requestsIn(`cloudflared_x 5\n`)).toBeUndefined();
  });

  it("shows the connector's progress, even before it is ready", async () => {
    const answers: Record<string, [number, string]> = {
      "/ready": [503, '{"status":503,"readyConnections":0,"connectorId":"one"}'],
      "/config": [200, '{"version":-1,"config":{}}'],
    };
    const server = createServer(({ url }, res) => {
      const [status, body] = answers[url ?? ""] ?? [404, ""];
      res.writeHead(status).end(body);
    }).listen(0, "127.0.0.1");
    onTestFinished(() => void server.close());
    await new Promise((listening) => server.once("listening", listening));
    const { port } = server.address() as AddressInfo;
    expect(await connectorStatus(port)).toEqual({ id: "one", connections: 0, version: -1 });
    answers["/config"] = [404, ""];
    expect(await connectorStatus(port)).toBeUndefined();
  });
});
