import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { cloudflareLookups } from "../../accounts/cloudflare.ts";
import { cloudflareReadiness, type WantedStack } from "../../accounts/cloudflare-readiness.ts";
import type { Owned } from "../../accounts/collisions.ts";
import { cloudflareAccess } from "../../accounts/credentials.ts";
import { neededPermissions, permissionName, permissionStates } from "../../accounts/permissions.ts";
import { requiredLookups } from "../../accounts/required-lookups.ts";
import { account_id, type Harness, secret, startHarness, zone_id } from "../sandbox/cloudflare/harness.ts";

const hostname = "slm.example.com";
const wanted: WantedStack = {
  accountId: account_id,
  zoneId: zone_id,
  hostname,
  tunnelName: "slm-network-prod",
  alerts: { emails: ["ops@example.com"] },
  route: { saasHostname: "slm.example.net" },
};
const mine: Owned = () => false;
const everyWrite = neededPermissions(wanted, false);
const everyRead = neededPermissions(wanted, true);

let h: Harness;
beforeEach(async () => {
  h = await startHarness();
});
afterEach(() => h.close());

/** What is found with a token that has these permissions. */
async function findings(
  permissions: "all" | string[],
  more: { readOnly?: boolean; owned?: Owned; wanted?: WantedStack } = {},
) {
  h.account.apiTokens.push({ value: `token-${h.account.apiTokens.length}`, permissions });
  const apiToken = h.account.apiTokens.at(-1)?.value;
  const { findings: all } = await cloudflareReadiness(more.wanted ?? wanted, {
    access: { apiToken, baseUrl: h.url },
    owned: more.owned ?? mine,
    readOnly: more.readOnly ?? false,
  });
  return all;
}
const bad = (all: Awaited<ReturnType<typeof findings>>) => all.filter(({ level }) => level !== "ok");

test("a token with exactly what is needed finds an account in order, and changes nothing in it", async () => {
  await h.client.dns.records.create({ zone_id, type: "TXT", name: hostname, content: "kept", ttl: 1 });
  const before = structuredClone(h.account.state);
  h.lines.length = 0;
  expect(bad(await findings(everyWrite.map(permissionName)))).toEqual([]);
  expect(h.account.state).toEqual(before);
  const written = h.lines.filter((line) => !line.includes(" GET "));
  expect(written).toHaveLength(6); // one question for each permission to write
  for (const line of written) expect(line).toMatch(/cloudflare: (PUT|PATCH) \S+\/[0-]+ → 40[04]$/);
});

test.each(everyWrite.map((permission) => [permissionName(permission), permission] as const))(
  "without %s: that one is named, with what it is for and where to add it",
  async (name, { group, level, scope, why }) => {
    const others = everyWrite.map(permissionName).filter((one) => one !== name);
    const found = bad(await findings(others));
    expect(found.map(({ level }) => level)).toEqual(["fail"]);
    expect(found[0]?.says).toBe(`the API token lacks ${name}, needed for ${why}`);
    expect(found[0]?.todo).toContain(`Add ${scope} · ${group} · ${level === "Write" ? "Edit" : "Read"}`);
  },
);

test.each(everyRead.map((permission) => [permissionName(permission)] as const))(
  "a preview without %s: named; with all of them, in order",
  async (name) => {
    const names = everyRead.map(permissionName);
    expect(bad(await findings(names, { readOnly: true }))).toEqual([]);
    const without = bad(
      await findings(
        names.filter((one) => one !== name),
        { readOnly: true },
      ),
    );
    expect(without).toMatchObject([{ level: "fail", says: expect.stringContaining(`lacks ${name}`) }]);
  },
);

test("a token that reads everything is told every right to write that it lacks, all at once", async () => {
  const found = bad(await findings(everyRead.map(permissionName)));
  expect(found.map(({ says }) => /lacks (.+?), needed/.exec(says)?.[1]).sort()).toEqual(
    everyWrite
      .filter(({ level }) => level === "Write")
      .map(permissionName)
      .sort(),
  );
});

test("what is not used is not asked for", () => {
  const few = neededPermissions({ alerts: { emails: [] }, route: {} }, false).map(permissionName);
  expect(few).not.toContain("Notifications Write");
  expect(few).not.toContain("SSL and Certificates Write");
});

