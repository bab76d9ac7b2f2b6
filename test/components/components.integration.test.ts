import { beforeAll, describe, expect, it } from "vitest";
import { type Declared, only, recordResources, resolved, settled } from "./mocks.ts";

const accountId = "a".repeat(32);
const hostname = "slm.example.com";
let declared: Declared[];

const ofName = (name: string): Declared => {
  const found = declared.find((resource) => resource.name === name);
  if (!found) throw new Error(`nothing named ${name} was declared, only ${declared.map((one) => one.name).join(", ")}`);
  return found;
};

beforeAll(async () => {
  declared = await recordResources({
    "mongodbatlas:index/getAdvancedCluster:getAdvancedCluster": ({ name }) => ({
      name,
      connectionStrings: { standardSrv: "mongodb+srv://main.abc.mongodb.net", standard: "" },
    }),
  });
});

describe("Access", () => {
  it("lets in servers by token on the whole host, people by sign-in on /status only, nobody disabled", async () => {
    const { Access } = await import("../../components/access.ts");
    const access = new Access("net", {
      accountId,
      hostname,
      servers: [
        {
          name: "backend",
          enabled: true,
          secretVersion: 2,
          previousSecretExpiresAt: "2027-01-01T00:00:00Z",
          duration: "8760h",
        },
        { name: "old", enabled: false, secretVersion: 1, duration: "8760h" },
      ],
      people: {
        emails: ["a@example.com"],
        emailDomains: ["example.org"],
        sessionDuration: "12h",
        login: { existing: ["google-id"], declareOneTimePin: true },
      },
      singleHeader: "x-api-key",
      protect: true,
    });
    expect(await resolved(access.audiences.people)).toMatchObject({ value: "aud-of-net-app-people" });
    expect(await resolved(access.tokens.get("backend")!.clientSecret)).toEqual({
      value: "secret-of-net-token-backend",
      secret: true,
    });
    await settled();

    expect(ofName("net-token-backend").inputs).toMatchObject({
      clientSecretVersion: 2,
      previousClientSecretExpiresAt: "2027-01-01T00:00:00Z",
      enabled: true,
    });
    // The official provider takes the two together or not at all.
    expect(ofName("net-token-old").inputs).not.toHaveProperty("previousClientSecretExpiresAt");
    expect(ofName("net-token-old").inputs).not.toHaveProperty("clientSecretVersion");
    expect(ofName("net-policy-servers").inputs).toMatchObject({
      decision: "non_identity",
      includes: [{ serviceToken: { tokenId: "id-of-net-token-backend" } }],
    });
    expect(ofName("net-policy-people").inputs).toMatchObject({
      decision: "allow",
      includes: [{ email: { email: "a@example.com" } }, { emailDomain: { domain: "example.org" } }],
    });
    expect(ofName("net-app-servers").inputs).toMatchObject({
      destinations: [{ type: "public", uri: hostname }],
      policies: [{ id: "id-of-net-policy-servers", precedence: 1 }],
      readServiceTokensFromHeader: "x-api-key",
    });
    // People sign in; a token in a header is for servers.
    expect(ofName("net-app-people").inputs).not.toHaveProperty("readServiceTokensFromHeader");
    expect(ofName("net-app-people").inputs).toMatchObject({
      destinations: [{ type: "public", uri: `${hostname}/status` }],
      sessionDuration: "12h",
      allowedIdps: ["google-id", "id-of-net-one-time-pin"],
    });
    expect(ofName("net-app-servers").inputs).not.toHaveProperty("allowedIdps");
    expect(ofName("net-one-time-pin").inputs).toEqual({
      accountId,
      name: "One-time PIN",
      type: "onetimepin",
      config: {},
    });
    expect(access.hostnames).toEqual(new Set([hostname]));
  });

  it("declares no policy for people when nobody is named, so that nobody is let in", async () => {
    const { Access } = await import("../../components/access.ts");
    const access = new Access("alone", {
      accountId,
      hostname,
      servers: [{ name: "backend", enabled: true, secretVersion: 1, duration: "8760h" }],
      people: {
        emails: [],
        emailDomains: [],
        sessionDuration: "24h",
        login: { existing: [], declareOneTimePin: false },
      },
      protect: false,
    });
    await resolved(access.audiences.people);
    await settled();
    expect(declared.some((resource) => resource.name === "alone-policy-people")).toBe(false);
    expect(ofName("alone-app-people").inputs.policies).toEqual([]);
    expect(ofName("alone-app-people").inputs).not.toHaveProperty("allowedIdps");
    expect(declared.some((resource) => resource.name === "alone-one-time-pin")).toBe(false);
  });

  it("takes the one-time PIN that is there by its id, and declares none", async () => {
    const { Access } = await import("../../components/access.ts");
    const access = new Access("adopts", {
      accountId,
      hostname,
      servers: [{ name: "backend", enabled: true, secretVersion: 1, duration: "8760h" }],
      people: {
        emails: ["a@example.com"],
        emailDomains: [],
        sessionDuration: "24h",
        login: { existing: ["the-pin-of-the-account"], declareOneTimePin: false },
      },
      protect: false,
    });
    await resolved(access.audiences.people);
    await settled();
    expect(ofName("adopts-app-people").inputs.allowedIdps).toEqual(["the-pin-of-the-account"]);
    expect(declared.some((resource) => resource.name === "adopts-one-time-pin")).toBe(false);
  });
});

