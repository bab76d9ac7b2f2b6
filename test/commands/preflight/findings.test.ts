import { describe, expect, test } from "vitest";
import type { Finding } from "../../../accounts/finding.ts";
import { clusterFindings, isAllowed, userFindings } from "../../../commands/preflight/atlas.ts";
import { botFinding, endFindings, secondsOf, sessionFinding } from "../../../commands/preflight/cloudflare.ts";
import { clockFinding, diskFinding, modelFinding } from "../../../commands/preflight/mac.ts";
import { configFindings, enough } from "../../../commands/preflight/prerequisites.ts";
import { exitCode, render, sorted } from "../../../commands/preflight/report.ts";
import { readConfig, readState } from "../../../commands/stack.ts";

const levels = (findings: readonly Finding[]) => findings.map(({ level }) => level);

describe("report", () => {
  const findings: Finding[] = [
    { id: "b", level: "fail", says: "in the way", todo: "mend it" },
    { id: "a", level: "ok", says: "fine" },
    { id: "c", level: "warn", says: "odd", todo: "look" },
  ];
  test("problems come last, with the fix; the exit code says whether there are any", () => {
    expect(sorted(findings).map(({ id }) => id)).toEqual(["a", "c", "b"]);
    expect(render(findings)).toBe(
      "ok   fine\nknow odd\n       → look\nFAIL in the way\n       → mend it\n\n1 in the way, 1 to know, 1 in order.",
    );
    expect(render(findings, true)).not.toContain("fine");
    expect(exitCode(findings)).toBe(1);
    expect(exitCode(findings.slice(1))).toBe(0);
  });
});

test.each([
  ["v22.17.9", false],
  ["v22.18.0", true],
  ["v24.0.0", true],
  ["v20.20.2", false],
  ["", false],
])("Node %s runs TypeScript: %s", (version, expected) => {
  expect(enough(version)).toBe(expected);
});

test("all problems of the config at once, and unknown keys", () => {
  const { findings, config } = configFindings(
    new Map([["slm-network:hostname", "https://slm"]]),
    "org/slm-network/prod",
  );
  expect(config).toBeUndefined();
  expect(findings.length).toBeGreaterThan(4);
  expect(findings[0]).toMatchObject({ level: "fail", todo: "Fix it in Pulumi.prod.yaml" });
  expect(findings[0]?.says).toContain('slm-network:hostname: "https://slm" is not a host name');
});

test("config and state as Pulumi prints them", () => {
  const json = JSON.stringify({
    "slm-network:hostname": { value: "slm.example.com", secret: false },
    "slm-network:tunnelSecret": { value: "s", secret: true },
    "slm-network:fallbackKey": { secret: true },
  });
  expect([...readConfig(json).keys()]).toEqual(["slm-network:hostname", "slm-network:tunnelSecret"]);
  const known = readState(
    JSON.stringify({
      deployment: {
        resources: [
          { type: "cloudflare:index/dnsRecord:DnsRecord", id: "r1", inputs: {} },
          { type: "mongodbatlas:index/databaseUser:DatabaseUser", id: "encoded", inputs: { username: "slm-relay" } },
        ],
        pending_operations: [{ type: "creating" }, { type: "updating" }],
      },
    }),
  );
  expect(known).toMatchObject({ resources: 2, unfinished: 1 });
  expect(known.owned("record", "r1")).toBe(true);
  expect(known.owned("record", "r2")).toBe(false);
  expect(known.owned("tunnel", "r1")).toBe(false);
  expect(known.owned("databaseUser", "slm-relay")).toBe(true);
  expect(readState("{}")).toMatchObject({ resources: 0, unfinished: 0 });
});

describe("Cloudflare", () => {
  test.each([
    ["24h", 86_400],
    ["1h30m", 5400],
    ["90s", 90],
  ])("%s is %i s", (text, seconds) => expect(secondsOf(text)).toBe(seconds));
  test("a session longer than the organisation's", () => {
    expect(sessionFinding("720h", "24h")).toMatchObject({
      level: "warn",
      todo: expect.stringContaining("24h or less"),
    });
    expect(sessionFinding("24h", "1440m").level).toBe("ok");
    expect(sessionFinding("24h", undefined).level).toBe("ok");
  });
  test("bot protection that blocks servers", () => {
    expect(botFinding({ fightMode: true })).toMatchObject({ level: "warn", todo: expect.stringContaining("Security") });
    expect(botFinding({ fightMode: false, definitelyAutomated: "block" }).level).toBe("warn");
    expect(botFinding({ fightMode: false, definitelyAutomated: "allow" }).level).toBe("ok");
  });
  test("an API token that expires soon", () => {
    const now = Date.parse("2026-01-01T00:00:00Z");
    expect(endFindings("2026-01-11T00:00:00Z", now)).toMatchObject([{ says: expect.stringContaining("in 10 days") }]);
    expect(endFindings("2026-06-01T00:00:00Z", now)).toEqual([]);
    expect(endFindings(undefined, now)).toEqual([]);
  });
});

