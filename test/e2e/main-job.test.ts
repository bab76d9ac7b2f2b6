import { access, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import Cloudflare from "cloudflare";
import { MongoClient } from "mongodb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse, stringify } from "yaml";
import { z } from "zod";
import { withCredentials } from "../../components/document-store.ts";
import { modelServerLabel } from "../../sandbox/mac/outside-daemon.ts";
import { type Ready, whatToTry } from "../../sandbox/ready.ts";
import { eventually, folder, openai, project, pulumi, run, sandbox, start, strays, tokenHeaders } from "./harness.ts";

let here: Ready;
const chat = (content: string) => ({ model: here.chatModel, messages: [{ role: "user" as const, content }] });
const identity = async () =>
  z
    .object({ accountId: z.string(), zoneId: z.string(), cloudflareApiToken: z.string() })
    .catchall(z.unknown())
    .parse(JSON.parse(await readFile(join(folder, "identity.json"), "utf8")));
const stackFile = join(project, "Pulumi.sandbox-test.yaml");

/** What the model server saw, by its own account. */
const modelSaw = z.object({
  active: z.int(),
  cancelled: z.int(),
  last: z.array(z.object({ path: z.string(), requestBytes: z.int(), headerNames: z.array(z.string()) })),
});
const model = async () => modelSaw.parse(await (await fetch(`${here.model}/sandbox/requests`)).json());

beforeAll(async () => {
  await sandbox("--stop");
  here = await start();
});
afterAll(async () => {
  const ran = await sandbox("--reset");
  expect(ran.code, ran.stdout + ran.stderr).toBe(0);
  expect(await strays()).toEqual([]);
  await expect(access(folder)).rejects.toThrow();
  await expect(access(stackFile)).rejects.toThrow();
});

describe("a request through edge, Access, cloudflared, relay and model server", () => {
  it("is answered by OpenAI's client, whole and streamed, Korean intact", async () => {
    const client = openai(here);
    const whole = await client.chat.completions.create(chat("안녕하세요, 계약서를 요약해 주세요."));
    expect(whole.choices[0]?.message.content).toContain("안녕하세요, 계약서를 요약해 주세요.");
    let streamed = "";
    for await (const chunk of await client.chat.completions.create({ ...chat("대한민국 서울 🇰🇷"), stream: true })) {
      streamed += chunk.choices[0]?.delta.content ?? "";
    }
    expect(streamed).toContain("대한민국 서울 🇰🇷");
  });

  it("answers embeddings and models", async () => {
    const client = openai(here);
    const { data } = await client.embeddings.create({ model: here.embeddingModel, input: ["하나", "둘"] });
    expect(data).toHaveLength(2);
    expect(data[0]?.embedding.length).toBeGreaterThan(100);
    const models = await client.models.list();
    expect(models.data.map(({ id }) => id)).toContain(here.chatModel);
  });

  it("carries a body of 5 MB byte for byte, and none of Cloudflare's or the token's headers to the model", async () => {
    const body = JSON.stringify({ model: here.embeddingModel, input: "가".repeat((5 << 20) / 3) });
    const response = await fetch(`${here.url}/v1/embeddings`, {
      method: "POST",
      headers: { ...tokenHeaders(here), "content-type": "application/json", cookie: "a=b", authorization: "Bearer x" },
      body,
    });
    expect(response.status).toBe(200);
    expect(response.headers.get("cache-control")).toBe("no-store, no-transform");
    const seen = (await model()).last.findLast(({ path }) => path === "/v1/embeddings");
    expect(seen?.requestBytes).toBeGreaterThan(5_000_000);
    for (const name of seen?.headerNames ?? []) {
      expect(name).not.toMatch(/^(cf-|x-forwarded|cookie|authorization|cdn-loop)/i);
    }
  });

  it("takes 50 at once", async () => {
    const client = openai(here);
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, i) => client.chat.completions.create({ ...chat(`요청 ${i}`), max_tokens: 4 })),
    );
    expect(answers.every(({ choices }) => choices.length === 1)).toBe(true);
  });

  it("brings the events one by one, as the model says them", async () => {
    const response = await fetch(`${here.url}/v1/chat/completions`, {
      method: "POST",
      headers: { ...tokenHeaders(here), "content-type": "application/json" },
      // Some seconds' worth: on a busy machine the events of a third of a second may well arrive together.
      body: JSON.stringify({ ...chat("하나 둘 셋 넷 다섯 여섯 일곱 여덟 아홉 열 ".repeat(10)), stream: true }),
    });
    const arrivals: number[] = [];
    for await (const chunk of response.body!) if (chunk.length > 0) arrivals.push(performance.now());
    expect(arrivals.length).toBeGreaterThan(5);
    // Held back and sent together they would come within a few milliseconds of each other.
    expect(arrivals.at(-1)! - arrivals[0]!).toBeGreaterThan(500);
  });

  it("is over at the model server within a second once the client has gone", async () => {
    const before = (await model()).cancelled;
    const leave = new AbortController();
    const response = await fetch(`${here.url}/v1/chat/completions`, {
      method: "POST",
      headers: { ...tokenHeaders(here), "content-type": "application/json" },
      body: JSON.stringify({ ...chat("긴 이야기를 들려주세요. ".repeat(200)), stream: true }),
      signal: leave.signal,
    });
    await response.body!.getReader().read();
    leave.abort();
    await eventually(async () => (await model()).cancelled > before, 1_000);
  });

  it.each([
    ["without a token", {}],
    ["with a wrong secret", { "CF-Access-Client-Secret": "cfast_wrong" }],
    ["with a token made up", { "CF-Access-Client-Id": "0.access", "CF-Access-Client-Secret": "x" }],
    ["with an Access header of one's own", { "Cf-Access-Jwt-Assertion": "e30.e30.e30" }],
  ])("is turned away %s", async (what, change) => {
    const headers = what.startsWith("with a wrong") ? { ...tokenHeaders(here), ...change } : change;
    const response = await fetch(`${here.url}/v1/models`, {
      headers: headers as Record<string, string>,
      redirect: "manual",
    });
    expect(response.status).toBe(403);
    expect(await response.text()).not.toContain(here.chatModel);
  });

  it.each([
    ["DELETE", "/api/delete"],
    ["POST", "/api/delete"],
    ["POST", "/api/pull"],
    ["GET", "/status/../v1/models"],
    ["GET", "//v1/models"],
  ])("%s %s is refused, with the token too", async (method, path) => {
    const { request } = await import("node:http"); // fetch would tidy the path
    const { status, body } = await new Promise<{ status: number | undefined; body: string }>((resolve, reject) => {
      const { hostname: host, port } = new URL(here.url);
      request({ host, port, method, path, headers: tokenHeaders(here) }, (response) => {
        text(response).then((body) => resolve({ status: response.statusCode, body }), reject);
      })
        .on("error", reject)
        .end();
    });
    // By the relay, which does not serve the path, or by Access.
    if (path.startsWith("/api")) expect(status).toBe(404);
    if (status === 404) expect(body).toContain('"not_found"');
    else expect([302, 403]).toContain(status);
  });

  it("is answered to the curl lines it prints, as printed", async () => {
    const [streamed, refused] = whatToTry(here, { stopHint: "", curlOptions: "" })
      .replaceAll("\\\n", "")
      .split("\n")
      .map((line) => line.trim())
      .filter((line) => line.startsWith("curl "));
    const answer = await run("/bin/sh", ["-c", streamed!]);
    expect(answer.stdout).toContain("data: ");
    expect(answer.stdout).toContain("data: [DONE]");
    expect((await run("/bin/sh", ["-c", refused!])).stdout).toMatch(/^HTTP\/1\.1 403 /);
  });

  it("keeps servers off the page for people", async () => {
    const response = await fetch(`${here.url}/status`, { headers: tokenHeaders(here), redirect: "manual" });
    expect(response.status).not.toBe(200);
  });
});

