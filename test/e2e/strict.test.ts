/** Drift, damage and interruption, with the real engine against the emulators; its own sandbox. */
import { type ChildProcess, spawn } from "node:child_process";
import { access, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import Cloudflare from "cloudflare";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { z } from "zod";
import type { PageState } from "../../runtime/relay/status/page-data.ts";
import { withoutStrays } from "../../sandbox/providers/environment.ts";
import { type Ready, readySchema } from "../../sandbox/ready.ts";
import { eventually, project, pulumi, type Ran, run, tokenHeaders } from "./harness.ts";

const folder = join(project, ".sandbox-strict");
const settings = { SANDBOX_DIR: folder, SANDBOX_TTL_MONITOR_MS: "500" };
const sandbox = (...args: string[]): Promise<Ran> => run(process.execPath, ["sandbox/main.ts", ...args], settings);
const recover = (...args: string[]): Promise<Ran> =>
  run(process.execPath, ["commands/recover/main.ts", ...args], here.environment);
const identitySchema = z.object({ accountId: z.string(), zoneId: z.string(), cloudflareApiToken: z.string() });

/** Several runs of the engine each. */
const long = 900_000;

let here: Ready;
let ids: z.infer<typeof identitySchema>;
let client: Cloudflare;

const said = (ran: Ran) => ran.stdout + ran.stderr;
const up = () => pulumi(here, "up", "--yes", "--skip-preview");
const models = () => fetch(`${here.url}/v1/models`, { headers: tokenHeaders(here) }).then(({ status }) => status);

async function tell(...args: string[]): Promise<void> {
  const ran = await sandbox("--do", ...args);
  expect(ran.code, said(ran)).toBe(0);
}

/** Everything the program declares in the account, by kind. */
async function declared() {
  const account = { account_id: ids.accountId };
  const [tunnels, apps, policies, tokens, records] = await Promise.all([
    client.zeroTrust.tunnels.cloudflared.list({ ...account, is_deleted: false }),
    client.zeroTrust.access.applications.list(account),
    client.zeroTrust.access.policies.list(account),
    client.zeroTrust.access.serviceTokens.list(account),
    client.dns.records.list({ zone_id: ids.zoneId }),
  ]);
  const names = (list: { name?: string }[]) => list.map(({ name }) => name).sort();
  return {
    tunnels: names(tunnels.result),
    apps: names(apps.result as { name?: string }[]),
    policies: names(policies.result),
    tokens: names(tokens.result),
    records: records.result.map(({ id, name }) => ({ id, name })),
  };
}
const withoutIds = ({ records, ...rest }: Awaited<ReturnType<typeof declared>>) => ({
  ...rest,
  records: records.map(({ name }) => name),
});

beforeAll(async () => {
  await sandbox("--stop");
  const ran = await sandbox("--detach");
  expect(ran.code, said(ran)).toBe(0);
  here = readySchema.parse(JSON.parse(await readFile(join(folder, "sandbox.json"), "utf8")));
  ids = identitySchema.parse(JSON.parse(await readFile(join(folder, "identity.json"), "utf8")));
  client = new Cloudflare({ apiToken: ids.cloudflareApiToken, baseURL: here.cloudflareApi });
});
afterAll(async () => {
  const ran = await sandbox("--reset");
  expect(ran.code, said(ran)).toBe(0);
  await expect(access(folder)).rejects.toThrow();
});

it("signs a person in by the code that would have come by e-mail, and shows the status page", async () => {
  const browser = { accept: "text/html" };
  const away = await fetch(`${here.url}/status`, { headers: browser, redirect: "manual" });
  const login = new URL(away.headers.get("location") ?? "", here.url);
  const sent = await fetch(login, { method: "POST", body: new URLSearchParams({ email: "director@example.com" }) });
  const request = /name="request" value="([^"]+)"/.exec(await sent.text())?.[1] ?? "";
  const code = /^(\d{6})$/m.exec(await readFile(here.mail, "utf8"))?.[1] ?? "";
  const body = new URLSearchParams({ request, code });
  const verified = await fetch(`${here.url}/cdn-cgi/access/verify`, { method: "POST", body, redirect: "manual" });
  const authorized = new URL(verified.headers.get("location") ?? "", here.url);
  const begun = await fetch(authorized, { redirect: "manual" });
  expect(begun.headers.get("location")).toBe("/status");
  const cookie = begun.headers.get("set-cookie")?.split(";")[0] ?? "";
  const page = await fetch(`${here.url}/status`, { headers: { ...browser, cookie } });
  expect(page.status).toBe(200);
  expect(page.headers.get("content-type")).toContain("text/html");
  // The page's program came with the release, and what the stack's config says reached the Mac.
  expect(await page.text()).toContain('data-operator="true"');
  const ask = (path: string) => fetch(here.url + path, { headers: { cookie } });
  const program = await ask("/status/app.js");
  expect([program.status, program.headers.get("content-type")]).toEqual([200, "text/javascript; charset=utf-8"]);
  const events = (await ask("/status/events")).body!.pipeThrough(new TextDecoderStream());
  let text = "";
  for await (const chunk of events) {
    text += chunk;
    if (/^data: .*\n\n/m.test(text)) break;
  }
  const state = JSON.parse(/^data: (.*)$/m.exec(text)![1]!) as PageState;
  expect(state.tokens).toMatchObject([{ name: "backend", enabled: true }]);
  // A year's token was issued just now.
  expect(Math.abs((state.tokens[0]!.issuedAt ?? 0) - Date.now())).toBeLessThan(3_600_000);
  const midnight = new Date().setHours(0, 0, 0, 0);
  const usage = await ask(`/status/usage.json?span=hour&today=${midnight}&month=${midnight}`);
  expect(await usage.json()).toMatchObject({ span: "hour", stepMs: 60_000 });
});