describe("Atlas", () => {
  const main = {
    id: "1",
    name: "main",
    kind: "dedicated" as const,
    state: "IDLE",
    paused: false,
    region: "AWS AP_NORTHEAST_2",
    size: "M10",
    mongodbVersion: "8.0.4",
  };
  test("the cluster: present, missing, paused, busy, or its name taken", () => {
    expect(levels(clusterFindings("main", [main]))).toEqual(["ok"]);
    expect(clusterFindings("other", [main])[0]).toMatchObject({
      level: "fail",
      says: expect.stringContaining("it has main"),
    });
    expect(levels(clusterFindings("main", [{ ...main, paused: true }]))).toEqual(["fail"]);
    expect(levels(clusterFindings("main", [{ ...main, state: "UPDATING" }]))).toEqual(["warn"]);
    expect(levels(clusterFindings({ create: { name: "main" } }, [main]))).toEqual(["fail"]);
    expect(levels(clusterFindings({ create: { name: "slm" } }, [main]))).toEqual(["ok"]);
  });
  test("database users with the program's names", () => {
    const user = { username: "slm-relay", databaseName: "admin", roles: ["readWrite@slm"], clusters: [] };
    expect(userFindings("slm", [user], () => false)[0]).toMatchObject({
      level: "fail",
      says: expect.stringContaining("slm-relay"),
    });
    expect(levels(userFindings("slm", [user], () => true))).toEqual(["ok"]);
    expect(levels(userFindings("other", [user], () => false))).toEqual(["ok"]);
  });
  test.each([
    ["203.0.113.7", ["203.0.113.7/32"], true],
    ["203.0.113.7", ["203.0.113.0/24", "10.0.0.0/8"], true],
    ["203.0.114.7", ["203.0.113.0/24"], false],
    ["203.0.113.7", ["0.0.0.0/0"], true],
    ["203.0.113.7", [], false],
    ["203.0.113.7", ["sg-123"], false],
  ])("%s in %j: %s", (address, networks, expected) => expect(isAllowed(address, networks)).toBe(expected));
});

describe("Mac", () => {
  const minute = 60_000;
  test.each([
    [10 * minute, "ok"],
    [10 * minute - 20_000, "ok"],
    [12 * minute, "fail"],
    [8 * minute, "fail"],
  ])("a clock at %i, asked at 600000: %s", (mac, level) => {
    expect(clockFinding(mac, 10 * minute, 10 * minute + 900)).toMatchObject({ level });
  });
  test("reports by how much a clock is wrong, and in which direction", () => {
    expect(clockFinding(12 * minute, 10 * minute, 10 * minute).says).toContain("120 s ahead");
    expect(clockFinding(8 * minute, 10 * minute, 10 * minute).says).toContain("119 s behind");
  });
  const df = (available: number) =>
    `Filesystem  1024-blocks  Used Available Capacity iused ifree %iused  Mounted on\n/dev/disk3s1s1 971350180 11 ${available} 7% 1 2 0% /\n`;
  test("the disk", () => {
    expect(diskFinding(df(300_000_000), 2048).level).toBe("ok");
    expect(diskFinding(df(1_000_000), 2048)).toMatchObject({ level: "fail", says: expect.stringContaining("976 MiB") });
    expect(diskFinding("nonsense", 2048).level).toBe("warn");
  });
  test("the model server and its embedding model", () => {
    const ollama = { kind: "ollama" as const, url: "http://127.0.0.1:11434", embeddingModel: "bge-m3" };
    const tags = JSON.stringify({ models: [{ name: "bge-m3:latest" }, { name: "llama:8b" }] });
    expect(modelFinding(tags, ollama).level).toBe("ok");
    expect(modelFinding(tags, { ...ollama, embeddingModel: "nomic" })).toMatchObject({
      level: "fail",
      todo: expect.stringContaining("ollama pull nomic"),
    });
    expect(modelFinding('{"data":[{"id":"e5"}]}', { ...ollama, kind: "openai", embeddingModel: "e5" }).level).toBe(
      "ok",
    );
    expect(modelFinding("<html>", ollama)).toMatchObject({
      level: "fail",
      says: expect.stringContaining("is not Ollama"),
    });
  });
});