describe("a name without an Access application in front", () => {
  const reason =
    /^b\.example\.com would lead to the tunnel without an Access application .*\(it has slm\.example\.com\)/;
  const behindAccess = new Set([hostname]);

  it("gets no record", async () => {
    const { Route } = await import("../../components/route.ts");
    const args = { zoneId: "z".repeat(32), target: "id.cfargotunnel.com", protect: true, behindAccess };
    expect(() => new Route("open", { ...args, hostname: "b.example.com" })).toThrow(reason);
    await settled();
    expect(declared.some(({ name }) => name.startsWith("open-"))).toBe(false);
  });

  it("gets no rule in the tunnel, nor a tunnel", async () => {
    const { Tunnel } = await import("../../components/tunnel.ts");
    const args = {
      accountId,
      tunnelName: "t",
      tunnelSecret: "c2VjcmV0",
      relayPort: 8790,
      teamName: "acme",
      audiences: { servers: "a", people: "b" },
      behindAccess,
      protect: true,
    };
    expect(() => new Tunnel("open", { ...args, hostname, alsoHostnames: ["b.example.com"] })).toThrow(reason);
    expect(() => new Tunnel("open", { ...args, hostname: "b.example.com" })).toThrow(reason);
    await settled();
    expect(declared.some(({ name }) => name.startsWith("open-"))).toBe(false);
  });
});

describe("Tunnel", () => {
  it("is configured from Cloudflare, with our own secret, one rule and audience a path", async () => {
    const { Tunnel } = await import("../../components/tunnel.ts");
    const tunnel = new Tunnel("t", {
      accountId,
      tunnelName: "slm-network-test",
      hostname,
      behindAccess: new Set([hostname]),
      tunnelSecret: "c2VjcmV0",
      relayPort: 8790,
      teamName: "acme",
      audiences: { servers: "aud-servers", people: "aud-people" },
      protect: true,
    });
    const token = await resolved(tunnel.connectorToken);
    expect(token.secret).toBe(true);
    expect(JSON.parse(Buffer.from(token.value, "base64").toString())).toEqual({
      a: accountId,
      t: "id-of-t-tunnel",
      s: "c2VjcmV0",
    });
    await settled();
    expect(ofName("t-tunnel").inputs).toMatchObject({ configSrc: "cloudflare", name: "slm-network-test" });
    const { ingresses } = ofName("t-ingress").inputs.config as { ingresses: Record<string, unknown>[] };
    const check = (aud: string) => ({ access: { required: true, teamName: "acme", audTags: [aud] } });
    expect(ingresses).toMatchObject([
      { hostname, path: "^/readyz$", service: "http://127.0.0.1:8790" },
      { hostname, path: "^/status(/|$)", originRequest: check("aud-people") },
      { hostname, originRequest: check("aud-servers") },
      { service: "http_status:404" },
    ]);
    expect(ingresses[0]).not.toHaveProperty("originRequest");
    expect(ingresses[3]).not.toHaveProperty("hostname");
  });
});

describe("Route", () => {
  it("is a proxied record to the tunnel, without `settings`", async () => {
    const { Route } = await import("../../components/route.ts");
    const route = new Route("r", {
      zoneId: "z".repeat(32),
      hostname,
      behindAccess: new Set([hostname]),
      target: "id.cfargotunnel.com",
      protect: true,
    });
    await resolved(route.hostname);
    await settled();
    const { inputs } = only(declared, "cloudflare:index/dnsRecord:DnsRecord");
    expect(inputs).toEqual({
      zoneId: "z".repeat(32),
      name: hostname,
      type: "CNAME",
      content: "id.cfargotunnel.com",
      proxied: true,
      ttl: 1,
    });
  });
});