describe("drift", () => {
  it("on DNS, ingress and a policy shows in refresh, and up mends it", { timeout: long }, async () => {
    const before = await declared();
    const account = { account_id: ids.accountId };
    await client.dns.records.delete(before.records[0]!.id, { zone_id: ids.zoneId });
    const [tunnel] = (await client.zeroTrust.tunnels.cloudflared.list({ ...account, is_deleted: false })).result;
    await client.zeroTrust.tunnels.cloudflared.configurations.update(tunnel!.id!, {
      ...account,
      config: { ingress: [{ service: "http_status:418" } as never] },
    });
    const policies = (await client.zeroTrust.access.policies.list(account)).result;
    const servers = policies.find(({ decision }) => decision === "non_identity")!;
    await client.zeroTrust.access.policies.update(servers.id!, {
      ...account,
      name: servers.name!,
      decision: "non_identity",
      include: [{ any_valid_service_token: {} }],
      session_duration: "24h",
    });
    expect(await models()).toBe(530); // without the record nobody finds the way

    // Also in a bad hour: the providers try again.
    await tell("fault", '{"api":"cloudflare","method":"GET","path":"/dns_records/","status":429,"times":1}');
    await tell("fault", '{"api":"cloudflare","method":"GET","path":"/configurations$","status":503,"times":1}');
    const refresh = await pulumi(here, "refresh", "--yes", "--skip-preview");
    expect(refresh.code, said(refresh)).toBe(0);
    expect(refresh.stdout).toMatch(/DnsRecord slm-dns.*deleted/);
    expect(refresh.stdout).toMatch(/TunnelCloudflaredConfig slm-ingress.*updated.*config/);
    expect(refresh.stdout).toMatch(/ZeroTrustAccessPolicy slm-policy-servers.*updated.*includes/);

    // A pull request's credentials can preview changes but not make them.
    const readOnly = { ...here, environment: here.previewEnvironment };
    const preview = await pulumi(readOnly, "preview");
    expect(preview.code, said(preview)).toBe(0);
    expect(preview.stdout).toMatch(/1 to create[\s\S]*2 to update/);
    const refused = await pulumi(readOnly, "up", "--yes", "--skip-preview");
    expect(refused.code).not.toBe(0);
    for (const needed of ["DNS", "Cloudflare Tunnel", "Access: Apps and Policies"]) {
      expect(said(refused)).toContain(`the API token lacks ${needed} Write`);
    }

    const mended = await up();
    expect(mended.code, said(mended)).toBe(0);
    expect(withoutIds(await declared())).toEqual(withoutIds(before));
    await eventually(async () => (await models()) === 200, 10_000);
    const after = (await client.zeroTrust.access.policies.list(account)).result;
    expect(after.find(({ id }) => id === servers.id)?.include).toEqual(servers.include);
  });

  it("on the Mac shows in a preview, and the next up mends it", { timeout: long }, async () => {
    const plists = join(here.macRoot, "Library/LaunchDaemons");
    const plist = join(plists, "local.slm-network.relay.plist");
    const wanted = await readFile(plist, "utf8");
    await rm(plist);
    expect(await models()).toBe(200); // launchd has it loaded; the damage shows at the next start
    const preview = await pulumi(here, "preview", "--expect-no-changes");
    expect(preview.code).not.toBe(0);
    expect(said(preview)).toMatch(/repair what was changed by hand: .*local\.slm-network\.relay\.plist: missing/);
    const again = await up();
    expect(again.code, said(again)).toBe(0);
    expect(await readFile(plist, "utf8")).toBe(wanted);

    await tell("power-cut");
    expect([502, 530]).toContain(await models());
    await tell("boot");
    await eventually(async () => (await models()) === 200, 60_000);
  });
});

