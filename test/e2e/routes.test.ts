/** The routes' modes, their refusals, the alerts and the probe, on a sandbox of their own. */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";
import Cloudflare from "cloudflare";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { parse, stringify } from "yaml";
import { z } from "zod";
import type { Ready } from "../../sandbox/ready.ts";
import {
  eventually,
  folder,
  inFolder,
  project,
  pulumi,
  type Ran,
  run,
  sandbox,
  start,
  strays,
  tokenHeaders,
} from "./harness.ts";

inFolder(".sandbox-routes");
// Each runs the engine several times; on a machine that is busy with other things that takes minutes.
vi.setConfig({ testTimeout: 900_000 });
const stackFile = join(project, "Pulumi.sandbox-routes.yaml");
const custom = "slm.partner.example.net";
let here: Ready;
let ids: { accountId: string; zoneId: string };
let api: Cloudflare;

const identitySchema = z.object({ accountId: z.string(), zoneId: z.string(), cloudflareApiToken: z.string() });

async function set(key: string, value: Record<string, unknown>): Promise<void> {
  const { config, ...rest } = parse(await readFile(stackFile, "utf8")) as { config: Record<string, unknown> };
  await writeFile(stackFile, stringify({ ...rest, config: { ...config, [`slm-network:${key}`]: value } }));
}
const setRoute = (route: Record<string, unknown>) => set("route", route);

const up = (): Promise<Ran> => pulumi(here, "up", "--yes", "--skip-preview");
const succeeded = (ran: Ran) => expect(ran.code, ran.stdout + ran.stderr).toBe(0);

/** GET on the edge under any host name, over a connection of its own. */
function get(host: string, path: string, headers: Record<string, string> = {}): Promise<number> {
  return new Promise((resolve, reject) => {
    request(`${here.url}${path}`, { headers: { host, ...headers }, agent: false }, (response) => {
      response.resume();
      response.once("end", () => resolve(response.statusCode ?? 0));
    })
      .once("error", reject)
      .end();
  });
}

/** A caller that asks ten times a second until it is stopped. @returns what it was answered, and how often */
function caller(host: string) {
  const answers = new Map<string, number>();
  const running = new Set<Promise<void>>();
  const note = (what: string) => void answers.set(what, (answers.get(what) ?? 0) + 1);
  const timer = setInterval(() => {
    const one = get(host, "/v1/models", tokenHeaders(here)).then(
      (status) => note(String(status)),
      (error: unknown) => note(String(error)),
    );
    running.add(one);
    void one.then(() => running.delete(one));
  }, 100);
  return async () => {
    clearInterval(timer);
    await Promise.all(running);
    return Object.fromEntries(answers);
  };
}

/** Does `work` while a caller calls; none of its requests may fail. */
async function whileCalled(work: () => Promise<void>): Promise<void> {
  const stop = caller(here.hostname);
  try {
    await work();
  } finally {
    const answers = await stop();
    expect(Object.keys(answers)).toEqual(["200"]);
    expect(answers["200"]).toBeGreaterThan(20);
  }
}

const routeOutput = async () => {
  const { stdout } = await pulumi(here, "stack", "output", "route", "--json");
  return z
    .object({
      mode: z.string(),
      callers: z.string(),
      saas: z
        .object({
          status: z.string(),
          state: z.string(),
          records: z.array(z.object({ type: z.string(), name: z.string(), content: z.string() })),
        })
        .optional(),
    })
    .parse(JSON.parse(stdout));
};

beforeAll(async () => {
  await sandbox("--stop");
  here = await start();
  const known = identitySchema.parse(JSON.parse(await readFile(join(folder, "identity.json"), "utf8")));
  ids = known;
  api = new Cloudflare({ apiToken: known.cloudflareApiToken, baseURL: here.cloudflareApi });
});
afterAll(async () => {
  const ran = await sandbox("--reset");
  succeeded(ran);
  expect(await strays()).toEqual([]);
});

