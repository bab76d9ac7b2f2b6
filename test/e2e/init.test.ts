/** The first hour on accounts in which somebody made things by hand: init, adopt, up, and nothing left to change. */
import { spawn } from "node:child_process";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import Cloudflare from "cloudflare";
import { afterAll, beforeAll, expect, it } from "vitest";
import { parse, stringify } from "yaml";
import { z } from "zod";
import { withoutStrays } from "../../sandbox/providers/environment.ts";
import type { Ready } from "../../sandbox/ready.ts";
import { fetchHostKey } from "../../ssh/session.ts";
import { folder, inFolder, project, pulumi, type Ran, run, sandbox, start } from "./harness.ts";

const stack = "sandbox-init-first";
const file = join(project, `Pulumi.${stack}.yaml`);
const askedStack = "sandbox-init-asked";
const askedFile = join(project, `Pulumi.${askedStack}.yaml`);
const fileSchema = z.looseObject({ config: z.record(z.string(), z.unknown()), encryptionsalt: z.string().optional() });
const content = async (path: string) => fileSchema.parse(parse(await readFile(path, "utf8")));

let here: Ready;
let fingerprint: string;
let client: Cloudflare;
let ids: { account_id: string; zone_id: string };

const environment = () => ({
  ...here.environment,
  CLOUDFLARE_BASE_URL: here.cloudflareApi,
  MONGODB_ATLAS_BASE_URL: here.atlasApi,
});
const init = (...args: string[]): Promise<Ran> =>
  run(process.execPath, ["commands/init/main.ts", ...args], environment());
const mac = () => ["--mac-host", here.ssh.host, "--mac-port", String(here.ssh.port), "--model-url", here.model];
const engine = (...args: string[]): Promise<Ran> =>
  pulumi({ ...here, environment: environment() }, ...args, "--stack", stack);

beforeAll(async () => {
  inFolder(".sandbox-init");
  await sandbox("--stop");
  here = await start();
  fingerprint = (await fetchHostKey(here.ssh.host, here.ssh.port)).fingerprint;
  client = new Cloudflare({ apiToken: here.environment.CLOUDFLARE_API_TOKEN, baseURL: here.cloudflareApi });
  const { accountId, zoneId } = z
    .object({ accountId: z.string(), zoneId: z.string() })
    .parse(JSON.parse(await readFile(join(folder, "identity.json"), "utf8")));
  ids = { account_id: accountId, zone_id: zoneId };
  // Empty accounts and a Mac with nothing on it, as a new user has them.
  const destroyed = await pulumi(here, "destroy", "--yes", "--skip-preview");
  expect(destroyed.code, destroyed.stdout + destroyed.stderr).toBe(0);
});
afterAll(async () => {
  await engine("destroy", "--yes", "--skip-preview");
  for (const one of [stack, askedStack]) await pulumi(here, "stack", "rm", "--yes", "--force", "--stack", one);
  await Promise.all([rm(file, { force: true }), rm(askedFile, { force: true })]);
  const ran = await sandbox("--reset");
  expect(ran.code, ran.stdout + ran.stderr).toBe(0);
});

it("says everything that is missing at once when nobody is asked", async () => {
  const ran = await init("--yes", "--stack", stack);
  expect(ran.code).toBe(1);
  expect(ran.stderr).toContain("--mac-host");
  expect(ran.stderr).toContain("--host-key");
  await expect(readFile(file)).rejects.toThrow();
});

it("refuses a Mac that shows another key than the one given", async () => {
  const ran = await init("--yes", "--stack", stack, ...mac(), "--host-key", "SHA256:other");
  expect(ran.code).toBe(1);
  expect(ran.stderr).toContain(`shows the key ${fingerprint}`);
  await expect(readFile(file)).rejects.toThrow();
});

it("writes the stack file from flags, with its comments and secrets that only the engine can read", async () => {
  const ran = await init(
    "--yes",
    "--stack",
    stack,
    ...mac(),
    "--host-key",
    fingerprint,
    "--people",
    "director@example.com",
  );
  expect(ran.code, ran.stdout + ran.stderr).toBe(0);
  expect(ran.stdout).toContain("hostname: slm.example.com");
  expect(ran.stdout).toContain("1024 dimensions");
  const text = await readFile(file, "utf8");
  expect(text).toContain("# Refuses to delete what holds state");
  expect(text).not.toMatch(/0{24}|openssl rand|192\.168\.0\.20/);
  const { config } = await content(file);
  expect(config).toMatchObject({
    "slm-network:hostname": "slm.example.com",
    "slm-network:accountId": ids.account_id,
    "slm-network:zoneId": ids.zone_id,
    "slm-network:model": { kind: "ollama", url: here.model, embeddingModel: here.embeddingModel },
    "slm-network:documents": { store: "atlas", atlas: { cluster: "main", allowFrom: ["203.0.113.7/32"] } },
    "slm-network:tunnelSecret": { secure: expect.stringMatching(/^v1:/) },
  });
  const secret = await engine("config", "get", "tunnelSecret");
  expect(Buffer.from(secret.stdout.trim(), "base64")).toHaveLength(32);
  const again = await engine("config", "get", "atlasSchemaPassword");
  expect(again.stdout.trim()).not.toBe(secret.stdout.trim());
});