describe("the sandbox's command", () => {
  it("leaves sandbox.json to its owner alone", async () => {
    expect((await stat(join(folder, "sandbox.json"))).mode & 0o777).toBe(0o600);
  });

  it("refuses to start a second one", async () => {
    const ran = await sandbox("--detach");
    expect(ran.code).not.toBe(0);
    expect(ran.stderr).toMatch(/runs here already.*--stop/);
    const foreground = await sandbox();
    expect(foreground.code).not.toBe(0);
  });

  it("prints variables for the shell, with which the plain engine works", async () => {
    const ran = await run("/bin/sh", [
      "-c",
      `eval "$('${process.execPath}' sandbox/main.ts --env)" && pulumi stack output hostname`,
    ]);
    expect(ran.stdout.trim(), ran.stderr).toBe(here.hostname);
  });

  it("goes to its own accounts even from a shell that has those of a real stack", async () => {
    const shell = {
      CLOUDFLARE_API_KEY: "0".repeat(37),
      CLOUDFLARE_EMAIL: "ops@example.com",
      CLOUDFLARE_API_TOKEN: "a-real-one",
      MONGODB_ATLAS_PUBLIC_API_KEY: "comes-first",
      MONGODB_ATLAS_PRIVATE_API_KEY: "comes-first",
      MONGODB_ATLAS_BASE_URL: "https://cloud.mongodb.com",
      ASSUME_ROLE_ARN: "arn:aws:iam::123456789012:role/x",
      SLM_NETWORK_SSH_AT: "127.0.0.1:9",
    };
    const ran = await run(
      "/bin/sh",
      [
        "-c",
        `eval "$('${process.execPath}' sandbox/main.ts --env)" && pulumi refresh --yes --skip-preview --non-interactive && '${process.execPath}' commands/preflight/main.ts`,
      ],
      shell,
    );
    expect(ran.code, ran.stdout + ran.stderr).toBe(0);
  });
});