test("making the one-time PIN takes a right to write, and one that is there does not", async () => {
  const people = { emails: ["director@example.com"], emailDomains: [], identityProviders: ["onetimepin"] };
  const signIn = { wanted: { ...wanted, access: { people } } };
  const names = everyWrite.map(permissionName);
  const group = "Access: Organizations, Identity Providers, and Groups";
  const { result } = await h.client.zeroTrust.identityProviders.list({ account_id });
  for (const { id, type } of result) {
    if (id && type === "onetimepin") await h.client.zeroTrust.identityProviders.delete(id, { account_id });
  }
  expect(bad(await findings(names, signIn))).toMatchObject([
    { level: "fail", says: expect.stringContaining(`lacks ${group} Write`) },
  ]);
  expect(bad(await findings([...names, `${group} Write`], signIn))).toEqual([]);
  expect(bad(await findings(everyRead.map(permissionName), { ...signIn, readOnly: true }))).toEqual([]);
  await h.client.zeroTrust.identityProviders.create({ account_id, name: "PIN", type: "onetimepin", config: {} });
  expect(bad(await findings(names, signIn))).toEqual([]);
});

test("what the token says of itself spares the question, unless something is denied", async () => {
  const tunnel = everyWrite.filter(({ group }) => group === "Cloudflare Tunnel");
  const policy = {
    effect: "allow" as const,
    permissions: ["Cloudflare Tunnel Write"],
    resources: [`com.cloudflare.api.account.${account_id}`],
  };
  const access = { apiToken: "unknown-to-the-account", baseUrl: h.url };
  expect(await permissionStates(access, wanted, tunnel, [policy])).toMatchObject([{ state: "held" }]);
  const elsewhere = { ...policy, resources: [`com.cloudflare.api.account.${"f".repeat(32)}`] };
  expect(await permissionStates(access, wanted, tunnel, [elsewhere])).toMatchObject([{ state: "unknown" }]);
  const denied = { ...policy, effect: "deny" as const };
  expect(await permissionStates(access, wanted, tunnel, [policy, denied])).toMatchObject([{ state: "unknown" }]);
});

test("no token, a wrong token: one finding, and nothing else is asked", async () => {
  const look = { owned: mine, readOnly: false };
  const none = await cloudflareReadiness(wanted, { ...look, access: { apiToken: undefined, baseUrl: h.url } });
  expect(none.findings).toMatchObject([{ id: "cloudflare.token", level: "fail" }]);
  const wrong = await cloudflareReadiness(wanted, { ...look, access: { apiToken: "wrong", baseUrl: h.url } });
  expect(wrong.findings).toMatchObject([{ id: "cloudflare.token", level: "fail" }]);
});

test("an old global key in the environment: its names, and to unset them, though the token is good", async () => {
  vi.stubEnv("CLOUDFLARE_API_KEY", "0".repeat(37));
  vi.stubEnv("CLOUDFLARE_EMAIL", "ops@example.com");
  try {
    h.account.apiTokens.push({ value: "good", permissions: "all" });
    const config = new Map([
      ["cloudflare:apiToken", "good"],
      ["cloudflare:baseUrl", h.url],
    ]);
    const access = cloudflareAccess((key) => config.get(key));
    const { findings: found } = await cloudflareReadiness(wanted, { access, owned: mine, readOnly: false });
    expect(found).toMatchObject([
      {
        id: "cloudflare.token",
        level: "fail",
        says: expect.stringMatching(/X-Auth-Key.*CLOUDFLARE_API_KEY and CLOUDFLARE_EMAIL go out beside the API token/),
        todo: expect.stringContaining("unset CLOUDFLARE_API_KEY CLOUDFLARE_EMAIL"),
      },
    ]);
  } finally {
    vi.unstubAllEnvs();
  }
});

test("Zero Trust not set up: said once, with where to do it", async () => {
  h.account.conditions.zeroTrust = false;
  const found = bad(await findings("all"));
  const fails = found.filter(({ level }) => level === "fail");
  expect(fails).toMatchObject([
    { id: "cloudflare.zero-trust", todo: expect.stringContaining("one.dash.cloudflare.com") },
  ]);
  // The rights to write into what is not there are not known yet.
  expect(found.filter(({ level }) => level === "warn").map(({ id }) => id)).toEqual(
    expect.arrayContaining(["cloudflare.permission.access-service-tokens-write"]),
  );
});

