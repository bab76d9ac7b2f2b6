/** The command itself: against the sandbox's edge with a real cloudflared, and against servers that show what an edge may. */
import { spawn } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { createServer as createHttpServer, type RequestListener } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo, Server } from "node:net";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { openAuthority } from "../../../sandbox/edge/certificates.ts";
import { account_id, startHarness, zone_id } from "../../sandbox/cloudflare/harness.ts";
import { Harness } from "../../sandbox/edge/harness.ts";

const HOST = "slm.example.com";
let harness: Harness;
let servers: Server[];
beforeEach(() => {
  harness = new Harness();
  servers = [];
});
afterEach(async () => {
  for (const server of servers) await new Promise((closed) => server.close(closed));
  await harness.stop();
});

/** Runs the command without any pulumi on PATH. */
function probe(args: string[], environment: Record<string, string> = {}) {
  return new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve, reject) => {
    const child = spawn(process.execPath, ["commands/probe/main.ts", ...args], {
      cwd: join(import.meta.dirname, "../../.."),
      env: { PATH: dirname(process.execPath), ...environment },
      stdio: ["ignore", "pipe", "pipe"],
      timeout: 60_000,
    });
    const ran = { stdout: "", stderr: "" };
    child.stdout.setEncoding("utf8").on("data", (text: string) => (ran.stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (ran.stderr += text));
    child.once("error", reject);
    child.once("close", (code) => resolve({ ...ran, code }));
  });
}

const reportSchema = z.object({
  connectors: z.array(z.string()).nullable(),
  split: z.record(z.string(), z.number()).nullable(),
  findings: z.array(z.looseObject({ kind: z.string() })),
  exitCode: z.number(),
  hosts: z.array(
    z.object({
      host: z.string(),
      addresses: z.array(z.string()),
      samples: z.array(z.looseObject({ family: z.number(), tcpMs: z.number(), tlsMs: z.number() })),
      failures: z.array(z.looseObject({ at: z.string() })),
    }),
  ),
});
const json = (stdout: string) => reportSchema.parse(JSON.parse(stdout));

function listening(server: Server, host: string): Promise<number> {
  servers.push(server);
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, host, () => resolve((server.address() as AddressInfo).port));
  });
}

/** A Cloudflare-like server: a trace with this entry, and `rest` for all other paths. */
const edgeLike =
  (colo: string, rest: RequestListener): RequestListener =>
  (request, response) => {
    response.setHeader("CF-Ray", `0123456789abcdef-${colo}`);
    if (request.url === "/cdn-cgi/trace") response.end(`fl=1\nh=x\ncolo=${colo}\nwarp=off\n`);
    else rest(request, response);
  };

describe("against the sandbox's edge, with entry and connector at different places", () => {
  it("says where callers enter, where the connector is, and which other name is better; exits with 1", {
    timeout: 90_000,
  }, async () => {
    const cloudflare = await startHarness();
    try {
      const { client, account, url: apiUrl } = cloudflare;
      const seen: (string | undefined)[] = [];
      const service = await harness.origin((request, response) => {
        seen.push(request.url);
        response.setHeader("Server-Timing", "relay;dur=1.5");
        response.end('{"data":[]}');
      });
      const tunnel = await client.zeroTrust.tunnels.cloudflared.create({
        account_id,
        name: "office",
        config_src: "cloudflare",
      });
      const id = tunnel.id!;
      const ingress = [{ hostname: HOST, service }, { service: "http_status:404" }];
      await client.zeroTrust.tunnels.cloudflared.configurations.update(id, {
        account_id,
        config: { ingress: ingress as { hostname: string; service: string }[] },
      });
      const content = `${id}.cfargotunnel.com`;
      await client.dns.records.create({ zone_id, type: "CNAME", name: HOST, content, proxied: true, ttl: 1 });
      const edge = await harness.edge({ view: account, colo: "LAX", connectorColo: "ICN" });
      harness.cloudflared(edge, await client.zeroTrust.tunnels.cloudflared.token.get(id, { account_id }));
      await edge.routed(id);
      const better = await listening(
        createHttpServer(edgeLike("ICN", (_, response) => void response.end())),
        "127.0.0.1",
      );

      const environment = {
        CLOUDFLARE_API_TOKEN: "all-token",
        CLOUDFLARE_BASE_URL: apiUrl,
        CF_ACCESS_CLIENT_ID: "id.access",
        CF_ACCESS_CLIENT_SECRET: "secret",
      };
      const args = ["--url", edge.url, "--account", account_id, "--tunnel", id, "--runs", "3"];
      const machine = await probe([...args, "--json", "--compare", `http://127.0.0.1:${better}`], environment);
      expect(machine.code, machine.stderr).toBe(1);
      const report = json(machine.stdout);
      expect(report.connectors).toEqual(["ICN"]);
      expect(report.findings.map(({ kind }) => kind)).toEqual(["entry-elsewhere", "compared-expected"]);
      expect(report.findings[0]).toMatchObject({ colos: ["LAX"] });
      expect(report.hosts[0]?.samples).toHaveLength(3);
      expect(report.split).toMatchObject({ relay: 1.5 });
      expect(seen).toContain("/v1/models");

      const person = await probe(args, environment);
      expect(person.code).toBe(1);
      expect(person.stdout).toMatch(
        /ms of a request are spent on the way: .* between here and LAX, .*connector at ICN/,
      );
      expect(person.stdout).toMatch(/NOT as expected/);
      const wanted = await probe([...args, "--expect", "LAX"], environment);
      expect(wanted.code, wanted.stdout).toBe(0);
    } finally {
      await cloudflare.close();
    }
  });
});