it("changes a file that is there only after showing how, and with --yes only when told to", async () => {
  const before = await readFile(file, "utf8");
  const refused = await init("--yes", "--stack", stack, "--server", "billing");
  expect(refused.code).toBe(1);
  expect(refused.stdout).toMatch(/^-\s+- name: backend$/m);
  expect(refused.stdout).toMatch(/^\+\s+- name: billing$/m);
  expect(refused.stderr).toContain("--force");
  expect(await readFile(file, "utf8")).toBe(before);
  const same = await init("--yes", "--stack", stack);
  expect(same.code, same.stdout + same.stderr).toBe(0);
  expect(await readFile(file, "utf8")).toBe(before);
});

it("asks a person at a terminal, refuses a wrong answer in the config's words, and writes what was agreed to", async () => {
  const answers: [waitFor: string, answer: string][] = [
    ["The name callers use", "a.b.example.com\r"],
    ["more than one label under example.com", "\u0015asked.example.com\r"],
    ["The Mac's address", `${here.ssh.host}\r`],
    ["may use `sudo -n`", "\r"],
    ["Does the Mac print the same fingerprint?", "y\r"],
    ["Where are document vectors kept?", "\r"],
    ["Which cluster?", "\r"],
    ["Networks that may reach the database", "\r"],
    ["Name of the server", "\r"],
    ["who may open /status", "director@example.com\r"],
    ["when the tunnel is down", "\r"],
  ];
  const flags = ["--stack", askedStack, "--mac-port", String(here.ssh.port), "--model-url", here.model];
  const ran = await atTerminal(flags, answers);
  expect(ran.code, ran.stdout).toBe(0);
  expect(ran.stdout).toContain(fingerprint);
  const { config } = await content(askedFile);
  expect(config).toMatchObject({
    "slm-network:hostname": "asked.example.com",
    "slm-network:access": { servers: [{ name: "backend" }], people: { emails: ["director@example.com"] } },
    "slm-network:documents": { store: "atlas" },
  });
});

it("names what was made by hand, takes it over, and has nothing left to change after one up", async () => {
  const tunnel = await client.zeroTrust.tunnels.cloudflared.create({
    account_id: ids.account_id,
    name: "studio",
    config_src: "cloudflare",
  });
  const tunnelId = tunnel.id ?? "";
  await client.zeroTrust.tunnels.cloudflared.configurations.update(tunnelId, {
    account_id: ids.account_id,
    config: {
      ingress: [
        { hostname: "slm.example.com", service: "http://127.0.0.1:11434" },
        { hostname: "", service: "http_status:404" },
      ],
    },
  });
  const record = await client.dns.records.create({
    zone_id: ids.zone_id,
    type: "CNAME",
    name: "slm.example.com",
    content: `${tunnelId}.cfargotunnel.com`,
    proxied: true,
    ttl: 1,
  });
  const token = await client.zeroTrust.access.serviceTokens.create({ account_id: ids.account_id, name: "old-backend" });
  const app = await client.zeroTrust.access.applications.create({
    account_id: ids.account_id,
    type: "self_hosted",
    name: "by hand",
    destinations: [{ type: "public", uri: "slm.example.com" }],
  });
  await forThisSandbox();

  const refused = await engine("preview");
  expect(refused.code).not.toBe(0);
  expect(refused.stdout + refused.stderr).toContain("npm run init -- --adopt");

  const adopted = await init("--yes", "--adopt", "--stack", stack, "--token", "backend=old-backend");
  expect(adopted.code, adopted.stdout + adopted.stderr).toBe(0);
  for (const named of [
    'tunnel "studio"',
    "slm.example.com → http://127.0.0.1:11434",
    "the CNAME record",
    '"by hand"',
    '"old-backend"',
  ]) {
    expect(adopted.stdout).toContain(named);
  }
  expect(adopted.stdout).toContain("npm run rotate -- backend");

  const up = await engine("up", "--yes", "--skip-preview");
  expect(up.code, up.stdout + up.stderr).toBe(0);
  const preview = await engine("preview", "--expect-no-changes", "--diff");
  expect(preview.code, preview.stdout + preview.stderr).toBe(0);

  // The same things as before, not new ones beside them.
  const { result: tunnels } = await client.zeroTrust.tunnels.cloudflared.list({
    account_id: ids.account_id,
    is_deleted: false,
  });
  expect(tunnels.map(({ id, name }) => [id, name])).toEqual([[tunnelId, `slm-network-${stack}`]]);
  const { result: records } = await client.dns.records.list({ zone_id: ids.zone_id });
  expect(records.map(({ id }) => id)).toEqual([record.id]);
  const { result: apps } = await client.zeroTrust.access.applications.list({ account_id: ids.account_id });
  expect(apps.map((one) => one.id)).toContain(app.id);
  const { result: tokens } = await client.zeroTrust.access.serviceTokens.list({ account_id: ids.account_id });
  expect(tokens.map((one) => one.id)).toEqual([token.id]);

  // Callers with the hand-made token can continue to use it.
  const response = await fetch(`${here.url}/v1/models`, {
    headers: { "CF-Access-Client-Id": token.client_id ?? "", "CF-Access-Client-Secret": token.client_secret ?? "" },
  });
  expect(response.status, await response.text()).toBe(200);
  const nothing = await init("--yes", "--adopt", "--stack", stack);
  expect(nothing.stdout).toContain("nothing to adopt");
});