describe("a replacement", () => {
  const program = join(folder, "replacement");
  const engine = (...args: string[]) => pulumi(here, "--cwd", program, "--stack", "replacement", ...args);
  const tunnels = async () => {
    const { result } = await client.zeroTrust.tunnels.cloudflared.list({
      account_id: ids.accountId,
      is_deleted: false,
    });
    return result.filter(({ name }) => name === "twice").map(({ id }) => id);
  };
  const set = (configSrc: string, ...more: string[]) => {
    const config = [`accountId=${ids.accountId}`, `configSrc=${configSrc}`, `cloudflare:baseUrl=${here.cloudflareApi}`];
    return [...config, ...more].flatMap((one) => ["--config", one]);
  };

  beforeAll(async () => {
    await mkdir(program, { recursive: true });
    const options = "options: { typescript: false }";
    await writeFile(
      join(program, "Pulumi.yaml"),
      `name: replacement\nmain: index.js\nruntime: { name: nodejs, ${options} }\n`,
    );
    await writeFile(
      join(program, "index.js"),
      `import * as cloudflare from "@pulumi/cloudflare";
import * as pulumi from "@pulumi/pulumi";
const config = new pulumi.Config();
const args = { accountId: config.require("accountId"), name: "twice", configSrc: config.require("configSrc") };
new cloudflare.ZeroTrustTunnelCloudflared("twice", args, { deleteBeforeReplace: config.getBoolean("first") });
`,
    );
    const made = await pulumi(here, "--cwd", program, "stack", "init", "replacement");
    expect(made.code, said(made)).toBe(0);
  });

  it("makes the new one first, as with the official provider: a name that is unique needs deleteBeforeReplace", {
    timeout: long,
  }, async () => {
    const first = await engine("up", "--yes", "--skip-preview", ...set("cloudflare"));
    expect(first.code, said(first)).toBe(0);
    const before = await tunnels();
    expect(before).toHaveLength(1);

    const preview = await engine("preview", "--diff", ...set("local"));
    expect(preview.stdout, said(preview)).toMatch(
      /\+-cloudflare:index.*replace[\s\S]*configSrc: "cloudflare" => "local"/,
    );
    const refused = await engine("up", "--yes", "--skip-preview", ...set("local"));
    expect(refused.code).not.toBe(0);
    expect(said(refused)).toMatch(/409 Conflict[\s\S]*You already have a tunnel with this name \(twice\)/);
    expect(await tunnels()).toEqual(before); // nothing is lost: the old one is still there

    const replaced = await engine("up", "--yes", "--skip-preview", ...set("local", "first=true"));
    expect(replaced.code, said(replaced)).toBe(0);
    const after = await tunnels();
    expect(after).toHaveLength(1);
    expect(after).not.toEqual(before);

    const gone = await engine("destroy", "--yes", "--skip-preview");
    expect(gone.code, said(gone)).toBe(0);
    expect(await tunnels()).toEqual([]);
  });
});