describe("a route that is not available", () => {
  it.each([
    ["a region that is guessed", { mode: "regional", regionKey: "icn" }, /"icn" is not in .*kr \(Republic of Korea\)/],
    ["a custom hostname of the own zone", { mode: "saas", saasHostname: "b.example.com" }, /belongs to example\.com/],
    ["DNS-only", { mode: "dns-only" }, /resolves to an unroutable address/],
  ])("is refused before anything is declared: %s", async (_what, route, reason) => {
    await setRoute(route);
    const ran = await pulumi(here, "preview");
    const said = ran.stdout + ran.stderr;
    expect(ran.code).not.toBe(0);
    expect(said).toMatch(reason);
    expect(said).not.toMatch(/cloudflare:index/);
    expect(said).not.toMatch(/\.ts:\d+/); // no stack trace
  });
});

describe("from proxied to regional and back", () => {
  it("no request fails, and only the region comes and goes", async () => {
    await whileCalled(async () => {
      await setRoute({ mode: "regional", regionKey: "kr" });
      const there = await up();
      succeeded(there);
      expect(there.stdout).toMatch(/RegionalHostname slm-region created/);
      expect(there.stdout).toMatch(/\+ 1 created\s+\d+ unchanged/);
      const { result } = await api.addressing.regionalHostnames.list({ zone_id: ids.zoneId });
      expect(result).toMatchObject([{ hostname: here.hostname, region_key: "kr" }]);

      await setRoute({ mode: "proxied" });
      const back = await up();
      succeeded(back);
      expect(back.stdout).toMatch(/- 1 deleted\s+\d+ unchanged/);
      expect((await api.addressing.regionalHostnames.list({ zone_id: ids.zoneId })).result).toEqual([]);
    });
  });
});

describe("a custom hostname", () => {
  it("answers once its owner has made the records it prints; the old name answers all the while", async () => {
    await whileCalled(async () => {
      await setRoute({ mode: "saas", saasHostname: custom });
      const ran = await up();
      succeeded(ran);
      expect(ran.stdout).toMatch(/until it is served callers use slm\.example\.com/);
      const pending = await routeOutput();
      expect(pending).toMatchObject({ mode: "saas", callers: here.hostname, saas: { status: "pending" } });
      expect(await get(custom, "/v1/models", tokenHeaders(here))).toBe(530);

      const [cname] = pending.saas?.records ?? [];
      expect(cname).toMatchObject({ type: "CNAME", name: custom, content: here.hostname });
      await writeFile(join(folder, "outside-dns.json"), JSON.stringify([cname]));
      succeeded(await pulumi(here, "up", "--refresh", "--yes", "--skip-preview"));
      expect(await routeOutput()).toMatchObject({ callers: custom, saas: { status: "active" } });

      expect(await get(custom, "/v1/models", tokenHeaders(here))).toBe(200);
      expect(await get(custom, "/v1/models")).toBe(403);
      expect(await get(custom, "/status", tokenHeaders(here))).not.toBe(200);
      succeeded(await pulumi(here, "up", "--yes", "--skip-preview", "--expect-no-changes"));
    });
  });

  it("goes again with the mode, and the old name stays", async () => {
    await whileCalled(async () => {
      await setRoute({ mode: "proxied" });
      succeeded(await up());
      expect(await get(custom, "/v1/models", tokenHeaders(here))).toBe(530);
      expect((await api.customHostnames.list({ zone_id: ids.zoneId })).result).toEqual([]);
    });
  });
});

