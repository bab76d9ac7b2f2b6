/** Each setting of the stack's config reaches the Mac's installer, or is listed here with the place that uses it. */
import { describe, expect, it } from "vitest";
import type { z } from "zod";
import { directLines } from "../../components/direct-route.ts";
import { parseStackConfig } from "../../config/config.ts";
import { installInput } from "../../config/install-input.ts";
import { stackConfigSchema } from "../../config/schema.ts";
import { type InstallInput, installInputSchema } from "../../runtime/install-input-schema.ts";

const cloudflare = "declared at Cloudflare (index.ts)";
const ssh = "how this computer reaches the Mac (components/mac)";
const atlas = "declared at Atlas (components/document-store.ts)";

/** Settings, or whole sections, that the installer does not get, with what uses them. */
const ELSEWHERE: Record<string, string> = {
  zoneId: cloudflare,
  accountId: cloudflare,
  protect: "an option of resources",
  unprotect: "an option of resources",
  "route.mode": cloudflare,
  "route.expectColo": "output that `npm run probe` reads",
  "route.regionKey": cloudflare,
  "route.saasHostname": cloudflare,
  "access.people.emails": cloudflare,
  "access.people.emailDomains": cloudflare,
  "access.people.identityProviders": cloudflare,
  "access.people.sessionDuration": cloudflare,
  // On the Mac they would make a rotation depend on it; direct lines get their own times (components/mac/direct-credentials.ts).
  "access.servers[].secretVersion": cloudflare,
  "access.servers[].previousSecretExpiresAt": cloudflare,
  "metrics.scrapers[].secretVersion": cloudflare,
  "metrics.scrapers[].previousSecretExpiresAt": cloudflare,
  "macs[].name": "name of the Pulumi resource",
  "macs[].host": ssh,
  "macs[].port": ssh,
  "macs[].user": ssh,
  "macs[].hostKey": ssh,
  "macs[].jump": ssh,
  "macs[].sshThroughTunnel": cloudflare,
  "macs[].power.ups.mayStayOff": "an opt-in that only the schema reads",
  "macs[].previous": ssh,
  "macs[].removeData": "read at pulumi destroy",
  "macs[].skipRemoval": "read at pulumi destroy",
  "alerts.emails": cloudflare,
  "documents.dropData": atlas,
  "documents.atlas.projectId": atlas,
  "documents.atlas.cluster": atlas,
  "documents.atlas.userPrefix": atlas,
  "documents.atlas.connection": atlas,
  "documents.atlas.allowFrom": atlas,
  "documents.atlas.allowAnywhere": atlas,
  "artifacts.node": "uploaded by components/mac before the installer runs",
  tunnelSecret: "makes the connector token, which the installer gets",
  atlasSchemaPassword: atlas,
  atlasRelayPassword: "part of the connection string, which the installer gets",
  fallbackKey: "argument of installInput()",
  modelKey: "argument of installInput()",
  otlpHeaders: "argument of installInput()",
};

const hostKey = (first: string) =>
  `ssh-ed25519 ${Buffer.concat([Buffer.from([0, 0, 0, 11]), Buffer.from("ssh-ed25519"), Buffer.from([0, 0, 0, 32]), Buffer.alloc(32, first)]).toString("base64")}`;

