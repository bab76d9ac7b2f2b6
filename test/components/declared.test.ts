/** Knowledge about resource types stands in config/resource-types.ts: nothing that is declared is missing there. */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { neededPermissions, permissionName } from "../../accounts/permissions.ts";
import { parseStackConfig } from "../../config/config.ts";
import { installInput } from "../../config/install-input.ts";
import { type ResourceKind, resourceTypes } from "../../config/resource-types.ts";
import { type Declared, recordResources, settled } from "./mocks.ts";

const folder = join(import.meta.dirname, "../..");
let declared: Declared[];

/** Every component with everything switched on. */
beforeAll(async () => {
  declared = await recordResources();
  const { Access } = await import("../../components/access.ts");
  const { Alerts } = await import("../../components/alerts.ts");
  const { DocumentStore } = await import("../../components/document-store.ts");
  const { MacHost } = await import("../../components/mac/mac-host.ts");
  const { Route } = await import("../../components/route.ts");
  const { SaasHostname } = await import("../../components/saas-hostname.ts");
  const { SshEntry } = await import("../../components/ssh-entry.ts");
  const { Tunnel } = await import("../../components/tunnel.ts");
  const accountId = "a".repeat(32);
  const zoneId = "b".repeat(32);
  const hostname = "slm.example.com";
  const behindAccess = new Set([hostname]);
  const login = { existing: [], declareOneTimePin: true };
  const people = { emails: ["a@example.com"], emailDomains: [], login, sessionDuration: "24h" };
  const servers = [{ name: "backend", enabled: true, secretVersion: 1, duration: "8760h" }];
  const scrapers = [{ name: "prometheus", enabled: true, secretVersion: 1, duration: "8760h" }];
  const access = new Access("slm", { accountId, hostname, servers, scrapers, people, protect: true });
  const tunnel = new Tunnel("slm", {
    accountId,
    tunnelName: "t",
    hostname,
    behindAccess,
    tunnelSecret: "c2VjcmV0",
    relayPort: 8790,
    teamName: "acme",
    audiences: access.audiences,
    protect: true,
  });
  const { TunnelConnections } = await import("../../components/tunnel-connections.ts");
  new TunnelConnections("slm-connections", { accountId, tunnelId: tunnel.tunnelId });
  new Route("slm", {
    zoneId,
    hostname,
    behindAccess,
    target: tunnel.cname,
    regionKey: "kr",
    fallbackOrigin: true,
    protect: true,
  });
  new SaasHostname("slm", { zoneId, saasHostname: "slm.example.net", hostname, isServed: false, protect: true });
  new SshEntry("slm-mac", {
    accountId,
    hostname: "ssh.example.com",
    emails: ["a@example.com"],
    identityProviders: ["pin-id"],
    tokenIds: [],
    protect: true,
  });
  new Alerts("slm", { accountId, hostname, tunnelId: tunnel.tunnelId, description: "x", emails: ["a@example.com"] });
  new DocumentStore("slm", {
    projectId: "0".repeat(24),
    cluster: { create: { name: "slm", provider: "AWS", region: "AP_NORTHEAST_2" } },
    database: "slm",
    collection: "documents",
    ttlDays: 30,
    allowFrom: ["203.0.113.7/32"],
    schemaPassword: "one",
    relayPassword: "two",
    dropData: false,
    protect: true,
  });
  const { noFormerNames } = await import("../../components/mac/former-names.ts");
  const config = parseStackConfig({
    hostname,
    zoneId,
    accountId,
    access: { servers: [{ name: "backend" }] },
    macs: [{ host: "192.0.2.1", user: "deploy", hostKey: "ssh-ed25519 AAAAC3Nz" }],
    model: { embeddingModel: "bge-m3" },
    tunnelSecret: Buffer.alloc(32, 1).toString("base64"),
  });
  new MacHost("slm-mac", {
    connection: { host: "192.0.2.1", port: 22, user: "deploy", hostKey: "ssh-ed25519 AAAAC3Nz" },
    release: { path: "package.json", sha256: "0".repeat(64) },
    node: { url: "https://example.com/node.tgz", sha256: "1".repeat(64) },
    input: installInput({
      config,
      teamDomain: "acme.cloudflareaccess.com",
      audiences: { servers: "s", people: "p" },
      clientIds: new Map([["backend", `${"0".repeat(32)}.access`]]),
      connectorToken: "token",
    }),
    former: { ...noFormerNames, reach: ["urn:pulumi:test::slm-network::command:local:Command::slm-studio-reach"] },
  });
  await settled();
});
afterAll(() => settled());

/** Source of the program's components, by path. */
const sources = globSync("{index.ts,components/**/*.ts}", { cwd: folder }).map(
  (path) => [path, readFileSync(join(folder, path), "utf8")] as const,
);

/**
 * @returns type tokens of the SDKs' resources in a source: of each class that is imported by its name, and of each
 * `new namespace.Class(` of a whole SDK
 */