describe("the engine", () => {
  it("finds nothing to change the second time, nor anything drifted", async () => {
    const up = await pulumi(here, "up", "--yes", "--skip-preview", "--expect-no-changes");
    expect(up.code, up.stdout + up.stderr).toBe(0);
    const refresh = await pulumi(here, "refresh", "--yes", "--skip-preview", "--expect-no-changes");
    expect(refresh.code, refresh.stdout + refresh.stderr).toBe(0);
  });

  it("keeps every secret out of its plain state, its output and the Mac's process list", async () => {
    const { stdout: state } = await pulumi(here, "stack", "export");
    const { stdout: outputs } = await pulumi(here, "stack", "output", "--json");
    const processes = (await strays()).join("\n");
    const { tunnelSecret, atlasSchemaPassword, atlasRelayPassword } = await identity();
    const secrets = [tunnelSecret, atlasSchemaPassword, atlasRelayPassword, here.serviceTokens.backend?.clientSecret];
    expect(state).toContain("ciphertext");
    for (const secret of secrets) {
      for (const form of [
        String(secret),
        encodeURIComponent(String(secret)),
        Buffer.from(String(secret)).toString("base64"),
      ]) {
        expect(state).not.toContain(form);
        expect(outputs).not.toContain(form);
        expect(processes).not.toContain(form);
      }
    }
  });

  it("shows a TTL that was changed by hand, and mends it", async () => {
    const { atlasSchemaPassword } = await identity();
    const client = new MongoClient(withCredentials(here.mongodbUri, "slm-schema", String(atlasSchemaPassword)));
    try {
      const db = client.db("slm");
      await db.command({ collMod: "documents", index: { name: "lastAccessedAt_ttl", expireAfterSeconds: 60 } });
      const refresh = await pulumi(here, "refresh", "--yes", "--skip-preview");
      expect(refresh.stdout).toMatch(/TtlCollection.*updated/);
      const preview = await pulumi(here, "preview", "--expect-no-changes");
      expect(preview.code).not.toBe(0);
      const up = await pulumi(here, "up", "--yes", "--skip-preview");
      expect(up.code, up.stdout + up.stderr).toBe(0);
      const indexes = await db.collection("documents").indexes();
      expect(indexes.find(({ name }) => name === "lastAccessedAt_ttl")?.expireAfterSeconds).toBe(30 * 86_400);
    } finally {
      await client.close();
    }
  });

  it("refuses a wrong config with every fault at once, before anything is declared", async () => {
    const { config, ...rest } = parse(await readFile(stackFile, "utf8")) as { config: Record<string, unknown> };
    const wrong: Record<string, unknown> = {
      ...config,
      "slm-network:hostname": "Bad_Host",
      "slm-network:documents": { store: "atlas", ttlDays: 0 },
      "slm-network:macs": [...(config["slm-network:macs"] as unknown[]), { host: "second" }],
      "slm-network:route": { mode: "dns-only" },
    };
    delete wrong["slm-network:zoneId"];
    const file = join(tmpdir(), `slm-network-wrong-${process.pid}.yaml`);
    await writeFile(file, stringify({ ...rest, config: wrong }));
    const ran = await pulumi(here, "preview", "--config-file", file);
    await rm(file);
    const said = ran.stdout + ran.stderr;
    expect(ran.code).not.toBe(0);
    for (const fault of [
      /hostname: "Bad_Host"/,
      /zoneId: .*is missing/,
      /ttlDays: 0/,
      /two or more Macs/,
      /DNS-only/,
      /atlas: is missing/,
    ]) {
      expect(said).toMatch(fault);
    }
    expect(said).not.toMatch(/cloudflare:index/);
    expect(said).not.toMatch(/\.ts:\d+/); // no stack trace
  });
});