test("a zone that is not active, paused, of another account, or not seen", async () => {
  h.account.conditions.zoneStatus = "pending";
  h.account.conditions.zonePaused = true;
  const found = bad(await findings("all"));
  expect(found.map(({ says }) => says)).toEqual([
    expect.stringContaining("example.com is pending"),
    expect.stringContaining("example.com is paused"),
  ]);
  expect(found[0]?.todo).toContain("ada.ns.cloudflare.com");
  const other = bad(await findings("all", { wanted: { ...wanted, zoneId: "c".repeat(32) } }));
  expect(other.filter(({ id }) => id === "cloudflare.zone")).toMatchObject([
    { says: expect.stringContaining("sees no zone") },
  ]);
});

test("a hostname that somebody uses: by what, and whose", async () => {
  const tunnel = await h.client.zeroTrust.tunnels.cloudflared.create({
    account_id,
    name: "by hand",
    config_src: "local",
    tunnel_secret: secret,
  });
  const record = await h.client.dns.records.create({
    zone_id,
    type: "CNAME",
    name: hostname,
    content: `${tunnel.id}.cfargotunnel.com`,
    proxied: true,
    ttl: 1,
    comment: "by Kim",
  });
  const found = bad(await findings("all"));
  expect(found).toHaveLength(1);
  expect(found[0]?.says).toContain(
    `"${hostname}" is taken: a CNAME record (proxied, comment "by Kim") leads it to the tunnel "by hand"`,
  );
  expect(found[0]?.todo).toContain("--adopt");
  expect(bad(await findings("all", { owned: (kind, id) => kind === "record" && id === record.id }))).toEqual([]);
});

test("an application and a tunnel of the same name or place", async () => {
  await h.client.zeroTrust.access.applications.create({
    account_id,
    type: "self_hosted",
    name: "clicked together",
    destinations: [{ type: "public", uri: `${hostname}/status/` }],
  });
  await h.client.zeroTrust.access.applications.create({
    account_id,
    type: "self_hosted",
    name: "deeper",
    destinations: [{ type: "public", uri: `${hostname}/v1/models` }],
  });
  await h.client.zeroTrust.tunnels.cloudflared.create({
    account_id,
    name: wanted.tunnelName,
    config_src: "local",
    tunnel_secret: secret,
  });
  const found = bad(await findings("all"));
  expect(found.map(({ id, level }) => [id, level])).toEqual([
    ["cloudflare.applications", "fail"],
    ["cloudflare.applications", "warn"],
    ["cloudflare.tunnel", "fail"],
  ]);
  expect(found[0]?.says).toContain("clicked together");
  expect(found[2]?.todo).toContain("cannot be taken over");
});

test("an account that does not answer is not a fault of the stack", async () => {
  h.account.faults.add({ path: "dns_records", status: 500, times: 20 });
  const found = bad(await findings("all"));
  expect(found.map(({ level }) => level)).toEqual(["warn", "warn"]);
  expect(found[0]?.todo).toContain("cloudflarestatus");
});

test("Cloudflare for SaaS that is off: said as such, with where to switch it on, and not as a missing permission", async () => {
  h.account.conditions.saas = false;
  for (const readOnly of [false, true]) {
    const found = bad(await findings("all", { readOnly }));
    expect(found).toMatchObject([
      { level: "warn", says: expect.stringMatching(/not known before Cloudflare for SaaS is switched on/) },
      { id: "cloudflare.saas", level: "fail", todo: expect.stringContaining("Enable Cloudflare for SaaS") },
    ]);
  }
  expect(bad(await findings("all", { wanted: { ...wanted, route: {} } }))).toEqual([]);
  const lookups = requiredLookups(
    { accountId: account_id, zoneId: zone_id },
    cloudflareLookups({ apiToken: h.account.apiTokens.at(-1)?.value, baseUrl: h.url }),
  );
  // The same problem is not said twice, in other words.
  expect(await lookups.fallbackOrigin()).toBeUndefined();
  expect(await lookups.customHostnameStatus("slm.example.net")).toBeUndefined();
});

test("a zone that has as many custom hostnames as it can: a warning, unless ours is one of them", async () => {
  h.account.conditions.customHostnameCap = 1;
  const add = (name: string) =>
    h.client.customHostnames.create({ zone_id, hostname: name, ssl: { method: "txt", type: "dv" } });
  const { id } = await add("other.example.net");
  await expect(add("slm.example.net")).rejects.toMatchObject({ status: 403 });
  expect(bad(await findings("all"))).toMatchObject([{ id: "cloudflare.saas", level: "warn" }]);
  await h.client.customHostnames.delete(id, { zone_id });
  await add("slm.example.net");
  expect(bad(await findings("all"))).toEqual([]);
});
