/**
 * The pack on the program itself, as the workflow runs it: by the real engine, with a pull request's rights, in a stack in which
 * everything is new and much is not known yet.
 */
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse, stringify } from "yaml";
import { neededPermissions, permissionName } from "../../accounts/permissions.ts";
import { policies } from "../../policy/policies.ts";
import { installProviders } from "../../sandbox/providers/install.ts";
import { ensureTools, type Tools } from "../../sandbox/tools/tools.ts";
import { copyProgram } from "../program/copy-program.ts";
import { runEngine } from "../program/engine.ts";
import { account_id, type Harness, startHarness, zone_id } from "../sandbox/cloudflare/harness.ts";
import { pulumiStep, workflow } from "./workflows.ts";

/** What a pull request's API token may do (docs/pull-requests.md). */
const permissions = neededPermissions({ alerts: { emails: ["ops@example.com"] }, route: {} }, true).map(permissionName);
const secret = Buffer.alloc(32, "hunter2").toString("base64");

/** Mistakes somebody could make in a pull request: in this file, this instead of that. */
const mistakes: [rule: string, file: string, right: string, wrong: string][] = [
  ["tunnel-record-is-proxied", "components/route.ts", "proxied: true,", "proxied: false,"],
  [
    "hostname-has-access-application",
    "components/access.ts",
    'this.application(name, "servers", hostnames, args, {',
    'this.application(name, "servers", hostnames.map((host) => host.concat("/v1")), args, {',
  ],
  [
    "access-policy-names-who-is-let-in",
    "components/access.ts",
    "({ serviceToken: { tokenId: token.id } })",
    "(token.id ? { everyone: {} } : {})",
  ],
  [
    "no-secret-in-plain-text",
    "components/mac/installation.ts",
    "input: pulumi.secret(args.input)",
    "input: pulumi.unsecret(pulumi.output(args.input))",
  ],
  [
    "resource-type-is-known",
    "config/resource-types.ts",
    'ingress: cloudflare("ZeroTrustTunnelCloudflaredConfig"',
    'ingress: cloudflare("Another"',
  ],
  ["stateful-is-protected", "components/tunnel.ts", "{ parent: this, protect: args.protect, ", "{ parent: this, "],
  ["ttl-is-1-to-365-days", "components/document-store.ts", "ttlSeconds: args.ttlDays * 86_400", "ttlSeconds: 3600"],
];

let folder: string;
let tools: Tools;
let cloudflare: Harness;

const pulumi = (...args: string[]) =>
  runEngine(
    folder,
    tools,
    {
      CLOUDFLARE_API_TOKEN: "only-reads",
      MONGODB_ATLAS_PUBLIC_KEY: "not-used-in-a-preview",
      MONGODB_ATLAS_PRIVATE_KEY: "of-new-things",
      MONGODB_ATLAS_BASE_URL: "http://127.0.0.1:9", // nobody there: the access list counts as not readable
    },
    args,
  );

/** The preview job's own command line. */
async function preview() {
  const { with: inputs } = pulumiStep((await workflow("preview")).jobs.preview!);
  expect(inputs.command).toBe("preview");
  const flags = [inputs.diff === true && "--diff", inputs.refresh === true && "--refresh"].filter(
    (flag) => flag !== false,
  );
  return pulumi("preview", "--stack", "prod", "--policy-pack", String(inputs.policyPacks), ...flags);
}

/** Rules that fail a preview; the others only warn. */
const mandatory = policies.filter(({ enforcementLevel }) => enforcementLevel !== "advisory");

async function stackFile(more: Record<string, unknown> = {}): Promise<string> {
  const own = {
    hostname: "slm.example.com",
    zoneId: zone_id,
    accountId: account_id,
    protect: true,
    access: { servers: [{ name: "backend" }], people: { emails: ["director@example.com"] } },
    alerts: { emails: ["ops@example.com"] },
    macs: [{ name: "studio", host: "192.0.2.1", user: "deploy", hostKey: "ssh-ed25519 AAAAC3Nz" }],
    model: { kind: "ollama", url: "http://127.0.0.1:11434", embeddingModel: "bge-m3" },
    documents: {
      store: "atlas",
      atlas: {
        projectId: "0".repeat(24),
        cluster: { create: { name: "slm" } },
        database: "slm",
        allowFrom: ["203.0.113.7/32"],
      },
    },
    ...more,
  };
  const named = Object.entries(own).map(([key, value]) => [`slm-network:${key}`, value]);
  return stringify({ config: { "cloudflare:baseUrl": cloudflare.url, ...Object.fromEntries(named) } });
}