describe("a crash", () => {
  it("leaves no stray process, and the next start is the same network", async () => {
    const { pid } = z
      .object({ pid: z.int() })
      .loose()
      .parse(JSON.parse(await readFile(join(folder, "lock.json"), "utf8")));
    expect((await strays()).length).toBeGreaterThan(1);
    process.kill(pid, "SIGKILL");
    await eventually(async () => (await strays()).length === 0, 5_000);
    const before = here;
    here = await start();
    expect(here.url).toBe(before.url);
    expect(here.serviceTokens).toEqual(before.serviceTokens);
    const answer = await openai(here).chat.completions.create(chat("다시 켜졌습니다"));
    expect(answer.choices[0]?.message.content).toContain("다시 켜졌습니다");
  });
});

describe("destroy", () => {
  it("leaves nothing in the accounts, and nothing on the Mac but its data", async () => {
    const ran = await pulumi(here, "destroy", "--yes", "--skip-preview");
    expect(ran.code, ran.stdout + ran.stderr).toBe(0);
    const { accountId, zoneId, cloudflareApiToken } = await identity();
    const client = new Cloudflare({ apiToken: cloudflareApiToken, baseURL: here.cloudflareApi });
    const account = { account_id: accountId };
    const left = await Promise.all([
      client.zeroTrust.tunnels.cloudflared.list({ ...account, is_deleted: false }),
      client.zeroTrust.access.applications.list(account),
      client.zeroTrust.access.policies.list(account),
      client.zeroTrust.access.serviceTokens.list(account),
      client.dns.records.list({ zone_id: zoneId }),
    ]);
    expect(left.map((page) => page.result)).toEqual([[], [], [], [], []]);
    const atlas = JSON.parse(await readFile(join(folder, "atlas.json"), "utf8")) as Record<string, unknown>;
    expect(atlas).toMatchObject({ users: {}, accessList: {} });

    const mac = (path: string) => join(here.macRoot, path);
    expect(await readdir(mac("Library/LaunchDaemons"))).toEqual([`${modelServerLabel}.plist`]);
    for (const gone of ["usr/local/slm-network", "etc/slm-network", "var/log/slm-network"]) {
      await expect(access(mac(gone)), gone).rejects.toThrow();
    }
    await access(mac("var/db/slm-network"));
    expect(await strays()).toEqual([]);
  });
});