async function declaredBy(text: string): Promise<string[]> {
  const tokens: string[] = [];
  const load = (specifier: string) => import(specifier) as Promise<Record<string, unknown>>;
  const sdk = /"(@pulumi\/(?!pulumi\b)[^"]+)"/.source;
  const names = String.raw`\{([^}]*)\}`;
  for (const form of [`import ${names} from ${sdk}`, String.raw`${names} = await import\(${sdk}\)`]) {
    for (const [, list = "", specifier = ""] of text.matchAll(new RegExp(form, "g"))) {
      const module = await load(specifier);
      for (const name of list.split(",")) tokens.push(...tokenOf(module[name.trim().split(/\s|:/)[0] ?? ""]));
    }
  }
  for (const [, namespace = "", specifier = ""] of text.matchAll(new RegExp(`import \\* as (\\w+) from ${sdk}`, "g"))) {
    const module = await load(specifier);
    for (const path of matches(text, new RegExp(`new ${namespace}\\.([\\w.]+)\\(`, "g"))) {
      const found = path.split(".").reduce<unknown>((at, name) => (at as Record<string, unknown>)[name], module);
      tokens.push(...tokenOf(found));
    }
  }
  return tokens;
}

/** @returns the token if `found` is a resource's class */
const tokenOf = (found: unknown): string[] => {
  const { __pulumiType: token } = (found ?? {}) as { __pulumiType?: string };
  return token === undefined ? [] : [token];
};

const matches = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].map(([, found = ""]) => found);

describe("this file", () => {
  const recorded = () => declared.map(({ type }) => type);

  it("constructs every component", () => {
    const components = sources.filter(([, text]) =>
      /extends pulumi\.(ComponentResource|dynamic\.Resource)\b/.test(text),
    );
    expect(components.length).toBeGreaterThan(5);
    for (const [path, text] of components) {
      const classes = matches(text, /extends pulumi\.(ComponentResource|dynamic\.Resource)\b/g);
      const tokens = [
        ...matches(text, /super\(\s*"([^"]+)"/g),
        ...[...text.matchAll(/super\([^;]*?"([^"]+)",\s*"([^"]+)",?\s*\);/g)].map(
          ([, module, type]) => `pulumi-nodejs:dynamic/${module}:${type}`,
        ),
      ];
      expect([path, tokens.length], "write the type token as a literal of super()").toEqual([path, classes.length]);
      for (const token of tokens) expect([path, recorded()]).toEqual([path, expect.arrayContaining([token])]);
    }
  });

  it("reaches every resource that a component declares", async () => {
    for (const [path, text] of sources) {
      for (const token of await declaredBy(text))
        expect([path, recorded()]).toEqual([path, expect.arrayContaining([token])]);
    }
  });

  it.each([
    ['import { Zone } from "@pulumi/cloudflare/zone.js";', ["cloudflare:index/zone:Zone"]],
    ['import { type ZoneArgs, Zone as Domain } from "@pulumi/cloudflare/zone.js";', ["cloudflare:index/zone:Zone"]],
    ['import type { Zone } from "@pulumi/cloudflare/zone.js";', []],
    ['const { Zone } = await import("@pulumi/cloudflare/zone.js");', ["cloudflare:index/zone:Zone"]],
    ['import { getProjectOutput } from "@pulumi/mongodbatlas/getProject.js";', []],
    ['import * as command from "@pulumi/command";\nnew command.local.Command("a");', ["command:local:Command"]],
  ])("finds the resource types in %j", async (text, tokens) => {
    expect(await declaredBy(text)).toEqual(tokens);
  });
});

describe("the table of resource types", () => {
  it("has every type that the components declare, and no other", () => {
    const types = new Set(declared.map(({ type }) => type).filter((type) => !type.startsWith("slm-network:")));
    expect([...types].sort()).toEqual(
      Object.values(resourceTypes)
        .map(({ token }) => token)
        .sort(),
    );
  });

  it("has every type that the sources of the components name, and no other of the SDKs", async () => {
    const named = new Set((await Promise.all(sources.map(([, text]) => declaredBy(text)))).flat());
    const ofSdks = Object.values(resourceTypes).filter(({ token }) => !token.startsWith("pulumi-nodejs:dynamic/"));
    expect([...named].sort()).toEqual(ofSdks.map(({ token }) => token).sort());
  });

  it("names inputs that the types have as those that must be secrets", () => {
    for (const { token, secretInputs } of Object.values(resourceTypes)) {
      const inputs = declared.filter(({ type }) => type === token).flatMap((one) => Object.keys(one.inputs));
      expect(inputs, token).toEqual(expect.arrayContaining([...secretInputs]));
    }
  });
});

describe("permissions of the API token", () => {
  const everything = {
    alerts: { emails: ["a@example.com"] },
    route: { saasHostname: "slm.example.net" },
    makesOneTimePin: true,
  };
  const asked = neededPermissions(everything, false);

  it("are asked for with a right to write for every type that is declared", () => {
    const names = asked.map(permissionName);
    for (const kind of Object.keys(resourceTypes) as ResourceKind[]) {
      const { permission } = resourceTypes[kind];
      if (permission) expect([kind, names]).toEqual([kind, expect.arrayContaining([`${permission} Write`])]);
    }
  });

  it.each(["README.md", "README.ko.md", "docs/preflight.md"])("are all in the table of %s", (file) => {
    const text = readFileSync(join(folder, file), "utf8");
    for (const { group } of asked) expect([group, text.includes(group)]).toEqual([group, true]);
  });
});