describe("DocumentStore", () => {
  it("gives each of two users what it needs on the one database, and the relay a connection string that survives any password", async () => {
    const { DocumentStore } = await import("../../components/document-store.ts");
    const password = "p@ss:/?#%w";
    const store = new DocumentStore("d", {
      projectId: "0".repeat(24),
      cluster: "main",
      database: "slm",
      collection: "documents",
      ttlDays: 30,
      allowFrom: ["203.0.113.7/32"],
      schemaPassword: "schema-password",
      relayPassword: password,
      dropData: false,
      protect: true,
    });
    const uri = await resolved(store.relayUri);
    expect(uri.secret).toBe(true);
    expect(new URL(uri.value).host).toBe("main.abc.mongodb.net");
    expect(decodeURIComponent(new URL(uri.value).password)).toBe(password);
    await settled();
    expect(ofName("d-user-relay").inputs.roles).toEqual([{ roleName: "readWrite", databaseName: "slm" }]);
    expect(ofName("d-user-schema").inputs.roles).toEqual([
      { roleName: "readWrite", databaseName: "slm" },
      { roleName: "dbAdmin", databaseName: "slm" },
    ]);
    expect(ofName("d-from-203-0-113-7-32").inputs).toMatchObject({ cidrBlock: "203.0.113.7/32" });
    expect(ofName("d-documents").inputs).toMatchObject({
      ttlSeconds: 2_592_000,
      database: "slm",
      collection: "documents",
    });
  });

  it("makes a Flex cluster in Seoul when asked to, and takes its connection string", async () => {
    const { DocumentStore } = await import("../../components/document-store.ts");
    const store = new DocumentStore("flex", {
      projectId: "0".repeat(24),
      cluster: { create: { name: "slm", provider: "AWS", region: "AP_NORTHEAST_2" } },
      database: "slm",
      comment: `slm-network, stack ${"x".repeat(100)}`,
      tags: { "made-by": "slm-network" },
      collection: "documents",
      ttlDays: 30,
      allowFrom: ["203.0.113.7/32"],
      schemaPassword: "schema-password",
      relayPassword: "relay-password",
      dropData: false,
      protect: true,
    });
    expect((await resolved(store.relayUri)).value).toBe(
      "mongodb+srv://slm-relay:relay-password@flex.abc.mongodb.net/?authSource=admin",
    );
    await settled();
    expect(ofName("flex-cluster").inputs).toMatchObject({
      name: "slm",
      providerSettings: { backingProviderName: "AWS", regionName: "AP_NORTHEAST_2" },
      terminationProtectionEnabled: true,
      tags: { "made-by": "slm-network" },
    });
    expect(ofName("flex-user-relay").inputs.description).toHaveLength(100);
    expect(ofName("flex-user-relay").inputs.scopes).toEqual([{ name: "slm", type: "CLUSTER" }]);
  });

  it("keeps several hosts and options of a connection string", async () => {
    const { withCredentials } = await import("../../components/document-store.ts");
    const uri = withCredentials("mongodb://a:27017,b:27017/?replicaSet=r&tls=true", "u", "a b/c");
    expect(uri).toBe("mongodb://u:a%20b%2Fc@a:27017,b:27017/?replicaSet=r&tls=true&authSource=admin");
  });
});

