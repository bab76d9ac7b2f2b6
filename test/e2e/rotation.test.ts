/** Rotations from the command to the edge, with a client that calls ten times a second all the while. */
import { access, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { parse, parseDocument, stringify } from "yaml";
import { z } from "zod";
import { neededPermissions, permissionName } from "../../accounts/permissions.ts";
import { CloudflareAccount } from "../../sandbox/cloudflare/account.ts";
import { startCloudflareApi } from "../../sandbox/cloudflare/api.ts";
import { teamDomain, zoneName } from "../../sandbox/instance.ts";
import type { Ready } from "../../sandbox/ready.ts";
import { eventually, folder, inFolder, project, pulumi, run, sandbox, start, strays } from "./harness.ts";

inFolder(".sandbox-rotation");
// Each runs the engine several times; on a machine that is busy with other things that takes minutes.
vi.setConfig({ testTimeout: 900_000 });

/** What a preview's API token needs, by the names of Cloudflare's dashboard. */
const readOnly = neededPermissions({ alerts: { emails: ["ops@example.com"] }, route: {} }, true).map(permissionName);

type Secret = Ready["serviceTokens"][string];

let here: Ready;
let first: Secret;
let client: Client;
const stackFile = join(project, "Pulumi.sandbox-rotation.yaml");
const rotate = (...args: string[]) => run(process.execPath, ["commands/rotate/main.ts", ...args], here.environment);

const identity = async () =>
  z
    .looseObject({ accountId: z.string(), zoneId: z.string(), ports: z.looseObject({ relayAdmin: z.int() }) })
    .parse(JSON.parse(await readFile(join(folder, "identity.json"), "utf8")));

const headers = ({ clientId, clientSecret }: Secret) => ({
  "CF-Access-Client-Id": clientId,
  "CF-Access-Client-Secret": clientSecret,
});
const statusWith = async (secret: Secret) => {
  const response = await fetch(`${here.url}/v1/models`, { headers: headers(secret), redirect: "manual" });
  await response.arrayBuffer();
  return response.status;
};

/** Calls every 100 ms, whether or not the last call has been answered, and remembers everything that was not a 200. */
class Client {
  secret: Secret;
  calls = 0;
  readonly failures: string[] = [];
  readonly #timer: NodeJS.Timeout;
  readonly #running = new Set<Promise<void>>();

  constructor(secret: Secret) {
    this.secret = secret;
    this.#timer = setInterval(() => {
      const call = this.#call().finally(() => this.#running.delete(call));
      this.#running.add(call);
    }, 100);
  }

  async #call(): Promise<void> {
    this.calls++;
    const at = new Date().toISOString();
    try {
      const status = await statusWith(this.secret);
      if (status !== 200) this.failures.push(`${at} ${status}`);
    } catch (error) {
      this.failures.push(`${at} ${String(error)}`);
    }
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#running);
  }
}

/** @returns the secret that the stack knows now */
async function issued(): Promise<Secret> {
  const { stdout } = await pulumi(here, "stack", "output", "serviceTokens", "--show-secrets", "--json");
  return z.object({ backend: z.object({ clientId: z.string(), clientSecret: z.string() }) }).parse(JSON.parse(stdout))
    .backend;
}

async function up(...args: string[]): Promise<string> {
  const ran = await pulumi(here, "up", "--yes", "--skip-preview", ...args);
  expect(ran.code, ran.stdout + ran.stderr).toBe(0);
  return ran.stdout;
}

async function previousExpiry(): Promise<number> {
  const text = /previousSecretExpiresAt: "([^"]+)"/.exec(await readFile(stackFile, "utf8"))?.[1];
  return Date.parse(text ?? "");
}

beforeAll(async () => {
  await sandbox("--reset");
  here = await start();
  first = here.serviceTokens.backend!;
  client = new Client(first);
});
afterAll(async () => {
  await client?.stop();
  const ran = await sandbox("--reset");
  expect(ran.code, ran.stdout + ran.stderr).toBe(0);
  expect(await strays()).toEqual([]);
  await expect(access(folder)).rejects.toThrow();
});

