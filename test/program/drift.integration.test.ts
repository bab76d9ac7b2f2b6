/**
 * The program on the real engine and the emulated providers: after an `up` no mode and no option shows a change, also after a
 * refresh, since the nightly drift job reports every difference. The Mac and the collection have tests of their own
 * (test/e2e/mac-resource.test.ts, test/components/ttl-collection.test.ts) and are left out here.
 */
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse, Scalar, stringify } from "yaml";
import { z } from "zod";
import { installProviders } from "../../sandbox/providers/install.ts";
import { ensureTools, type Tools } from "../../sandbox/tools/tools.ts";
import { projectId, startHarness as startAtlas } from "../sandbox/atlas/harness.ts";
import { account_id, type Harness, startHarness as startCloudflare, zone_id } from "../sandbox/cloudflare/harness.ts";
import { copyProgram } from "./copy-program.ts";
import { runEngine } from "./engine.ts";

const project = join(import.meta.dirname, "../..");
const secret = Buffer.alloc(32, 7).toString("base64");
const custom = "slm.partner.example.net";
const office = "203.0.113.7/32";
const ci = "198.51.100.4/32";

/** Stands for what runs on another machine. */
const macStub = `import * as pulumi from "@pulumi/pulumi";
export class MacHost extends pulumi.ComponentResource {
  report = pulumi.output("{}");
  warnings = pulumi.output([]);
  constructor(name, args, opts) {
    super("slm-network:mac-host:MacHost", name, {}, opts);
  }
}
`;
const collectionStub = `import * as pulumi from "@pulumi/pulumi";
export class TtlCollection extends pulumi.ComponentResource {
  constructor(name, args, opts) {
    super("test:index:Collection", name, {}, opts);
  }
}
`;

let folder: string;
let tools: Tools;
let cloudflare: Harness;
let atlas: Awaited<ReturnType<typeof startAtlas>>;

const pulumi = (...args: string[]) =>
  runEngine(
    folder,
    tools,
    {
      CLOUDFLARE_API_TOKEN: "all-token",
      CLOUDFLARE_BASE_URL: cloudflare.url,
      MONGODB_ATLAS_PUBLIC_KEY: "public",
      MONGODB_ATLAS_PRIVATE_KEY: "private",
      MONGODB_ATLAS_BASE_URL: atlas.url,
    },
    args,
  );

/** The stack file with the secrets alone, and the key that they are encrypted with. */
let encrypted: { config?: Record<string, unknown> } = {};
const stackFile = () => join(folder, "program/Pulumi.test.yaml");

async function writeStackFile(options: Record<string, unknown>): Promise<void> {
  const settings = {
    hostname: "slm.example.com",
    zoneId: zone_id,
    accountId: account_id,
    protect: false,
    access: { servers: [{ name: "backend" }] },
    macs: [{ name: "studio", host: "192.0.2.1", user: "deploy", hostKey: "ssh-ed25519 AAAAC3Nz" }],
    model: { kind: "ollama", url: "http://127.0.0.1:11434", embeddingModel: "bge-m3" },
    ...options,
  };
  const named = Object.fromEntries(Object.entries(settings).map(([key, value]) => [`slm-network:${key}`, value]));
  await writeFile(stackFile(), stringify({ ...encrypted, config: { ...encrypted.config, ...named } }));
}

/** Brings a config up, and expects no change afterwards, with and without a refresh. @returns what `up` printed */
async function settles(options: Record<string, unknown>): Promise<string> {
  await writeStackFile(options);
  const made = await pulumi("up", "--stack", "test", "--yes", "--skip-preview");
  expect(made.code, made.said).toBe(0);
  const after = await pulumi("preview", "--stack", "test", "--refresh", "--diff", "--expect-no-changes");
  expect(after.code, after.said).toBe(0);
  return made.said;
}

const people = {
  servers: [{ name: "backend" }, { name: "reports", enabled: false }],
  people: { emails: ["director@example.com"], emailDomains: ["example.com"] },
};
const atlasStore = {
  store: "atlas",
  atlas: { projectId, cluster: { create: { name: "slm" } }, allowFrom: [office, ci] },
};

