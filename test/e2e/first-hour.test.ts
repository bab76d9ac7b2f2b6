/** Problems of the first hour, with the real engine: obstacles are reported before, errors are explained, and a failure half-way loses nothing. */
import { access } from "node:fs/promises";
import Cloudflare from "cloudflare";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { z } from "zod";
import type { Ready } from "../../sandbox/ready.ts";
import { folder, inFolder, pulumi, type Ran, ready, run, sandbox } from "./harness.ts";

inFolder(".sandbox-first-hour");
process.env.SANDBOX_ATLAS_USER_MS = "4000";

/** Runs of the engine on a machine that has other things to do. */
const long = 600_000;

let here: Ready;
let account: { account_id: string };
let zone: { zone_id: string };
let client: Cloudflare;

const said = (ran: Ran) => ran.stdout + ran.stderr;
const script = (path: string, ...args: string[]) => run(process.execPath, [path, ...args], here.environment);
const preflight = (...args: string[]) => script("commands/preflight/main.ts", ...args);
const up = (...args: string[]) =>
  script("commands/up/main.ts", "--yes", "--skip-preview", "--non-interactive", "--color=never", ...args);

async function tell(...args: string[]): Promise<void> {
  const ran = await sandbox("--do", ...args);
  expect(ran.code, said(ran)).toBe(0);
}
const reportSchema = z.object({
  exitCode: z.int(),
  findings: z.array(z.object({ id: z.string(), level: z.enum(["ok", "warn", "fail"]), says: z.string() })),
});
async function fails(...args: string[]): Promise<string[]> {
  const ran = await preflight("--json", ...args);
  if (ran.stdout === "") throw new Error(`preflight ended with ${ran.code}: ${ran.stderr}`);
  const { findings, exitCode } = reportSchema.parse(JSON.parse(ran.stdout));
  expect(ran.code).toBe(exitCode);
  return findings.filter(({ level }) => level === "fail").map(({ id }) => id);
}
async function resources(): Promise<string[]> {
  const { stdout } = await pulumi(here, "stack", "export");
  const state = z
    .object({ deployment: z.object({ resources: z.array(z.object({ urn: z.string() })).default([]) }) })
    .parse(JSON.parse(stdout));
  return state.deployment.resources.map(({ urn }) => urn);
}

beforeAll(async () => {
  await sandbox("--stop");
  const ran = await sandbox("--detach", "--no-up");
  expect(ran.code, said(ran)).toBe(0);
  here = await ready();
  client = new Cloudflare({ apiToken: here.environment.CLOUDFLARE_API_TOKEN ?? "", baseURL: here.cloudflareApi });
  const [found] = (await client.zones.list()).result;
  account = { account_id: found?.account.id ?? "" };
  zone = { zone_id: found?.id ?? "" };
});
afterEach(async () => {
  await tell("clear-faults");
  const inOrder = { cloudflare: { permissions: "all", zoneStatus: "active" }, atlas: { keyAddressAllowed: true } };
  await tell("set", JSON.stringify(inOrder));
});
afterAll(async () => {
  const ran = await sandbox("--reset");
  expect(ran.code, said(ran)).toBe(0);
  await expect(access(folder)).rejects.toThrow();
});

it("finds an empty account in order", { timeout: long }, async () => {
  expect(await fails()).toEqual([]);
});

it("names what somebody clicked together, and makes nothing beside it", { timeout: long }, async () => {
  await tell("hand-made");
  expect((await fails()).sort()).toEqual([
    "atlas.users",
    "cloudflare.applications",
    "cloudflare.hostname",
    "cloudflare.tunnel",
  ]);
  const ran = await up();
  expect(ran.code, said(ran)).toBe(1);
  expect(ran.stdout).toContain('"slm.example.com" is taken: a CNAME record (proxied, comment "clicked together")');
  expect(ran.stdout).toContain("Nothing was deployed");
  expect(await resources()).toEqual([]);

  // The person cleans up, as told.
  const { tunnels, access: people } = client.zeroTrust;
  for (const { id } of (await client.dns.records.list(zone)).result) await client.dns.records.delete(id, zone);
  for (const { id } of (await people.applications.list(account)).result) {
    await people.applications.delete(id ?? "", account);
  }
  for (const { id } of (await people.serviceTokens.list(account)).result) {
    await people.serviceTokens.delete(id ?? "", account);
  }
  for (const { id } of (await tunnels.cloudflared.list({ ...account, is_deleted: false })).result) {
    await tunnels.cloudflared.delete(id ?? "", account);
  }
  // The database user stays: Atlas' own error is put in words further down.
  expect(await fails()).toEqual(["atlas.users"]);
});