describe("against what an edge may show", () => {
  it("splits DNS, TCP, TLS, edge, way and relay over fresh TLS connections, on IPv4 and IPv6", async () => {
    const authority = await openAuthority(join(harness.folder, "ca"));
    const connections = new Set<number | undefined>();
    const listener = edgeLike("ICN", (request, response) => {
      connections.add(request.socket.remotePort);
      response.setHeader("Server-Timing", "relay;dur=20");
      void delay(60).then(() => response.end("{}"));
    });
    const server = createHttpsServer(await authority.leaf("localhost"), listener);
    const port = await listening(server, "localhost");
    const environment = { NODE_EXTRA_CA_CERTS: authority.caFile };
    const ran = await probe(["--url", `https://localhost:${port}`, "--runs", "2", "--json"], environment);
    expect(ran.code, ran.stderr).toBe(0);
    const { hosts, split } = json(ran.stdout);
    const [host] = hosts;
    expect(host?.samples.length).toBeGreaterThanOrEqual(2);
    expect(connections.size).toBe(host?.samples.length);
    for (const sample of host?.samples ?? []) expect(sample.tlsMs).toBeGreaterThan(0);
    expect(split?.relay).toBe(20);
    // 60 ms until the answer, of which the relay says that 20 are its own and the edge takes next to nothing.
    expect(split?.tunnel).toBeGreaterThan(20);
    // However slow this machine is: what the relay says is its own is not counted as the way's.
    const whole = (host?.samples ?? []).map(({ request }) => z.object({ ms: z.number() }).parse(request).ms);
    expect(split?.tunnel).toBeLessThanOrEqual(Math.max(...whole) - 20);
  });

  it("measures IPv4 and IPv6 by themselves, and says which of them goes astray", async () => {
    const edge = (colo: string) => createHttpServer(edgeLike(colo, (_, response) => void response.end()));
    const port = await listening(edge("ICN"), "::1");
    const other = edge("LAX");
    servers.push(other);
    await new Promise<void>((resolve, reject) => {
      other.once("error", reject);
      other.listen(port, "127.0.0.1", resolve);
    });
    // The system's resolver may know `localhost` by one version only.
    const resolver = join(harness.folder, "resolver.mjs");
    await writeFile(
      resolver,
      `import dns from "node:dns/promises";
       import { syncBuiltinESMExports } from "node:module";
       dns.lookup = async () => [{ address: "127.0.0.1", family: 4 }, { address: "::1", family: 6 }];
       syncBuiltinESMExports();`,
    );
    const args = ["--url", `http://slm.example.com:${port}`, "--runs", "3"];
    const environment = { NODE_OPTIONS: `--import=${resolver}` };
    const machine = await probe([...args, "--json"], environment);
    expect(machine.code, machine.stderr).toBe(1);
    const { hosts, findings } = json(machine.stdout);
    expect(hosts[0]?.addresses).toEqual(["127.0.0.1", "::1"]);
    expect(hosts[0]?.samples.map(({ family }) => family)).toEqual([4, 6, 4, 6, 4, 6]);
    expect(findings).toMatchObject([{ kind: "entry-elsewhere", colos: ["LAX"], families: [4], otherFamilies: [6] }]);
    const person = await probe(args, environment);
    expect(person.stdout).toMatch(/DNS: 127\.0\.0\.1, ::1/);
    expect(person.stdout).toMatch(/127\.0\.0\.1 +3 +0 +LAX[\s\S]*::1 +3 +0 +ICN/);
    expect(person.stdout).toMatch(/Only IPv4 enters there: over IPv6 the entry is as expected/);
  });

  it("finds a challenge in the way, and exits with 1", async () => {
    const challenged = edgeLike("ICN", (_, response) => {
      response.writeHead(403, { "cf-mitigated": "challenge" }).end("Just a moment...");
    });
    const port = await listening(createHttpServer(challenged), "127.0.0.1");
    const ran = await probe(["--url", `http://127.0.0.1:${port}`, "--runs", "1"]);
    expect(ran.code).toBe(1);
    expect(ran.stdout).toMatch(/cf-mitigated: challenge.*Bot Fight Mode/);
  });

  it("takes CF-Ray where there is no trace", async () => {
    const rayOnly: RequestListener = (_, response) => {
      response.writeHead(403, { "CF-Ray": "0123456789abcdef-NRT" }).end();
    };
    const port = await listening(createHttpServer(rayOnly), "127.0.0.1");
    const ran = await probe(["--url", `http://127.0.0.1:${port}`, "--runs", "1", "--json"]);
    expect(ran.code).toBe(1);
    expect(json(ran.stdout).findings).toMatchObject([
      { kind: "not-let-in", withToken: false },
      { kind: "entry-elsewhere", colos: ["NRT"] },
    ]);
  });

  it("sends the token to no other host", async () => {
    const heard: unknown[] = [];
    const other = await listening(
      createHttpServer(edgeLike("ICN", (_, response) => void response.end())).on("request", ({ headers }) =>
        heard.push(headers["cf-access-client-secret"]),
      ),
      "127.0.0.1",
    );
    const own: unknown[] = [];
    const port = await listening(
      createHttpServer(edgeLike("ICN", (_, response) => void response.end())).on("request", ({ headers }) =>
        own.push(headers["cf-access-client-secret"]),
      ),
      "127.0.0.1",
    );
    const ran = await probe(
      ["--url", `http://127.0.0.1:${port}`, "--compare", `http://127.0.0.1:${other}`, "--runs", "1"],
      { CF_ACCESS_CLIENT_ID: "id.access", CF_ACCESS_CLIENT_SECRET: "the-secret" },
    );
    expect(ran.code, ran.stdout).toBe(0);
    expect(own.filter((secret) => secret !== undefined)).toEqual(["the-secret", "the-secret"]);
    expect(heard).toEqual([undefined]);
    expect(ran.stdout).not.toContain("the-secret");
  });

  it.each([
    ["its config", { "sandbox:url": true }, false],
    ["its environment", {}, true],
    ["the config, when an older address is left in the environment", { "sandbox:url": true }, "http://127.0.0.1:9"],
  ])("goes to the edge of a sandbox's stack by %s, with the stack's token", async (_what, key, variable) => {
    const heard: unknown[] = [];
    const edge = createHttpServer(edgeLike("ICN", (_, response) => void response.end()));
    edge.on("request", ({ headers }) => heard.push(headers["cf-access-client-secret"]));
    const url = `http://127.0.0.1:${await listening(edge, "127.0.0.1")}`;
    const serviceTokens = { backend: { clientId: "id.access", clientSecret: "of-the-stack" } };
    const pulumi = join(harness.folder, "pulumi");
    const config = Object.fromEntries(Object.keys(key).map((name) => [name, { value: url, secret: false }]));
    await writeFile(
      pulumi,
      `#!/bin/sh\ncase "$1" in\nstack) echo '${JSON.stringify({ hostname: "slm.invalid", serviceTokens })}' ;;\nconfig) echo '${JSON.stringify(config)}' ;;\nesac\n`,
      { mode: 0o700 },
    );
    const environment = {
      PATH: [harness.folder, dirname(process.execPath), "/usr/bin", "/bin"].join(":"),
      ...(variable !== false && { SANDBOX_URL: variable === true ? url : variable }),
    };
    const ran = await probe(["--runs", "1"], environment);
    expect(ran.code, ran.stdout + ran.stderr).toBe(0);
    expect(ran.stdout).toContain(`This is a sandbox's stack; measured at its edge, ${url}.`);
    expect(heard.filter((secret) => secret !== undefined)).toContain("of-the-stack");
    const elsewhere = await probe(["--runs", "1", "--url", "http://127.0.0.1:9", "--timeout", "1"], environment);
    expect(elsewhere.stdout).not.toContain("The stack is a sandbox's");
  });

  it("exits with 2 when nothing answers, or nothing is asked", async () => {
    const server = createHttpServer();
    const port = await listening(server, "127.0.0.1");
    await new Promise((closed) => server.close(closed));
    servers = [];
    const ran = await probe(["--url", `http://127.0.0.1:${port}`, "--runs", "1"]);
    expect(ran.code).toBe(2);
    expect(ran.stdout).toMatch(/ECONNREFUSED/);
    const nothing = await probe([]);
    expect(nothing.code).toBe(2);
    expect(nothing.stderr).toMatch(/give --url/);
  });
});