describe("an interrupted up", () => {
  let whole: ReturnType<typeof withoutIds>;

  /** Starts `pulumi up`, sends the signal once `there` says so, and waits for the end. */
  async function interrupted(signal: NodeJS.Signals, there: () => Promise<boolean>): Promise<number | null> {
    const args = ["up", "--yes", "--skip-preview", "--non-interactive", "--color=never"];
    const child: ChildProcess = spawn(here.pulumi.bin, args, {
      cwd: project,
      env: { ...withoutStrays(process.env), ...here.environment },
      stdio: "ignore",
      detached: true, // a group of its own, as a terminal's
    });
    const ended = new Promise<number | null>((resolve) => child.once("exit", resolve));
    try {
      await eventually(there, 240_000);
    } finally {
      if (signal === "SIGKILL") await killTree(child.pid!);
      else process.kill(-child.pid!, signal);
    }
    return ended;
  }

  /** A lost machine takes all of it along: the engine, its plugins (each in a group of its own), and the program. */
  async function killTree(root: number): Promise<void> {
    const { stdout } = await run("ps", ["-axo", "pid=,ppid="]);
    const parents = new Map(
      stdout
        .trim()
        .split("\n")
        .map((line) => line.trim().split(/\s+/).map(Number) as [number, number]),
    );
    const isBelow = (pid: number): boolean => pid === root || (pid > 1 && isBelow(parents.get(pid) ?? 0));
    for (const pid of [root, ...parents.keys()].filter(isBelow)) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // ended by itself meanwhile
      }
    }
  }

  /** All is as before, nobody knows of anything else, and it serves. */
  async function isWhole(): Promise<void> {
    expect(withoutIds(await declared())).toEqual(whole);
    expect((await recover()).stdout).toContain("nothing to recover");
    const nothing = await pulumi(here, "up", "--yes", "--skip-preview", "--expect-no-changes");
    expect(nothing.code, said(nothing)).toBe(0);
    // The tokens are new ones since the stack was destroyed.
    const { stdout } = await pulumi(here, "stack", "output", "serviceTokens", "--show-secrets", "--json");
    here = { ...here, serviceTokens: readySchema.shape.serviceTokens.parse(JSON.parse(stdout)) };
    await eventually(async () => (await models()) === 200, 120_000);
  }

  beforeAll(async () => {
    whole = withoutIds(await declared());
  });
  beforeEach(async () => {
    const ran = await pulumi(here, "destroy", "--yes", "--skip-preview");
    expect(ran.code, said(ran)).toBe(0);
  }, long);

  it("by Ctrl-C forgets nothing of what it made, and goes on from there", { timeout: long }, async () => {
    const code = await interrupted("SIGINT", async () => (await declared()).tunnels.length > 0);
    expect(code).not.toBe(0);
    const { stdout } = await pulumi(here, "stack", "export");
    expect(stdout).not.toContain('"pending_operations": [');
    const made = await declared();
    expect(made.tunnels).toHaveLength(1);
    for (const name of [
      made.tunnels,
      made.apps,
      made.policies,
      made.tokens,
      made.records.map((one) => one.name),
    ].flat()) {
      expect(stdout).toContain(`"name": "${name}"`);
    }
    const again = await up();
    expect(again.code, said(again)).toBe(0);
    await isWhole();
  });

  it("by SIGKILL while the Mac is being installed leaves nothing half on it", { timeout: long }, async () => {
    const installed = join(here.macRoot, "usr/local/slm-network");
    const exists = (path: string) =>
      access(path).then(
        () => true,
        () => false,
      );
    expect(await exists(join(installed, "current"))).toBe(false);
    await interrupted("SIGKILL", () => exists(installed));
    expect((await pulumi(here, "cancel", "--yes")).code).toBe(0);
    const recovered = await recover("--yes");
    expect(recovered.code, said(recovered)).toBe(0);
    const again = await up();
    expect(again.code, said(again)).toBe(0);
    await isWhole();
  });

  it("by SIGKILL blocks the next one, until recovery removes what nobody knows of", { timeout: long }, async () => {
    await tell("fault", '{"api":"cloudflare","method":"POST","path":"/dns_records$","status":"stalled"}');
    await interrupted("SIGKILL", async () => (await declared()).records.length > 0);
    const locked = await up();
    expect(said(locked)).toMatch(/locked.*pulumi cancel/s);
    expect((await pulumi(here, "cancel", "--yes")).code).toBe(0);
    const conflict = await up();
    expect(conflict.code).not.toBe(0);
    expect(said(conflict)).toMatch(/"slm\.example\.com" is taken: .*`npm run recover`/);

    const shown = await recover();
    expect(shown.stdout, said(shown)).toMatch(/slm-dns: .*"name":"slm\.example\.com"/);
    expect((await declared()).records).toHaveLength(1); // only shown
    const recovered = await recover("--yes");
    expect(recovered.code, said(recovered)).toBe(0);
    expect((await declared()).records).toEqual([]);

    const again = await up();
    expect(again.code, said(again)).toBe(0);
    await isWhole();
  });
});