/** Two values for each setting, neither of them its default. */
type Both = readonly [unknown, unknown];
const VALUES: Record<string, Both> = {
  hostname: ["a.example.com", "b.example.com"],
  zoneId: ["1".repeat(32), "2".repeat(32)],
  accountId: ["1".repeat(32), "2".repeat(32)],
  protect: [false, true],
  "unprotect[]": ["saas", "ssh"],
  "route.mode": ["proxied", "proxied"],
  "route.expectColo[]": ["NRT", "KIX"],
  "route.regionKey": [undefined, undefined],
  "route.saasHostname": [undefined, undefined],
  "route.direct[].server": ["backend", "batch"],
  "route.direct[].host": ["one.example.com", "two.example.com"],
  "route.direct[].port": [2222, 2223],
  "route.direct[].user": ["one", "two"],
  "route.direct[].hostKey": [hostKey("1"), hostKey("2")],
  "route.direct[].listen": ["127.0.0.1:18401", "127.0.0.1:18402"],
  "access.servers[].name": ["backend", "batch"],
  "access.servers[].companies[]": ["one", "two"],
  "access.servers[].weight": [2, 3],
  "access.servers[].secretVersion": [2, 3],
  "access.servers[].previousSecretExpiresAt": ["2030-01-01T00:00:00Z", "2031-01-01T00:00:00Z"],
  "access.servers[].enabled": [false, true],
  "access.servers[].duration": ["1h", "2h"],
  "access.people.emails[]": ["a@example.com", "b@example.com"],
  "access.people.emailDomains[]": ["a.example.com", "b.example.com"],
  "access.people.identityProviders[]": ["one", "two"],
  "access.people.sessionDuration": ["1h", "2h"],
  "access.people.operators[]": ["operator@example.com", undefined],
  "access.singleHeader": ["x-one", "x-two"],
  "macs[].name": ["one", "two"],
  "macs[].host": ["192.0.2.1", "192.0.2.2"],
  "macs[].port": [2222, 2223],
  "macs[].user": ["one", "two"],
  "macs[].hostKey": [hostKey("3"), hostKey("4")],
  "macs[].jump.host": ["192.0.2.3", "192.0.2.4"],
  "macs[].jump.port": [2222, 2223],
  "macs[].jump.user": ["one", "two"],
  "macs[].jump.hostKey": [hostKey("5"), hostKey("6")],
  "macs[].sshThroughTunnel.hostname": ["ssh-a.example.com", "ssh-b.example.com"],
  "macs[].sshThroughTunnel.port": [2222, 2223],
  "macs[].sshThroughTunnel.emails[]": ["a@example.com", "b@example.com"],
  "macs[].sshThroughTunnel.servers[]": ["backend", "batch"],
  "macs[].ports.relay": [9001, 9002],
  "macs[].ports.admin": [9003, 9004],
  "macs[].ports.connector": [9005, 9006],
  "macs[].ports.direct": [9007, 9008],
  "macs[].edgeIpVersion": [4, "auto"],
  "macs[].power.set": [false, true],
  "macs[].power.ups.mayStayOff": [true, true],
  "macs[].power.ups.haltLevel": [1, 2],
  "macs[].power.ups.haltAfter": [3, 4],
  "macs[].power.ups.haltRemain": [5, 6],
  "macs[].previous": ["gone", undefined],
  "macs[].removeData": [true, false],
  "macs[].skipRemoval": [true, false],
  "model.kind": ["openai", "ollama"],
  "model.url": ["http://127.0.0.1:1", "http://127.0.0.1:2"],
  "model.embeddingModel": ["one", "two"],
  "model.rerankModel": ["one", "two"],
  "model.allowed[]": ["one", "two"],
  "model.timeouts.connect": [1, 2],
  "model.timeouts.firstByte": [3, 4],
  "model.timeouts.silence": [5, 6],
  "model.options.num_ctx.min": [1, 2],
  "model.options.num_ctx.max": [1024, 2048],
  "model.options.num_batch.min": [1, 2],
  "model.options.num_batch.max": [1024, 2048],
  "model.options.num_gpu.min": [1, 2],
  "model.options.num_gpu.max": [1024, 2048],
  "model.options.main_gpu.min": [1, 2],
  "model.options.main_gpu.max": [1024, 2048],
  "model.options.num_thread.min": [1, 2],
  "model.options.num_thread.max": [1024, 2048],
  "model.options.ttl.min": [60, 61],
  "model.options.ttl.max": [3600, 3601],
  "model.options.use_mmap": [true, undefined],
  "model.options.use_mlock": [true, undefined],
  "model.service.program": ["/one", "/two"],
  "model.service.args[]": ["one", "two"],
  "model.service.env": [{ ONE: "1" }, { TWO: "2" }],
  "model.service.user": ["one", "two"],
  "model.service.workingDirectory": ["/one", "/two"],
  "fallback.url": ["https://one.example.com", "https://two.example.com"],
  "fallback.model": ["one", "two"],
  "fallback.companies[]": ["one", "two"],
  "alerts.emails[]": ["a@example.com", "b@example.com"],
  "alerts.webhooks[].url": ["https://a.example.com/1", "https://b.example.com/2"],
  "alerts.webhooks[].secret": [`whsec_${"1".repeat(44)}`, `whsec_${"2".repeat(44)}`],
  "alerts.webhooks[].format": ["slack", "standard"],
  "alerts.webhooks[].language": ["ko", "en"],
  "alerts.webhooks[].events[]": ["disk", "quota"],
  "alerts.modelDownSeconds": [70, 71],
  "alerts.queueWaitSeconds": [40, 41],
  "alerts.diskPercent": [80, 81],
  "alerts.tokenEndDays": [20, 21],
  "alerts.storeDownSeconds": [70, 71],
  "alerts.lineDownSeconds": [310, 311],
  "telemetry.otlp.endpoint": ["https://a.example.com", "https://b.example.com"],
  "telemetry.otlp.samplingRatio": [0.5, 0.6],
  "telemetry.otlp.serviceName": ["one", "two"],
  "metrics.scrapers[].name": ["prometheus", "grafana"],
  "metrics.scrapers[].secretVersion": [2, 3],
  "metrics.scrapers[].previousSecretExpiresAt": ["2030-01-01T00:00:00Z", "2031-01-01T00:00:00Z"],
  "metrics.scrapers[].enabled": [false, true],
  "metrics.scrapers[].duration": ["1h", "2h"],
  "limits.chat": [7, 8],
  "limits.chatAuto.min": [1, 2],
  "limits.chatAuto.max": [7, 8],
  "limits.embeddings": [3, 4],
  "limits.waiting": [90, 91],
  "limits.waitingMiB": [128, 129],
  "limits.memoryMiB": [2048, 2049],
  "limits.waitSeconds": [30, 31],
  "limits.bodyMiB": [16, 17],
  "limits.whenBusy": ["reject", "queue"],
  "limits.callers": [{ default: { atOnce: 7 } }, { default: { atOnce: 8 } }],
  "limits.companies": [{ default: { tokensPerDay: 700 } }, { default: { tokensPerDay: 701 } }],
  "usage.retentionDays": [30, 31],
  "usage.timeZone": ["UTC", "Asia/Tokyo"],
  "usage.maxDiskMiB": [100, 101],
  "usage.prices.currency": ["KRW", "EUR"],
  "usage.prices.models": [{ default: { in: 1 } }, { default: { in: 2 } }],
  "usage.prices.fallback.in": [1, "2.5"],
  "usage.prices.fallback.cached": [0.5, 0.6],
  "usage.prices.fallback.out": [3, 4],
  "jobs.retentionDays": [8, 9],
  "jobs.maxDiskMiB": [700, 701],
  "jobs.minFreeMiB": [800, 801],
  "jobs.maxAttempts": [4, 5],
  "jobs.attemptMinutes": [40, 41],
  "jobs.slots": [2, 3],
  "documents.store": ["atlas", "embedded"],
  "documents.ttlDays": [31, 32],
  "documents.dropData": [true, false],
  "documents.atlas.projectId": ["1".repeat(24), "2".repeat(24)],
  "documents.atlas.cluster": ["one", "two"],
  "documents.atlas.cluster.create.name": [undefined, undefined],
  "documents.atlas.cluster.create.provider": [undefined, undefined],
  "documents.atlas.cluster.create.region": [undefined, undefined],
  "documents.atlas.database": ["one", "two"],
  "documents.atlas.userPrefix": ["one", "two"],
  "documents.atlas.connection": ["standard", "srv"],
  "documents.atlas.collection": ["one", "two"],
  "documents.atlas.allowFrom[]": ["203.0.113.7/32", "203.0.113.8/32"],
  "documents.atlas.allowAnywhere": [true, false],
  "documents.embedding.revision": ["1", "2"],
  "documents.embedding.dimensions": [64, 128],
  "documents.embedding.queryPrefix": ["one", "two"],
  "documents.embedding.documentPrefix": ["one", "two"],
  "documents.embedding.normalize": [false, true],
  "documents.chunk.characters": [500, 600],
  "documents.chunk.overlap": [10, 20],
  "documents.maxDiskMiB": [500, 501],
  "documents.tokensPerCompanyPerDay": [1000, 1001],
  "artifacts.node.url": ["https://example.com/1", "https://example.com/2"],
  "artifacts.node.sha256": ["1".repeat(64), "2".repeat(64)],
  "artifacts.cloudflared.url": ["https://example.com/3", "https://example.com/4"],
  "artifacts.cloudflared.sha256": ["3".repeat(64), "4".repeat(64)],
  "artifacts.push": [true, false],
  tunnelSecret: [Buffer.alloc(32, "1").toString("base64"), Buffer.alloc(32, "2").toString("base64")],
  atlasSchemaPassword: ["1".repeat(16), "2".repeat(16)],
  atlasRelayPassword: ["3".repeat(16), "4".repeat(16)],
  fallbackKey: ["one", "two"],
  modelKey: ["one", "two"],
  otlpHeaders: ["a=1", "a=2"],
};

