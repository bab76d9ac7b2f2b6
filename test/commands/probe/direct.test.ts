import { expect, it } from "vitest";
import { compareRoads, renderRoads } from "../../../commands/probe/direct.ts";
import type { HostMeasured } from "../../../commands/probe/findings.ts";

const host = (tcpMs: number, tlsMs: number, ms: number, status = 200): HostMeasured =>
  ({
    host: "h",
    addresses: ["10.0.0.1"],
    dnsMs: [2],
    samples: [{ address: "10.0.0.1", family: 4, tcpMs, tlsMs, trace: { ms: 1, status: 200 }, request: { ms, status } }],
    failures: [],
  }) as unknown as HostMeasured;

it("says what the line saves of a call, and of one over a new connection", () => {
  const roads = compareRoads(host(136, 138, 281), host(0.2, 0, 3));
  expect(roads).toMatchObject({ public: { connect: 276, firstByte: 557, whole: 281 }, direct: { whole: 3 } });
  expect(renderRoads(roads).join("\n")).toMatch(/saves 278 ms of every call, and 552 ms of one over a new connection/);
  expect(renderRoads(compareRoads(host(1, 1, 2), host(1, 0, 3))).join("\n")).toMatch(/saves nothing here/);
});

it("says why the line has no answer", () => {
  expect(compareRoads(host(1, 1, 2), host(1, 0, 3, 403)).problem).toMatch(/the token is refused there/);
  const away = {
    ...host(1, 0, 3),
    samples: [],
    failures: [{ address: "10.0.0.1", family: 4 as const, at: "connect" as const, reason: "ECONNREFUSED" }],
  };
  const roads = compareRoads(host(1, 1, 2), away);
  expect(renderRoads(roads).join("\n")).toMatch(/no answer \(connect: ECONNREFUSED\)\. Is this the line's server/);
});