beforeAll(async () => {
  tools = await ensureTools(() => {});
  folder = await mkdtemp(join(tmpdir(), "slm-drift-"));
  cloudflare = await startCloudflare({ outsideDnsPath: join(folder, "outside-dns.json") });
  atlas = await startAtlas();
  const program = join(folder, "program");
  await mkdir(join(folder, "state"));
  await copyProgram(program);
  await writeFile(join(program, "components/mac/mac-host.ts"), macStub);
  await writeFile(join(program, "components/ttl-collection.ts"), collectionStub);
  installProviders(join(folder, "home"), process.execPath);
  const made = await pulumi("stack", "init", "test");
  expect(made.code, made.said).toBe(0);
  for (const key of ["tunnelSecret", "atlasSchemaPassword", "atlasRelayPassword"]) {
    const set = await pulumi("config", "set", "--stack", "test", "--secret", key, secret);
    expect(set.code, set.said).toBe(0);
  }
  encrypted = parse(await readFile(stackFile(), "utf8")) as typeof encrypted;
}, 300_000);
afterAll(async () => {
  await cloudflare.close();
  await atlas.close();
  await rm(folder, { recursive: true, force: true });
});

describe("nothing changes after a refresh", { timeout: 1_800_000 }, () => {
  it("in mode proxied, without people", async () => {
    await settles({});
  });

  it("with people, alerts and SSH through the tunnel, which only they reach by their provider", async () => {
    await settles({
      access: people,
      alerts: { emails: ["ops@example.com"] },
      macs: [
        {
          host: "192.0.2.1",
          user: "deploy",
          hostKey: "ssh-ed25519 AAAAC3Nz",
          sshThroughTunnel: { hostname: "ssh.example.com", emails: ["ops@example.com"], servers: ["backend"] },
        },
      ],
    });
    const { result: providers } = await cloudflare.client.zeroTrust.identityProviders.list({ account_id });
    const [pin] = providers;
    expect(pin?.type).toBe("onetimepin");
    const { result: applications } = await cloudflare.client.zeroTrust.access.applications.list({ account_id });
    const ssh = applications.find(({ name }) => name === "ssh.example.com");
    expect(ssh).toMatchObject({ allowed_idps: [pin?.id] });
  });

  it("with SSH through the tunnel for people while no one may open /status: the one-time PIN is made for it", async () => {
    await settles({
      macs: [
        {
          host: "192.0.2.1",
          user: "deploy",
          hostKey: "ssh-ed25519 AAAAC3Nz",
          sshThroughTunnel: { hostname: "ssh.example.com", emails: ["ops@example.com"] },
        },
      ],
    });
    const { result } = await cloudflare.client.zeroTrust.identityProviders.list({ account_id });
    expect(result.map(({ type }) => type)).toEqual(["onetimepin"]);
  });

  it("with scrapers of the metrics, also with a secret that is rotated and one that is switched off", async () => {
    const scrapers = [{ name: "prometheus" }, { name: "old", enabled: false }];
    await settles({ metrics: { scrapers } });
    const { result: applications } = await cloudflare.client.zeroTrust.access.applications.list({ account_id });
    const metrics = applications.find(({ name }) => name === "slm.example.com metrics");
    expect(metrics).toMatchObject({ self_hosted_domains: ["slm.example.com/metrics"] });
    const previousSecretExpiresAt = new Scalar(new Date(Date.now() + 7 * 86_400_000).toISOString());
    previousSecretExpiresAt.type = "QUOTE_DOUBLE"; // Pulumi takes a bare one for a time
    await settles({ metrics: { scrapers: [{ name: "prometheus", secretVersion: 2, previousSecretExpiresAt }] } });
    // Without scrapers there is none, as before.
    await settles({});
    const { result: after } = await cloudflare.client.zeroTrust.access.applications.list({ account_id });
    expect(after.map(({ name }) => name)).not.toContain("slm.example.com metrics");
  });

  it("in mode regional", async () => {
    await settles({ route: { mode: "regional", regionKey: "kr" } });
  });

  it("in mode saas, first pending and not in Access, then active and served", async () => {
    const route = { mode: "saas", saasHostname: custom };
    const destinations = async () => {
      const { result } = await cloudflare.client.zeroTrust.access.applications.list({ account_id });
      return result.flatMap((app) => ("self_hosted_domains" in app ? (app.self_hosted_domains ?? []) : []));
    };
    expect(await settles({ route })).toMatch(/is pending.*until it is served callers use slm\.example\.com/);
    expect(await destinations()).not.toContain(custom);
    await writeFile(
      join(folder, "outside-dns.json"),
      JSON.stringify([{ type: "CNAME", name: custom, content: "slm.example.com" }]),
    );
    expect(await settles({ route })).toMatch(/slm\.partner\.example\.net is served; slm\.example\.com keeps answering/);
    expect(await destinations()).toContain(custom);
  });

  it("with a Flex cluster and an access list in which one network is somebody else's, which stays", async () => {
    await atlas.call("POST", "/accessList", [{ cidrBlock: office, comment: "the shop's backend" }]);
    const said = await settles({ documents: atlasStore });
    expect(said).toMatch(/203\.0\.113\.7\/32 is in the Atlas project's access list already.*left alone/);
    await settles({ documents: { store: "embedded" } });
    const { body } = await atlas.call("GET", "/accessList");
    expect(body).toMatchObject({ results: [{ cidrBlock: office, comment: "the shop's backend" }] });
  });
});

/** What a version before it did not set: the field that says who made a resource. */
const WHO_MADE_IT: readonly (readonly [file: string, line: string])[] = [
  ["components/alerts.ts", "      description: args.description,\n"],
  ["components/document-store.ts", '          description: (args.comment ?? "slm-network").slice(0, 100),\n'],
  ["components/document-store.ts", "        ...(tags && { tags: { ...tags } }),\n"],
];
const stateSchema = z.object({
  deployment: z.object({
    resources: z.array(z.object({ urn: z.string(), id: z.string().optional(), outputs: z.looseObject({}).optional() })),
  }),
});

it("a stack of a version that did not say who made it is updated in place: nothing is replaced or renamed", async () => {
  const options = { alerts: { emails: ["ops@example.com"] }, documents: atlasStore };
  const resources = async () => {
    const { code, said } = await pulumi("stack", "export", "--stack", "test");
    expect(code, said).toBe(0);
    return stateSchema.parse(JSON.parse(said)).deployment.resources;
  };
  for (const [file, line] of WHO_MADE_IT) {
    const path = join(folder, "program", file);
    const text = await readFile(path, "utf8");
    expect(text).toContain(line);
    await writeFile(path, text.replace(line, ""));
  }
  await settles(options);
  const before = await resources();

  for (const [file] of WHO_MADE_IT) await cp(join(project, file), join(folder, "program", file));
  const preview = await pulumi("preview", "--stack", "test", "--refresh");
  expect(preview.code, preview.said).toBe(0);
  expect(preview.said).toMatch(/~ 5 to update/); // two notifications, two users, the cluster
  expect(preview.said).not.toMatch(/to (create|delete|replace)/);
  await settles(options);
  const after = await resources();
  expect(after.map(({ urn, id }) => [urn, id]).sort()).toEqual(before.map(({ urn, id }) => [urn, id]).sort());
  const outputsOf = (name: string) => after.find(({ urn }) => urn.endsWith(`::${name}`))?.outputs;
  expect(outputsOf("slm-alert-tunnel")?.description).toBe("slm-network, stack test");
  expect(outputsOf("slm-user-relay")?.description).toBe("slm-network, stack test");
  expect(outputsOf("slm-cluster")?.tags).toEqual({ "made-by": "slm-network", stack: "test" });
}, 1_800_000);