it("finds all of it again when the stack's state was lost, as docs/state.md says", async () => {
  const lost = await pulumi(here, "stack", "rm", "--yes", "--force", "--preserve-config", "--stack", stack);
  expect(lost.code, lost.stdout + lost.stderr).toBe(0);
  const adopted = await init("--yes", "--adopt", "--stack", stack);
  expect(adopted.code, adopted.stdout + adopted.stderr).toBe(0);
  for (const named of [`tunnel "slm-network-${stack}"`, '"slm.example.com servers"', "database user slm-relay"]) {
    expect(adopted.stdout).toContain(named);
  }
  const up = await engine("up", "--yes", "--skip-preview");
  expect(up.code, up.stdout + up.stderr).toBe(0);
  const preview = await engine("preview", "--expect-no-changes", "--diff");
  expect(preview.code, preview.stdout + preview.stderr).toBe(0);
  const { result: apps } = await client.zeroTrust.access.applications.list({ account_id: ids.account_id });
  expect(apps).toHaveLength(2);
  const { result: policies } = await client.zeroTrust.access.policies.list({ account_id: ids.account_id });
  expect(policies).toHaveLength(2);
});

/** What only a sandbox needs: its ports, its copies of what the Mac downloads, and a stack that can be destroyed again. */
async function forThisSandbox(): Promise<void> {
  const [mine, theirs] = await Promise.all([content(file), content(join(project, "Pulumi.sandbox-init.yaml"))]);
  const macs = z.array(z.looseObject({ ports: z.unknown().optional() }));
  const [entry] = macs.parse(theirs.config["slm-network:macs"]);
  const [own] = macs.parse(mine.config["slm-network:macs"]);
  mine.config["slm-network:macs"] = [{ ...own, ports: entry?.ports }];
  mine.config["slm-network:artifacts"] = theirs.config["slm-network:artifacts"];
  mine.config["slm-network:protect"] = false;
  await writeFile(file, stringify(mine));
}

/** Runs init at a pseudo-terminal and types each answer once its question is there. */
function atTerminal(flags: string[], answers: readonly [string, string][]): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const spawnPty = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
    const child = spawn("python3", ["-c", spawnPty, process.execPath, "commands/init/main.ts", ...flags], {
      cwd: project,
      env: { ...withoutStrays(process.env), SANDBOX_DIR: folder, ...environment(), TERM: "xterm" },
      stdio: ["pipe", "pipe", "pipe"],
      timeout: 120_000,
    });
    const left = [...answers];
    const ran: Ran = { code: null, stdout: "", stderr: "" };
    let seen = 0;
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      ran.stdout += text;
      const [next] = left;
      const at = next ? ran.stdout.indexOf(next[0], seen) : -1;
      if (!next || at < 0) return;
      seen = at + next[0].length;
      left.shift();
      child.stdin.write(next[1]);
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      ran.stderr += text;
    });
    child.once("error", reject);
    child.once("close", (code) => resolve({ ...ran, code }));
  });
}