/** What the walk below reads of a schema's definition. */
interface Definition {
  readonly type: string;
  readonly shape?: Readonly<Record<string, z.core.$ZodType>>;
  readonly options?: readonly z.core.$ZodType[];
  readonly element?: z.core.$ZodType;
  readonly out?: z.core.$ZodType;
  readonly innerType?: z.core.$ZodType;
}

/** Paths of all settings: `a.b` of objects, `a[]` of lists. A record (`model.service.env`) is one setting. */
function settingsOf(schema: z.core.$ZodType, path = ""): string[] {
  const { type, shape, options, element, out, innerType } = schema._zod.def as Definition;
  if (shape) {
    return Object.entries(shape).flatMap(([key, field]) => settingsOf(field, path === "" ? key : `${path}.${key}`));
  }
  if (options) return [...new Set(options.flatMap((option) => settingsOf(option, path)))];
  if (type === "array" && element) return settingsOf(element, `${path}[]`);
  const inner = type === "pipe" ? out : innerType;
  return inner ? settingsOf(inner, path) : [path];
}

/** The config with each setting's first value, and the second one for `changed`. Two servers have the names; the operator can sign in. */
function configWith(changed?: string): Record<string, unknown> {
  const config: Record<string, unknown> = {};
  for (const [path, [first, second]] of Object.entries(VALUES)) {
    const value = path === changed ? second : first;
    if (value === undefined) continue;
    const parts = path.split(".");
    const last = parts.pop() ?? "";
    let parent = config;
    for (const part of parts) {
      const key = part.replace(/\[\]$/, "");
      parent[key] ??= part.endsWith("[]") ? [{}] : {};
      parent = [parent[key]].flat()[0] as Record<string, unknown>;
    }
    parent[last.replace(/\[\]$/, "")] = last.endsWith("[]") ? [value] : value;
  }
  const { servers, people } = config.access as { servers: { name: string }[]; people: { emails: string[] } };
  people.emails.push("operator@example.com");
  const names = ["backend", "batch", "another"];
  servers.push(...names.filter((name) => name !== servers[0]?.name).map((name) => ({ name })));
  return config;
}