it("the program itself refuses before it declares anything, and says all faults at once", {
  timeout: long,
}, async () => {
  const permissions = ["Zone Read", "DNS Read", "Cloudflare Tunnel Write", "Access: Apps and Policies Write"];
  await tell("set", JSON.stringify({ cloudflare: { permissions, zoneStatus: "pending" } }));
  const ran = await up("--no-preflight");
  expect(ran.code, said(ran)).not.toBe(0);
  for (const text of [
    "nothing was declared",
    "lacks DNS Write",
    "lacks Access: Service Tokens Write",
    "lacks Access: Organizations, Identity Providers, and Groups Read",
    "lacks Notifications Write",
    "example.com is pending",
  ]) {
    expect(said(ran)).toContain(text);
  }
  const cloudflare = (await client.zeroTrust.tunnels.cloudflared.list({ ...account, is_deleted: false })).result;
  expect(cloudflare).toEqual([]);
});

it("puts Atlas' refusals in words: the key's own access list", { timeout: long }, async () => {
  await tell("set", JSON.stringify({ atlas: { keyAddressAllowed: false } }));
  const ran = await up("--no-preflight");
  expect(ran.code, said(ran)).not.toBe(0);
  expect(ran.stdout).toContain("IP_ADDRESS_NOT_ON_ACCESS_LIST"); // the engine's own output, as it is
  expect(ran.stdout).toMatch(/What to do:\n.*may not be used from this machine's address \(203\.0\.113\.7\)/);
  expect(ran.stdout).toContain("API Access List");
});

it("a failure half-way is put in words and leaves a state from which the next up goes on", {
  timeout: long,
}, async () => {
  // A permission taken away while `up` runs, and a user that somebody made. The engine stops at the first it meets, unless told.
  await tell("fault", '{"api":"cloudflare","method":"POST","path":"/access/apps$","status":403,"times":20}');
  const failed = await up("--no-preflight", "--continue-on-error");
  expect(failed.code, said(failed)).not.toBe(0);
  expect(failed.stdout).toContain("lacks a permission: Account · Access: Apps and Policies · Edit");
  expect(failed.stdout).toContain("a database user with this name exists already");
  expect(failed.stdout).toContain("`npm run up` continues from there");
  const before = await resources();
  expect(before.some((urn) => urn.includes("ZeroTrustAccessServiceToken"))).toBe(true);
  expect(before.some((urn) => urn.includes("ZeroTrustAccessApplication"))).toBe(false);
  const tokens = (await client.zeroTrust.access.serviceTokens.list(account)).result.map(({ id }) => id);

  await tell("clear-faults");
  const pulumiBin = await pulumi(here, "config", "set", "--path", "slm-network:documents.atlas.database", "slm2");
  expect(pulumiBin.code, said(pulumiBin)).toBe(0); // another name than the user's, as told
  const ran = await up();
  expect(ran.code, said(ran)).toBe(0);
  // Why it takes long, once each, while it runs.
  expect(ran.stdout).toMatch(/^… slm-user-\S+: Atlas distributes the user/m);
  expect(ran.stdout).toMatch(/^… slm-documents: the collection is created as soon as Atlas admits the new user/m);
  expect(ran.stdout).toMatch(/^… \S+: the installer runs on the Mac/m);
  // What was there was not made a second time.
  expect((await client.zeroTrust.access.serviceTokens.list(account)).result.map(({ id }) => id)).toEqual(tokens);
  expect((await client.zeroTrust.tunnels.cloudflared.list({ ...account, is_deleted: false })).result).toHaveLength(1);
  const again = await up();
  expect(again.code, said(again)).toBe(0);
  expect(again.stdout).toMatch(/\d+ unchanged/);
  expect(again.stdout).not.toMatch(/(created|updated|replaced|deleted)$/m);
});

it("a running network is in order, for up and for a preview's credentials", { timeout: long }, async () => {
  expect(await fails()).toEqual([]);
  const asPreview = await run(process.execPath, ["commands/preflight/main.ts", "--read-only"], {
    ...here.previewEnvironment,
    SSH_AUTH_SOCK: "",
  });
  expect(asPreview.code, said(asPreview)).toBe(0);
  const withWrite = await run(process.execPath, ["commands/preflight/main.ts", "--cheap"], here.previewEnvironment);
  expect(withWrite.code).toBe(1);
  expect(withWrite.stdout).toContain("lacks Cloudflare Tunnel Write");
  expect(withWrite.stdout).toContain("the Atlas key may only read the project");
});