describe("how people sign in", () => {
  const account = () => ({ account_id: ids.accountId });
  const setLogin = (...identityProviders: string[]) =>
    set("access", {
      servers: [{ name: "backend" }],
      people: { emails: ["director@example.com"], identityProviders },
    });
  const providers = async () => (await api.zeroTrust.identityProviders.list(account())).result;
  const allowed = async () => {
    const { result } = await api.zeroTrust.access.applications.list(account());
    const people = result.find(({ name }) => name === `${here.hostname} people`);
    return z.object({ allowed_idps: z.array(z.string()) }).parse(people).allowed_idps;
  };
  /** What the sign-in page of /status offers. */
  async function page(): Promise<string> {
    const headers = { accept: "text/html" };
    const away = await fetch(`${here.url}/status`, { headers, redirect: "manual" });
    const response = await fetch(new URL(away.headers.get("location") ?? "", here.url), { headers });
    return response.text();
  }

  it("is by the one-time PIN, declared since the account had none; one nobody knows is refused", async () => {
    const [pin, ...others] = await providers();
    expect([pin?.type, others]).toEqual(["onetimepin", []]);
    expect(await allowed()).toEqual([pin?.id]);
    expect(await page()).toContain("Send me a code");

    await setLogin("onetimepin", "gogle");
    const ran = await pulumi(here, "preview");
    expect(ran.code).not.toBe(0);
    expect(ran.stdout + ran.stderr).toMatch(
      /identityProviders\[1\]: "gogle" is not an identity provider of the account, which has "One-time PIN" \(onetimepin/,
    );
    expect(ran.stdout + ran.stderr).not.toMatch(/\.ts:\d+/);
  });

  it("is by one that the account has, when that one is named; the PIN goes with the last mention", async () => {
    const google = await api.zeroTrust.identityProviders.create({
      ...account(),
      name: "Google",
      type: "google",
      config: {},
    });
    await setLogin("Google");
    const ran = await up();
    succeeded(ran);
    expect(ran.stdout).toMatch(/ZeroTrustAccessIdentityProvider slm-one-time-pin deleted/);
    expect(await allowed()).toEqual([google.id]);
    expect(await page()).toMatch(/no code by e-mail here[\s\S]*Google/);
  });

  it("takes a PIN that is there as it is, and leaves it alone", async () => {
    const pin = await api.zeroTrust.identityProviders.create({
      ...account(),
      name: "",
      type: "onetimepin",
      config: {},
    });
    await setLogin("onetimepin", "Google");
    const ran = await up();
    succeeded(ran);
    expect(ran.stdout).not.toMatch(/slm-one-time-pin/);
    expect((await allowed()).toSorted()).toEqual((await providers()).map(({ id }) => id).toSorted());
    expect(await page()).toMatch(/Send me a code[\s\S]*Google/);
    await setLogin("Google");
    succeeded(await up());
    expect((await providers()).map(({ id }) => id)).toContain(pin.id);
    succeeded(await pulumi(here, "up", "--yes", "--skip-preview", "--expect-no-changes"));
  });
});

describe("npm run probe", () => {
  const probe = (...args: string[]) =>
    run(process.execPath, ["commands/probe/main.ts", "--runs", "3", ...args], here.environment);

  it("measures end to end with the stack's outputs: entry, connector, and where the time goes", async () => {
    const person = await probe();
    succeeded(person);
    expect(person.stdout).toMatch(
      /ms of a request are spent on the way: .* between ICN and the Mac \(connector at ICN\)/,
    );
    expect(person.stdout).toMatch(/OK: every entry is at ICN/);
    expect(person.stdout).toContain(`This is a sandbox's stack; measured at its edge, ${here.url}.`);
    expect(person.stdout).not.toContain(here.serviceTokens.backend?.clientSecret);

    const machine = await probe("--json", "--expect", "LAX");
    expect(machine.code).toBe(1);
    expect(JSON.parse(machine.stdout)).toMatchObject({
      connectors: ["ICN"],
      split: { tunnel: expect.any(Number), relay: expect.any(Number) },
      findings: [{ kind: "entry-elsewhere", colos: ["ICN"] }, { kind: "connector-elsewhere" }],
    });
  });
});

describe("alerts", () => {
  const mails = async () => {
    const names = (await readdir(join(folder, "mail")).catch(() => [])).filter((name) => name.endsWith(".eml"));
    return Promise.all(names.toSorted().map((name) => readFile(join(folder, "mail", name), "utf8")));
  };
  const control = async (action: string) => {
    const headers = { authorization: `Bearer ${here.control.token}` };
    expect((await fetch(`${here.control.url}/${action}`, { method: "POST", headers })).status).toBe(200);
  };

  it("tell by mail that the office has lost its power, and that it is back", async () => {
    const before = (await mails()).length;
    await control("power-cut");
    await eventually(async () => (await mails()).length > before, 10_000);
    const down = (await mails()).at(-1);
    expect(down).toMatch(/^To: ops@example\.com\r$/m);
    expect(down).toMatch(/^Subject: Tunnel slm-network-sandbox-routes is down\r$/m);
    await control("boot");
    await eventually(async () => (await mails()).length > before + 1, 30_000);
    expect((await mails()).at(-1)).toMatch(/^Subject: Tunnel slm-network-sandbox-routes is (degraded|healthy)\r$/m);
    await eventually(async () => (await get(here.hostname, "/v1/models", tokenHeaders(here))) === 200, 30_000);
  });
});