async function inputFor(raw: Record<string, unknown>): Promise<InstallInput> {
  const config = parseStackConfig(raw);
  const output = installInput({
    config,
    teamDomain: "acme.cloudflareaccess.com",
    audiences: { servers: "s", people: "p", metrics: "m" },
    clientIds: new Map(
      [...config.access.servers, ...config.metrics.scrapers].map(({ name }, index) => [
        name,
        `${`${index}`.repeat(32)}.access`,
      ]),
    ),
    otlpHeaders: "authorization=Bearer%20x",
    endOfLife: new Map(config.access.servers.map(({ name }) => [name, "2030-01-01T00:00:00Z"])),
    connectorToken: "token",
    mongodbUri: "mongodb://one",
    fallbackKey: "fallback",
    modelKey: "model",
    direct: {
      lines: directLines(config.route.direct, config.macs[0]!.ports.direct),
      credentials: { backend: [{ sha256: "0".repeat(64), expiresAt: "2030-01-01T00:00:00Z" }] },
    },
  });
  const input = await new Promise<InstallInput>((resolve) => {
    output.apply(resolve);
  });
  return JSON.parse(JSON.stringify(input)) as InstallInput;
}

const settings = settingsOf(stackConfigSchema);
const reasonFor = (path: string): string | undefined =>
  Object.entries(ELSEWHERE).find(
    ([prefix]) => path === prefix || path.startsWith(`${prefix}.`) || path.startsWith(`${prefix}[`),
  )?.[1];

describe("every setting of the stack's config", () => {
  it("has two values here", () => {
    expect(Object.keys(VALUES).toSorted()).toEqual(settings.toSorted());
    expect(settings.length).toBeGreaterThan(100);
  });

  it("reaches the installer, or is listed as used elsewhere", async () => {
    const before = JSON.stringify(await inputFor(configWith()));
    for (const path of settings) {
      const after = JSON.stringify(await inputFor(configWith(path)));
      expect([path, after === before ? "is not in the installer's input" : "reaches the installer"]).toEqual([
        path,
        reasonFor(path) === undefined ? "reaches the installer" : "is not in the installer's input",
      ]);
    }
  });

  it("has no stale entry in the list", () => {
    const stale = Object.keys(ELSEWHERE).filter((prefix) => !settings.some((path) => path.startsWith(prefix)));
    expect(stale).toEqual([]);
  });
});

describe("every field of the installer's input", () => {
  it("is set by a config with everything in it", async () => {
    const input = await inputFor(configWith());
    const paths = new Set<string>();
    const collect = (value: unknown, path: string): void => {
      paths.add(path);
      if (Array.isArray(value)) for (const one of value) collect(one, `${path}[]`);
      else if (typeof value === "object" && value !== null) {
        for (const [key, field] of Object.entries(value)) collect(field, path === "" ? key : `${path}.${key}`);
      }
    };
    collect(input, "");
    expect(settingsOf(installInputSchema).filter((path) => !paths.has(path))).toEqual([]);
  });
});
