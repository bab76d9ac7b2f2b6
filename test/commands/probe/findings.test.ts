import { describe, expect, it } from "vitest";
import { UsageError } from "../../../commands/errors.ts";
import { advice } from "../../../commands/probe/advice.ts";
import { type Answer, type Failure, readTrace, relayTime, type Sample } from "../../../commands/probe/connection.ts";
import {
  type Context,
  entries,
  exitCode,
  type Finding,
  findings,
  type HostMeasured,
  median,
  splitOf,
} from "../../../commands/probe/findings.ts";
import { readOptions } from "../../../commands/probe/options.ts";
import { hostRows, lostLine, table } from "../../../commands/probe/report.ts";

const answer = (change: Partial<Answer> = {}): Answer => ({ status: 200, ms: 137, ...change });
const sample = (colo: string | undefined, change: Partial<Sample> = {}): Sample => ({
  address: "203.0.113.1",
  family: 4,
  tcpMs: 136,
  tlsMs: 138,
  trace: answer({ colo }),
  request: answer({ ms: 281, colo, relayMs: 1 }),
  ...change,
});
const v6 = { address: "2001:db8::1", family: 6 } as const;
const measured = (samples: Sample[], failures: Failure[] = [], host = "slm.example.com"): HostMeasured => ({
  host,
  addresses: ["203.0.113.1"],
  dnsMs: samples.map(() => 2),
  samples,
  failures,
});
const wanted: Context = { expected: ["ICN"], withToken: true, connectors: ["ICN"] };

describe("conclusions and exit code", () => {
  it.each<[string, HostMeasured, Partial<Context>, Finding["kind"][], number]>([
    ["the expected entry", measured([sample("ICN"), sample("ICN")]), {}, ["entry-expected"], 0],
    ["any entry when none is expected", measured([sample("LAX")]), { expected: [] }, ["entry-expected"], 0],
    ["one of two expected", measured([sample("NRT")]), { expected: ["ICN", "NRT"] }, ["entry-expected"], 0],
    [
      "the entry by CF-Ray alone",
      measured([sample(undefined, { request: answer({ colo: "ICN" }) })]),
      {},
      ["entry-expected"],
      0,
    ],
    ["an entry elsewhere", measured([sample("LAX")]), {}, ["entry-elsewhere"], 1],
    ["one run of two elsewhere", measured([sample("ICN"), sample("LAX")]), {}, ["entry-elsewhere"], 1],
    [
      "a challenge",
      measured([sample("ICN", { request: answer({ status: 403, mitigated: "challenge" }) })]),
      {},
      ["challenged", "entry-expected"],
      1,
    ],
    [
      "no token",
      measured([sample("ICN", { request: answer({ status: 403 }) })]),
      { withToken: false },
      ["not-let-in", "entry-expected"],
      0,
    ],
    [
      "no connector",
      measured([sample("ICN", { request: answer({ status: 530 }) })]),
      {},
      ["no-connector", "entry-expected"],
      0,
    ],
    [
      "a failing relay",
      measured([sample("ICN", { request: answer({ status: 502 }) })]),
      {},
      ["answer-failed", "entry-expected"],
      0,
    ],
    [
      "connectors elsewhere",
      measured([sample("ICN")]),
      { connectors: ["NRT"] },
      ["entry-expected", "connector-elsewhere"],
      0,
    ],
    [
      "WARP on this machine",
      measured([sample("ICN", { trace: { ...answer({ colo: "ICN" }), warp: true } })]),
      {},
      ["entry-expected", "over-warp"],
      0,
    ],
    ["a name outside Cloudflare", measured([sample(undefined, { request: answer() })]), {}, ["not-cloudflare"], 2],
    [
      "no connection",
      measured([], [{ address: "203.0.113.1", family: 4, at: "tls", reason: "EPROTO" }]),
      {},
      ["nothing-measured"],
      2,
    ],
    ["no address", measured([]), {}, ["nothing-measured"], 2],
    [
      "unreachable IPv6",
      measured([sample("ICN")], [{ ...v6, at: "connect", reason: "ENETUNREACH" }]),
      {},
      ["family-fails", "entry-expected"],
      0,
    ],
  ])("%s", (_what, main, change, kinds, code) => {
    const found = findings(main, [], { ...wanted, ...change });
    expect(found.map(({ kind }) => kind)).toEqual(kinds);
    expect(exitCode(found)).toBe(code);
    for (const text of advice(found)) expect(text).toMatch(/[.]$/);
  });

  it("names the IP version that enters elsewhere, and the one that does not", () => {
    const found = findings(measured([sample("LAX"), sample("ICN", v6)]), [], wanted);
    expect(found[0]).toMatchObject({ colos: ["LAX"], families: [4], otherFamilies: [6] });
    expect(advice(found).join(" ")).toMatch(/Only IPv4 enters there: over IPv6 the entry is as expected/);
  });

  it("advises compared names that enter at an expected location first", () => {
    const others = [
      measured([sample("ICN", { trace: answer({ colo: "ICN", ms: 5 }) })], [], "other.example.net"),
      measured([sample("LAX")], [], "worse.example.net"),
      measured([sample("ICN"), sample("LAX")], [], "mixed.example.net"),
    ];
    const found = findings(measured([sample("LAX")]), others, wanted);
    expect(found.filter(({ kind }) => kind === "compared-expected")).toMatchObject([
      { host: "other.example.net", ms: 5 },
    ]);
    const text = advice(found).join(" ");
    expect(text).toMatch(/other\.example\.net enters at ICN \(5 ms\).*not a guarantee/);
    expect(text).not.toMatch(/cheapest first/);
  });

  it("guarantees nothing that Cloudflare does not", () => {
    const text = advice(findings(measured([sample("LAX")]), [], wanted)).join(" ");
    expect(text).toMatch(/no plan of Cloudflare guarantees a location/);
    expect(text).toMatch(/regional.*the entry may still be elsewhere/);
  });
});