beforeAll(async () => {
  tools = await ensureTools(() => {});
  cloudflare = await startHarness({ apiTokens: [{ value: "only-reads", permissions }] });
  folder = await mkdtemp(join(tmpdir(), "slm-policy-"));
  const program = join(folder, "program");
  await mkdir(join(folder, "state"));
  await copyProgram(program, ["policy"]);
  await writeFile(join(program, "Pulumi.prod.yaml"), await stackFile());
  installProviders(join(folder, "home"), process.execPath);
  const made = await pulumi("stack", "init", "prod");
  expect(made.code, made.said).toBe(0);
  for (const key of ["tunnelSecret", "atlasSchemaPassword", "atlasRelayPassword"]) {
    const set = await pulumi("config", "set", "--stack", "prod", "--secret", key, secret);
    expect(set.code, set.said).toBe(0);
  }
}, 300_000);
afterAll(async () => {
  await cloudflare.close();
  await rm(folder, { recursive: true, force: true });
});

describe("a pull request's preview of the whole network, all of it new", { timeout: 600_000 }, () => {
  it("passes the pack, with an API token that may only read, and asks for nothing more", async () => {
    const { code, said } = await preview();
    expect(code, said).toBe(0);
    expect(said).toMatch(/Policy Packs run:\s+Name\s+Version\s+slm-network\|local\|policy\/pack/);
    expect(said).toMatch(/\+ (2[5-9]|3\d) to create/);
    expect(said).not.toMatch(/\[mandatory\]|\[advisory\]|can't run|can't be known/);
    // Who reviews it sees the tunnel's rules, though the audiences in them are not known yet.
    expect(said).toMatch(
      /ingresses: \[[\s\S]*hostname *: "slm\.example\.com"\s+originRequest[\s\S]*path *: "\^\/status/,
    );
    expect(cloudflare.lines).toEqual([]); // it logs what is refused, and what is no GET
  });

  it("passes with parts that the stack file unprotects by name, each with a warning, and no other", async () => {
    const file = join(folder, "program/Pulumi.prod.yaml");
    const before = await readFile(file, "utf8");
    const { encryptionsalt, config } = parse(before) as { encryptionsalt: string; config: Record<string, unknown> };
    const secrets = Object.entries(config).filter(([, value]) => typeof value === "object" && "secure" in value!);
    const saas = { mode: "saas", saasHostname: "slm.partner.example.net" };
    const macs = [
      {
        host: "192.0.2.1",
        user: "deploy",
        hostKey: "ssh-ed25519 AAAAC3Nz",
        sshThroughTunnel: { hostname: "ssh.example.com", servers: ["backend"] },
      },
    ];
    const parts = ["servers.backend", "saas", "ssh", "documents"];
    const text = parse(await stackFile({ unprotect: parts, route: saas, macs })) as { config: object };
    const all = { ...text.config, ...Object.fromEntries(secrets) };
    await writeFile(file, stringify({ encryptionsalt, config: all }));
    cloudflare.account.apiTokens[0]!.permissions = "all"; // mode saas reads certificates
    const { code, said } = await preview();
    expect(code, said).toBe(0);
    expect(said).not.toMatch(/\[mandatory\]/);
    for (const part of parts) expect(said).toMatch(new RegExp(`may be deleted: slm-network:unprotect has ${part}\\.`));
    // Everything else that holds state is protected.
    const { said: without } = await (async () => {
      await writeFile(file, stringify({ encryptionsalt, config: { ...all, "slm-network:unprotect": ["ssh"] } }));
      return preview();
    })();
    expect(without).not.toMatch(/has (servers\.backend|saas|documents)\./);
    await writeFile(file, before);
    cloudflare.account.apiTokens[0]!.permissions = permissions;
  });

  it("fails for each rule's mistake, as mandatory, without showing a secret", async () => {
    for (const [rule, file, right, wrong] of mistakes) {
      const path = join(folder, "program", file);
      const text = await readFile(path, "utf8");
      expect(text.split(right).length, `${rule}: ${file} has no ${right}`).toBeGreaterThan(1);
      await writeFile(path, text.replace(right, wrong));
    }
    const { code, said } = await preview();
    expect(code, said).not.toBe(0);
    for (const { name } of mandatory) expect(said, name).toMatch(new RegExp(`\\[mandatory\\].*${name}`));
    expect(mistakes.map(([rule]) => rule).toSorted()).toEqual(mandatory.map(({ name }) => name).toSorted());
    expect(said).toMatch(/the record "slm\.example\.com" leads to a tunnel and `proxied` is false/);
    expect(said).toMatch(/"slm\.example\.com" leads to a tunnel and no Access application/);
    expect(said).toMatch(/"slm\.example\.com servers" includes everyone/);
    expect(said).toMatch(/`input` is in plain text/);
    expect(said).toMatch(/slm-tunnel holds state and is not protected in the stack prod/);
    expect(said).toMatch(/0\.04\d* days after their last use/);
    expect(said.match(new RegExp(`^.*\\[mandatory\\].*${secret}.*$`, "gm"))).toBeNull();
  });
});