describe("MacHost", () => {
  it("uploads one archive named by its hash, and passes secrets through standard input only", async () => {
    const { MacHost } = await import("../../components/mac/mac-host.ts");
    const input = { connectorToken: "very-secret-token" };
    const host = new MacHost("m", {
      connection: { host: "mac.local", port: 22, user: "deploy", hostKey: "ssh-ed25519 AAAA" },
      release: { path: "package.json", sha256: "f".repeat(64) },
      node: { url: "https://nodejs.org/node.tgz", sha256: "e".repeat(64) },
      // The component passes it on as it is; what is in it is checked where it is made.
      input: input as never,
    });
    await resolved(host.report);
    await settled();
    expect(ofName("m-upload").inputs.remotePath).toBe(`slm-network-${"f".repeat(64)}.tar`);
    const { inputs } = ofName("m-install");
    const { input: installed, ...rest } = inputs;
    expect(JSON.stringify(installed)).toContain("very-secret-token");
    expect(JSON.stringify(rest)).not.toContain("very-secret-token");
    expect(rest).toMatchObject({ release: { sha256: "f".repeat(64) }, removeData: false, previousGone: false });
    // Only stacks of an earlier version have something for it to stand for.
    expect(declared.find(({ name }) => name === "m-reach")).toBeUndefined();
  });

  it("writes functions into the state that hold no path of this machine and no copy of the work", async () => {
    const text = String(ofName("m-install").inputs.__provider);
    expect(text).toContain("components/mac/provider.ts");
    expect(text).not.toContain(process.cwd());
    expect(text.length).toBeLessThan(6_000);
  });

  it("sends Node and cloudflared to a Mac without a way out, and tells neither address", async () => {
    const { MacHost } = await import("../../components/mac/mac-host.ts");
    const [node, cloudflared] = ["1".repeat(64), "2".repeat(64)];
    const host = new MacHost("sent", {
      connection: { host: "mac.local", port: 22, user: "deploy", hostKey: "ssh-ed25519 AAAA" },
      release: { path: "package.json", sha256: "f".repeat(64) },
      node: { url: "https://nodejs.org/node.tgz", sha256: node },
      uploads: {
        node: { path: "package.json", sha256: node },
        cloudflared: { path: "package.json", sha256: cloudflared },
      },
      input: {} as never,
      removeData: true,
    });
    await resolved(host.report);
    await settled();
    expect(ofName("sent-upload-node").inputs.remotePath).toBe(`slm-network-${node}.tgz`);
    expect(ofName("sent-upload-cloudflared").inputs.remotePath).toBe(`slm-network-${cloudflared}.tgz`);
    expect(ofName("sent-install").inputs).toMatchObject({
      uploads: { node: { sha256: node }, cloudflared: { sha256: cloudflared } },
      removeData: true,
    });
  });

  it("takes over what the version before named after the Mac, as the deployed state says", async () => {
    const { formerMacNames } = await import("../../components/mac/former-names.ts");
    const urn = (type: string, name: string) => `urn:pulumi:prod::slm-network::${type}::${name}`;
    const one = (type: string, name: string, parents = "") => ({
      urn: urn(parents + type, name),
      type,
      name,
      outputs: {},
    });
    const inHost = "slm-network:mac-host:MacHost$";
    const deployed = [
      one("slm-network:mac-host:MacHost", "slm-studio"),
      one("command:remote:Command", "slm-studio-install", inHost),
      one("command:local:Command", "slm-studio-reach", inHost),
      one("command:remote:Command", "somebody-s-install"),
      one("slm-network:ssh-entry:SshEntry", "slm-studio"),
      one("slm-network:route:Route", "slm"),
      one("slm-network:route:Route", "slm-studio-ssh"),
    ];
    expect(formerMacNames("slm-mac", deployed)).toEqual({
      component: [{ name: "slm-studio" }],
      install: [urn("slm-network:mac-host:MacHost$command:remote:Command", "slm-studio-install")],
      reach: [urn("slm-network:mac-host:MacHost$command:local:Command", "slm-studio-reach")],
      sshEntry: [{ name: "slm-studio" }],
      sshRoute: [{ name: "slm-studio-ssh" }],
    });
    // Once taken over, and in a new stack, there is nothing left to take.
    const now = [
      one("slm-network:mac-host:MacHost", "slm-mac"),
      one("pulumi-nodejs:dynamic/mac:Installation", "slm-mac-install", inHost),
      one("pulumi-nodejs:dynamic/mac:Nothing", "slm-mac-reach", inHost),
      one("slm-network:route:Route", "slm-mac-ssh"),
    ];
    expect(formerMacNames("slm-mac", now)).toEqual({
      component: [],
      install: [],
      reach: [],
      sshEntry: [],
      sshRoute: [],
    });
    expect(formerMacNames("slm-mac", []).reach).toBeUndefined();
  });

  it("quotes what it runs, so that a quote in an address stays an argument", async () => {
    const { asRoot } = await import("../../components/mac/mac-host.ts");
    const { execFileSync } = await import("node:child_process");
    const command = asRoot('printf "%s|" "$@"', "a'b", "c d", "$HOME").replace("sudo -n ", "");
    expect(execFileSync("/bin/sh", ["-c", command]).toString()).toBe("a'b|c d|$HOME|");
  });
});

describe("every component", () => {
  it("has the type token of its module, and children named after it", () => {
    const components = declared.filter((resource) => resource.type.startsWith("slm-network:"));
    expect(new Set(components.map((component) => component.type))).toEqual(
      new Set([
        "slm-network:access:Access",
        "slm-network:tunnel:Tunnel",
        "slm-network:route:Route",
        "slm-network:document-store:DocumentStore",
        "slm-network:mac-host:MacHost",
      ]),
    );
    const prefixes = components.map((component) => `${component.name}-`);
    for (const child of declared.filter((resource) => !components.includes(resource))) {
      expect(
        prefixes.some((prefix) => child.name.startsWith(prefix)),
        child.name,
      ).toBe(true);
    }
  });
});