describe("the numbers", () => {
  it.each([
    [[], undefined],
    [[3], 3],
    [[9, 1, 5], 5],
    [[4, 1, 2, 100], 3],
  ])("median of %j is %j", (numbers, expected) => {
    expect(median(numbers)).toBe(expected);
  });

  it("say in one line how much time the way takes, and where", () => {
    const split = splitOf(measured([sample("LAX")]))!;
    expect(split).toEqual({ dns: 2, tcp: 136, tls: 138, entry: 137, tunnel: 143, relay: 1 });
    expect(lostLine(split, "LAX", ["ICN"])).toBe(
      "280 of 281 ms of a request are spent on the way: 137 between here and LAX, 143 between LAX and the Mac (connector at ICN); " +
        "1.0 in relay and model server; a new connection adds 276 ms (DNS 2.0, TCP 136, TLS 138).",
    );
  });

  it("stop at the edge without a response from the relay", () => {
    const split = splitOf(measured([sample("LAX", { request: answer({ status: 403, ms: 140 }) })]))!;
    expect(split).toMatchObject({ entry: 137, tunnel: undefined, relay: undefined });
    expect(lostLine(split, "LAX", undefined)).toMatch(
      /^137 ms of each request are spent between here and LAX.*behind it is unknown/,
    );
  });

  it("count entries, most frequent first, in a table with one row per IP version", () => {
    const host = measured([sample("LAX"), sample("ICN"), sample("LAX"), sample("ICN", v6)]);
    expect(entries(host.samples.slice(0, 3))).toEqual([
      ["LAX", 2],
      ["ICN", 1],
    ]);
    const lines = table(hostRows([host]));
    expect(lines).toHaveLength(3);
    expect(lines[1]).toMatch(/203\.0\.113\.1 +3 +0 +LAX×2 ICN×1/);
    expect(lines[2]).toMatch(/2001:db8::1 +1 +0 +ICN /);
  });
});

describe("input", () => {
  it.each([
    ["fl=1\ncolo=ICN\nwarp=off\nuag=a=b\n", { fl: "1", colo: "ICN", warp: "off", uag: "a=b" }],
    ["<html>colo=ICN</html>", {}],
    ["colo=nowhere", {}],
    ["", {}],
  ])("trace %j", (text, expected) => {
    expect(readTrace(text)).toEqual(expected);
  });

  it.each([
    ["relay;dur=1.5", 1.5],
    ["cfL4;desc=x, relay;desc=all;dur=12", 12],
    ["relay", undefined],
    ["otherrelay;dur=3", undefined],
    [undefined, undefined],
  ])("Server-Timing %j", (header, expected) => {
    expect(relayTime(header)).toBe(expected);
  });

  it.each([
    [["--runs", "0"], /--runs "0" is not a whole number from 1 to 100/],
    [["--runs", "many"], /--runs "many"/],
    [["--expect", "Seoul"], /--expect "SEOUL" is not a Cloudflare location/],
    [["--url", "ftp://a"], /--url "ftp:\/\/a" is not an address/],
    [["--compare", "a b"], /--compare "a b" is not an address/],
    [["--path", "v1"], /must begin with \//],
    [["--what"], /--what/],
  ])("options %j are refused", (args, reason) => {
    expect(() => readOptions(args)).toThrow(UsageError);
    expect(() => readOptions(args)).toThrow(reason);
  });

  it("options: a name without a scheme means https; lists are split", () => {
    const options = readOptions([
      "--url",
      "slm.example.com",
      "--compare",
      "a.dev,b.dev",
      "--compare",
      "c.dev",
      "--expect",
      "icn,nrt",
    ]);
    expect(options.url?.href).toBe("https://slm.example.com/");
    expect(options.compare).toEqual(["a.dev", "b.dev", "c.dev"]);
    expect(options.expect).toEqual(["ICN", "NRT"]);
  });
});
