/** Direct lines on a whole network: a company's server with a real sshd, real OpenAI clients, failures, rotation, removal. */
import { chmodSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { Scalar } from "yaml";
import { z } from "zod";
import { claimPorts } from "../../sandbox/machine/ports.ts";
import { type Reaper, startReaper } from "../../sandbox/machine/reaper.ts";
import { type CompanyServer, startCompanyServer } from "../../sandbox/server/company-server.ts";
import { ensureOpenSsh } from "../../sandbox/tools/openssh.ts";
import { eventually, inFolder, run, sandbox, start, strays, tokenHeaders } from "./harness.ts";
import { Client, fine, MacNetwork, said, tell } from "./mac-network.ts";

inFolder(".sandbox-direct");
vi.setConfig({ testTimeout: 900_000 });

let network: MacNetwork;
let server: CompanyServer;
let reaper: Reaper;
let folder: string;
let base: string;
let listenPort: number;

const headers = () => tokenHeaders(network.ready);
const client = (url = base, given = headers()): OpenAI =>
  new OpenAI({ baseURL: `${url}/v1`, apiKey: "not used", defaultHeaders: given, maxRetries: 0, timeout: 60_000 });
const chat = (content: string) => ({
  model: network.ready.chatModel,
  messages: [{ role: "user" as const, content }],
});
/** A time in quotes: YAML takes it for a date otherwise. */
const quoted = (text: string) => Object.assign(new Scalar(text), { type: Scalar.QUOTE_DOUBLE });
const npm = (...args: string[]) => run(process.execPath, args, network.ready.environment);

/** Status of a small call on the line; 0 without an answer. */
async function onLine(given: Record<string, string> = headers(), path = "/v1/models"): Promise<number> {
  const answer = await fetch(base + path, { headers: given, signal: AbortSignal.timeout(2_000) }).catch(
    () => undefined,
  );
  await answer?.arrayBuffer().catch(() => {});
  return answer?.status ?? 0;
}
const works = (withinMs: number) => eventually(async () => (await onLine()) === 200, withinMs);

/** Requests that the model server saw cancelled. */
const cancelled = async (): Promise<number> =>
  z.looseObject({ cancelled: z.int() }).parse(await (await fetch(`${network.ready.model}/sandbox/requests`)).json())
    .cancelled;

async function outputs() {
  const { stdout } = await network.pulumi("stack", "output", "--json", "--show-secrets");
  const token = z.object({ clientId: z.string(), clientSecret: z.string() });
  return z
    .object({ serviceTokens: z.looseObject({ backend: token }), route: z.object({ accountId: z.string() }) })
    .parse(JSON.parse(stdout));
}
const tokenOfStack = async () => (await outputs()).serviceTokens.backend;
const accountId = async () => (await outputs()).route.accountId;

/** A change in the dashboard, by the API. */
async function cloudflare(method: string, path: string, body?: unknown): Promise<unknown> {
  const { CLOUDFLARE_API_TOKEN } = network.ready.environment;
  const answer = await fetch(network.ready.cloudflareApi + path, {
    method,
    headers: { authorization: `Bearer ${CLOUDFLARE_API_TOKEN}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
  return z.looseObject({ result: z.unknown() }).parse(JSON.parse(text)).result;
}

const lineLog = () => readFile(network.onMac("var/log/slm-network/direct-backend.log"), "utf8");

/** Milliseconds until calls work again, into the report. */
async function recovery(what: string, withinMs: number): Promise<number> {
  const began = performance.now();
  await works(withinMs);
  const ms = performance.now() - began;
  network.report[`line works again after ${what}`] = `${(ms / 1000).toFixed(1)} s`;
  return ms;
}

/** A caller with both base URLs, as docs/direct.md describes it: the line if it answers within a second. */
const withBoth = () =>
  new Client(async () => {
    const isUp = await fetch(`${base}/readyz`, { signal: AbortSignal.timeout(1_000) }).then(
      async (answer) => {
        await answer.arrayBuffer();
        return answer.ok;
      },
      () => false,
    );
    const url = `${isUp ? base : network.ready.url}/v1/models`;
    const answer = await fetch(url, { headers: headers(), redirect: "manual", signal: AbortSignal.timeout(10_000) });
    await answer.arrayBuffer();
    return answer.status;
  }, network.report);

beforeAll(async () => {
  const sshd = ensureOpenSsh(() => {});
  await sandbox("--stop");
  network = new MacNetwork(await start());
  reaper = startReaper();
  folder = mkdtempSync(join(tmpdir(), "slm-server-"));
  chmodSync(folder, 0o755); // sshd reads keys as the account
  const [sshPort, linePort, port] = (await claimPorts(3)) as [number, number, number];
  listenPort = port;
  base = `http://127.0.0.1:${port}`;
  server = await startCompanyServer({ dir: folder, port: sshPort, sshd, reaper, log: () => {} });
  await network.configure(
    [
      ["route", "direct"],
      [
        {
          server: "backend",
          host: server.host,
          port: server.port,
          user: server.user,
          hostKey: server.hostKey,
          listen: `127.0.0.1:${port}`,
        },
      ],
    ],
    [["macs", 0, "ports", "direct"], linePort],
  );
}, 900_000);

afterAll(async () => {
  console.log("report:", JSON.stringify(network?.report, null, 1));
  const ran = await sandbox("--reset");
  await server?.close();
  rmSync(folder, { recursive: true, force: true });
  expect(ran.code, said(ran)).toBe(0);
  expect(await strays()).toEqual([]);
});

describe("up with a direct line", () => {
  it("warns until the server is prepared; the paste connects it, and the next up changes nothing", async () => {
    expect(await network.up()).toMatch(/direct line of backend is not connected.*--prepare backend/s);
    const paste = await npm("commands/direct/main.ts", "--prepare", "backend");
    expect(paste.code, said(paste)).toBe(0);
    await server.run(paste.stdout.replace(/^sudo /, ""));
    await works(60_000);
    await network.noDrift();
    const doctor = await npm("commands/doctor/main.ts", "--json");
    const found = z.object({ findings: z.array(z.looseObject({ check: z.string(), level: z.string() })) });
    const { findings } = found.parse(JSON.parse(doctor.stdout));
    expect(findings.find(({ check }) => check === "direct line of backend")).toMatchObject({ level: "ok" });
  });

  it("serves OpenAI's client: streamed, Korean, 5 MB, 50 at once, cancelled", async () => {
    const line = client();
    let text = "";
    for await (const part of await line.chat.completions.create({
      ...chat("안녕하세요, 서울 날씨는?"),
      stream: true,
    })) {
      text += part.choices[0]?.delta.content ?? "";
    }
    const whole = await client(network.ready.url).chat.completions.create(chat("안녕하세요, 서울 날씨는?"));
    expect(text).toBe(whole.choices[0]?.message.content);
    expect(text).toMatch(/[가-힣]/);
    const large = await line.chat.completions.create({ ...chat("가".repeat(1_750_000)), max_tokens: 4 });
    expect(large.choices[0]?.message.content).toBeTruthy();
    const many = await Promise.all(
      Array.from({ length: 50 }, (_, n) => line.chat.completions.create({ ...chat(`${n} 동시에`), max_tokens: 4 })),
    );
    expect(many.every(({ choices }) => choices[0]?.message.content)).toBe(true);
    const before = await cancelled();
    const abort = new AbortController();
    const body = { ...chat("취소 ".repeat(500)), stream: true as const };
    const stream = await line.chat.completions.create(body, { signal: abort.signal });
    for await (const _ of stream) break;
    const left = performance.now();
    abort.abort();
    await eventually(async () => (await cancelled()) > before, 5_000);
    network.report["cancel noticed by the model server"] = `${(performance.now() - left).toFixed(0)} ms`;
    expect(performance.now() - left).toBeLessThan(1_000);
    expect((await line.chat.completions.create(chat("다음"))).choices[0]?.message.content).toBeTruthy();
  });

  it("accepts its own token only, an old secret until its end, and none of a caller that is switched off", async () => {
    const before = headers();
    const wrong = { ...before, "CF-Access-Client-Secret": "0".repeat(64) };
    expect([await onLine({}), await onLine(wrong), await onLine()]).toEqual([403, 403, 200]);
    const until = new Date(Date.now() + 3 * 3_600_000).toISOString().replace(/\.\d+/, "");
    await network.configure(
      [["access", "servers", 0, "secretVersion"], 2],
      [["access", "servers", 0, "previousSecretExpiresAt"], quoted(until)],
    );
    await network.up();
    const backend = await tokenOfStack();
    const after = { "CF-Access-Client-Id": backend.clientId, "CF-Access-Client-Secret": backend.clientSecret };
    expect(after).not.toEqual(before);
    expect([await onLine(before), await onLine(after)]).toEqual([200, 200]);
    network.ready.serviceTokens.backend = backend;
    await network.up("--expect-no-changes");
    await network.configure([["access", "servers", 0, "enabled"], false]);
    await network.up();
    expect(await onLine(after)).toBe(403);
    await network.configure([["access", "servers", 0, "enabled"], undefined]);
    await network.up();
    await works(30_000);
  });
});

describe("failures", () => {
  it("of the connection, the server, the port and the Mac end by themselves; callers with both addresses see none", async () => {
    const both = withBoth();
    both.start();
    server.signalSessions("SIGKILL");
    await recovery("the connection was cut", 60_000);
    server.signalSessions("SIGSTOP");
    await recovery("the server's end froze (SIGSTOP)", 180_000);
    await server.powerCut();
    await server.start();
    await recovery("the server restarted", 60_000);
    await server.powerCut();
    const squatter = createServer((socket) => socket.destroy()).listen(listenPort, "127.0.0.1");
    await server.start();
    await eventually(async () => (await lineLog()).includes("remote port forwarding failed"), 60_000);
    await new Promise((closed) => squatter.close(closed));
    await recovery("the taken port was free", 60_000);
    const { calls, failures } = await both.during("failures of the line");
    expect(calls).toBeGreaterThan(100);
    expect(failures).toEqual([]);
    await both.stop();
    await tell("power-cut");
    expect(await onLine()).toBe(0);
    await tell("power-returns");
    await recovery("the Mac's power returned", 120_000);
  });
});

describe("measuring", () => {
  it("shows with a far entry what the line saves, and what it adds on loopback", async () => {
    await tell("set", JSON.stringify({ edge: { latencyMs: 150 } }));
    const probe = await npm("commands/probe/main.ts", `--direct=${base}`, "--json", "--runs", "3");
    await tell("set", JSON.stringify({ edge: { latencyMs: 0 } }));
    const road = z.object({ connect: z.number(), firstByte: z.number(), whole: z.number() });
    const { roads } = z
      .looseObject({ roads: z.object({ public: road, direct: road }) })
      .parse(JSON.parse(probe.stdout));
    expect(roads.public.whole - roads.direct.whole).toBeGreaterThan(140);
    network.report["probe with an entry 150 ms away"] = JSON.stringify(roads);
    const text = await npm("commands/probe/main.ts", `--direct=${base}`, "--runs", "1");
    expect(text.stdout).toContain("Both roads, in ms");
    const streams = async (url: string) => {
      const began = performance.now();
      const all = await Promise.all(
        Array.from({ length: 64 }, async (_, n) => {
          let length = 0;
          const body = { ...chat(`${n} ${"긴 글 ".repeat(20)}`), max_tokens: 16, stream: true as const };
          for await (const part of await client(url).chat.completions.create(body)) {
            length += part.choices[0]?.delta.content?.length ?? 0;
          }
          return length;
        }),
      );
      expect(all.every((length) => length > 0)).toBe(true);
      return `${((performance.now() - began) / 1000).toFixed(1)} s`;
    };
    network.report["64 streams at once"] =
      `line ${await streams(base)}, public name ${await streams(network.ready.url)}`;
  });
});

describe("a token that is revoked in Cloudflare's dashboard", () => {
  it("works on the line until the drift job's preview has named it and up --refresh has replaced it", async () => {
    const before = headers();
    const token = z
      .object({ id: z.string() })
      .parse((await network.resources()).find(({ type }) => /serviceToken/i.test(type)));
    const account = `/accounts/${await accountId()}/access`;
    // A token that a policy names cannot be deleted: it is taken out of the policy first.
    const policies = z.array(z.looseObject({ id: z.string(), name: z.string(), decision: z.string() }));
    const naming = policies
      .parse(await cloudflare("GET", `${account}/policies`))
      .filter((policy) => JSON.stringify(policy).includes(token.id));
    for (const { id, name, decision } of naming) {
      const include = [{ ip: { ip: "192.0.2.1/32" } }];
      await cloudflare("PUT", `${account}/policies/${id}`, { name, decision, include });
    }
    await cloudflare("DELETE", `${account}/service_tokens/${token.id}`);
    expect(await onLine(before)).toBe(200);
    const drift = await network.pulumi("preview", "--refresh", "--diff", "--expect-no-changes");
    expect(drift.code, said(drift)).not.toBe(0);
    expect(said(drift)).toMatch(/service.?token/i);
    expect(await onLine(before)).toBe(200);
    await network.up("--refresh");
    network.ready.serviceTokens.backend = await tokenOfStack();
    expect([await onLine(before), await onLine()]).toEqual([403, 200]);
  });
});

describe("destroy", () => {
  it("leaves nothing on the Mac and says what to remove on the server", async () => {
    const text = await fine(network.pulumi("destroy", "--yes", "--skip-preview"));
    expect(text).toContain("npm run direct -- --remove backend");
    expect(existsSync(network.onMac("etc/slm-network"))).toBe(false);
    expect(existsSync(network.onMac("Library/LaunchDaemons/local.slm-network.direct.backend.plist"))).toBe(false);
    expect(await onLine()).toBe(0);
    const paste = await npm("commands/direct/main.ts", "--remove", "backend");
    expect(await server.run(paste.stdout.replace(/^sudo /, ""))).toContain("Nothing of the direct line is left");
  });
});