describe("a service token's rotation", () => {
  it("is stopped, in the preview and in `up`, while less than an hour of the overlap is left", async () => {
    expect((await rotate("backend", "--overlap", "30m")).stderr).toMatch(/--overlap is 30 minutes/);
    const anHour = await rotate("backend", "--overlap", "1h"); // too little by the time that `up` runs
    expect(anHour.code).toBe(1);
    expect(anHour.stderr).toMatch(/The least is 2 hours: --overlap 2h/);
    const written = await rotate("backend", "--overlap", "30m", "--force");
    expect(written.code, written.stderr).toBe(0);
    expect(written.stdout).toMatch(/SLM_NETWORK_FORCE_ROTATION=1/);
    for (const args of [["preview"], ["up", "--yes", "--skip-preview"]]) {
      const ran = await pulumi(here, ...args);
      expect(ran.code).not.toBe(0);
      expect(ran.stdout + ran.stderr).toMatch(/"backend" is not rotated.*(29|30) min.*rotate -- backend --extend/s);
    }
    expect(await issued()).toEqual(first);
    expect(client.failures).toEqual([]);
  });

  it("shows one update, and issues a new secret beside which the old one works", async () => {
    const before = await readFile(stackFile, "utf8");
    const extended = await rotate("backend", "--extend", "--overlap", "2h");
    expect(extended.code, extended.stderr).toBe(0);
    const after = await readFile(stackFile, "utf8");
    expect(after.split("\n").filter((line) => !before.includes(line))).toHaveLength(1);

    const preview = await pulumi(here, "preview");
    expect(preview.stdout).toMatch(
      /ZeroTrustAccessServiceToken slm-token-backend update \[diff: ~?.*clientSecretVersion/,
    );
    expect(preview.stdout).toMatch(/~ 1 to update\s+\d+ unchanged/);
    await up();
    const second = await issued();
    expect(second.clientId).toBe(first.clientId);
    expect(second.clientSecret).not.toBe(first.clientSecret);
    expect(await Promise.all([statusWith(first), statusWith(second)])).toEqual([200, 200]);
    client.secret = second;
    const life = await pulumi(here, "stack", "output", "serviceTokenEndOfLife", "--json");
    expect(Date.parse((JSON.parse(life.stdout) as { backend: string }).backend)).toBeGreaterThan(Date.now());
    expect(client.failures).toEqual([]);
  });

  it("is refused a second time inside the overlap, with the time at which it becomes possible", async () => {
    const ran = await rotate("backend");
    expect(ran.code).toBe(1);
    const until = new Date(await previousExpiry()).toISOString().replace(".000Z", "Z");
    expect(ran.stderr).toMatch(new RegExp(`becomes possible in \\d+ (minutes|hours?), at ${until}`));

    // The program itself refuses a manual or forced change.
    const before = await readFile(stackFile, "utf8");
    for (const [version, reason] of [
      ["3", `works until ${until}, and a second rotation would end it at once`],
      ["1", "is 1, and 2 is deployed: put secretVersion: 2"],
    ] as const) {
      const document = parseDocument(before);
      document.setIn(["config", "slm-network:access", "servers", 0, "secretVersion"], Number(version));
      if (version === "1") document.deleteIn(["config", "slm-network:access", "servers", 0, "previousSecretExpiresAt"]);
      await writeFile(stackFile, document.toString());
      const stopped = await pulumi(here, "preview");
      expect(stopped.code).not.toBe(0);
      expect(stopped.stdout + stopped.stderr).toContain(reason);
    }
    await writeFile(stackFile, before);
  });

  it("leaves the old secret at 403 after its time, and not before", async () => {
    await rotate("backend", "--extend", "--overlap", "20s", "--force");
    await up();
    const until = await previousExpiry();
    let lastGood = 0;
    await eventually(async () => {
      const asked = Date.now();
      const status = await statusWith(first);
      if (status === 200) lastGood = asked;
      else expect([status, Date.now() >= until]).toEqual([403, true]);
      return status === 403;
    }, 60_000);
    expect(lastGood).toBeLessThan(until);
    expect(await statusWith(client.secret)).toBe(200);
    expect(client.failures).toEqual([]);
  });
});

describe("the token's own life", () => {
  const mails = async () => {
    const names = (await readdir(join(folder, "mail")).catch(() => [])).filter((name) => name.endsWith(".eml"));
    return Promise.all(names.map((name) => readFile(join(folder, "mail", name), "utf8")));
  };
  const life = async () => {
    const { stdout } = await pulumi(here, "stack", "output", "serviceTokenEndOfLife", "--json");
    return Date.parse((JSON.parse(stdout) as { backend: string }).backend);
  };

  it("is warned of when it comes to its end, shown and prolonged by the same command", async () => {
    const document = parseDocument(await readFile(stackFile, "utf8"));
    document.setIn(["config", "slm-network:access", "servers", 0, "duration"], "100h");
    await writeFile(stackFile, document.toString());
    await up();
    const soon = await life();
    expect(soon).toBeLessThan(Date.now() + 5 * 86_400_000);
    const warned = await pulumi(here, "preview");
    expect(warned.stdout + warned.stderr).toMatch(/warning: .*"backend" ends in 5 days.*rotate -- backend --prolong/s);

    // Cloudflare itself mails, by the notification policy that was declared.
    await eventually(async () => (await mails()).some((mail) => /^Subject: .*service token/im.test(mail)), 120_000);

    const before = await readFile(stackFile, "utf8");
    const prolonged = await rotate("backend", "--prolong");
    expect(prolonged.code, prolonged.stderr).toBe(0);
    expect(prolonged.stdout).toMatch(/duration: 100h → 8860h[\s\S]*own life ends in 4 days/);
    const after = await readFile(stackFile, "utf8");
    expect(after.split("\n").filter((line) => !before.includes(line))).toEqual([expect.stringContaining("8860h")]);
    await up();
    expect(await life()).toBeGreaterThan(soon + 300 * 86_400_000);
    expect((await pulumi(here, "preview")).stdout).not.toMatch(/warning: .*ends in/);
    expect(client.failures).toEqual([]);
  });
});

describe("the tunnel's rotation", () => {
  it("hands over to a new connector; what runs meanwhile is answered to its end", async () => {
    const tokenFile = join(here.macRoot, "etc/slm-network/tunnel-token");
    const before = await readFile(tokenFile, "utf8");
    const made = await rotate("tunnel");
    expect(made.code, made.stderr).toBe(0);
    const secret = /tunnelSecret:\s+secure: (\S+)/.exec(await readFile(stackFile, "utf8"))?.[1];
    expect(secret).toMatch(/^v1:/);

    const callsBefore = client.calls;
    // One begins every three seconds and speaks for about ten: some of them are in the middle whenever a connector goes.
    const stories: Promise<string>[] = [];
    const begin = () => void stories.push(tellStory());
    begin();
    const teller = setInterval(begin, 3_000);
    const report = await up().finally(() => clearInterval(teller));
    expect(await readFile(tokenFile, "utf8")).not.toBe(before);
    const told = await Promise.all(stories);
    expect(told.length).toBeGreaterThan(3);
    expect(told.filter((text) => !text.trimEnd().endsWith("data: [DONE]"))).toEqual([]);
    expect(report).toMatch(/2 (updated|to update)/);
    expect(await connectors()).toBe(1);
    expect((await strays()).filter((line) => line.includes("cloudflared"))).toHaveLength(1);
    expect(client.calls - callsBefore).toBeGreaterThan(50);
    expect(client.failures).toEqual([]);
  });

  /** @returns a streamed answer of about ten seconds, whole */
  async function tellStory(): Promise<string> {
    const response = await fetch(`${here.url}/v1/chat/completions`, {
      method: "POST",
      headers: { ...headers(client.secret), "content-type": "application/json" },
      body: JSON.stringify({
        model: here.chatModel,
        stream: true,
        messages: [{ role: "user", content: "옛날 옛적에 ".repeat(250) }],
      }),
    });
    return response.text();
  }

  /** Connectors that the account shows for the tunnel. */
  async function connectors(): Promise<number> {
    const { stdout: id } = await pulumi(here, "stack", "output", "tunnelId");
    const { accountId } = await identity();
    const response = await fetch(`${here.cloudflareApi}/accounts/${accountId}/cfd_tunnel/${id.trim()}/connections`, {
      headers: { authorization: `Bearer ${here.environment.CLOUDFLARE_API_TOKEN}` },
    });
    return z.object({ result: z.array(z.unknown()) }).parse(await response.json()).result.length;
  }
});

describe("a rotation of the keys that Access signs with", () => {
  it("is taken by cloudflared and by the relay while they run", async () => {
    const ran = await sandbox("--do", "rotate-keys");
    expect(ran.code, ran.stderr).toBe(0);
    const before = client.calls;
    await eventually(async () => client.calls > before + 30, 60_000);
    expect(client.failures).toEqual([]);
  });
});

describe("a pull request's preview", () => {
  it("needs a key that may only read, and neither the Mac nor MongoDB", async () => {
    const { accountId, zoneId } = await identity();
    const asked: string[] = [];
    const account = new CloudflareAccount({
      accountId,
      zone: { id: zoneId, name: zoneName },
      teamDomain,
      apiTokens: [{ value: "only-reads", permissions: readOnly }],
      statePath: join(folder, "cloudflare-copy.json"),
    });
    const api = await startCloudflareApi(account, { port: 0, log: (line) => asked.push(line) });
    const file = join(tmpdir(), `slm-network-read-only-${process.pid}.yaml`);
    try {
      const stack = parse(await readFile(stackFile, "utf8")) as { config: Record<string, unknown> };
      const [mac] = stack.config["slm-network:macs"] as Record<string, unknown>[];
      stack.config["cloudflare:baseUrl"] = api.url;
      stack.config["slm-network:macs"] = [{ ...mac, host: "192.0.2.1" }]; // RFC 5737: leads nowhere
      await writeFile(file, stringify(stack, { defaultStringType: "QUOTE_DOUBLE", defaultKeyType: "PLAIN" }));
      const ran = await run(
        here.pulumi.bin,
        ["preview", "--non-interactive", "--color=never", "--config-file", file, "--policy-pack", "policy/pack"],
        { ...here.environment, CLOUDFLARE_API_TOKEN: "only-reads", SSH_AUTH_SOCK: "" },
      );
      expect(ran.code, ran.stdout + ran.stderr).toBe(0);
      expect(ran.stdout).toMatch(/Installation slm-mac-install update/);
      expect(ran.stdout).toMatch(/reach the Mac at deploy@192\.0\.2\.1/);
      expect(asked).toEqual([]); // it logs what is refused, and what is no GET
    } finally {
      await api.close();
      account.close();
      await rm(file, { force: true });
    }
  });
});

describe("a token that is switched off", () => {
  it("is dead at the next `up`, and the relay drops it without a restart", async () => {
    const { ports } = await identity();
    const admin = `http://127.0.0.1:${ports.relayAdmin}`;
    const startedAt = async () =>
      z.object({ startedAt: z.string() }).parse(await (await fetch(`${admin}/details`)).json()).startedAt;
    const before = await startedAt();
    await client.stop();
    const document = parseDocument(await readFile(stackFile, "utf8"));
    document.setIn(["config", "slm-network:access", "servers", 0, "enabled"], false);
    await writeFile(stackFile, document.toString());
    await up();
    expect(await statusWith(client.secret)).toBe(403);
    const { callers } = z
      .object({ callers: z.array(z.object({ enabled: z.boolean() })) })
      .parse(await (await fetch(`${admin}/config`)).json());
    expect(callers).toEqual([{ enabled: false }]);
    expect(await startedAt()).toBe(before);
    expect(client.failures).toEqual([]);
    console.log(`${client.calls} calls through all rotations, ${client.failures.length} failures`);
  });
});
