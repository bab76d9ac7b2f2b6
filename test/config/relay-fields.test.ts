import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parseStackConfig } from "../../config/config.ts";
import { installInput } from "../../config/install-input.ts";
import { type InstallInput, installInputSchema } from "../../runtime/install-input-schema.ts";
import { jobsSchema, limitsSchema } from "../../runtime/limits-config.ts";
import { configProblems } from "../../runtime/relay/settings.ts";
import { testConfig } from "../runtime/relay/harness.ts";
import { LEAST as good, problemsOf } from "./stack.ts";

/** What the Mac is told for a stack's config, after both sides have checked it. */
async function told(changes: Record<string, unknown>): Promise<InstallInput["relay"]> {
  const output = installInput({
    config: parseStackConfig({ ...good, ...changes }),
    teamDomain: "acme.cloudflareaccess.com",
    audiences: { servers: "s", people: "p" },
    clientIds: new Map([["backend", `${"0".repeat(32)}.access`]]),
    connectorToken: "token",
  });
  const input = await new Promise<InstallInput>((resolve) => {
    output.apply(resolve);
  });
  return installInputSchema.parse(JSON.parse(JSON.stringify(input))).relay;
}

/** A value for each field that is not its default. */
const VALUES = {
  limits: {
    chat: 7,
    chatAuto: { min: 2, max: 7 },
    embeddings: 3,
    waiting: 99,
    waitingMiB: 123,
    memoryMiB: 2048,
    waitSeconds: 33,
    bodyMiB: 17,
    whenBusy: "reject",
    callers: { default: { requestsPerMinute: 60 } },
    companies: { default: { tokensPerMonth: 5_000_000 }, 국민: { atOnce: 2 } },
  } satisfies Record<keyof typeof limitsSchema.shape, unknown>,
  jobs: {
    retentionDays: 9,
    maxDiskMiB: 777,
    minFreeMiB: 888,
    maxAttempts: 5,
    attemptMinutes: 44,
    slots: 2,
  } satisfies Partial<Record<keyof typeof jobsSchema.shape, unknown>>,
};

describe.each([
  ["limits", limitsSchema, "relay.md"],
  ["jobs", jobsSchema, "jobs.md"],
] as const)("every field of %s", (section, schema, doc) => {
  const fields = Object.keys(schema.shape);

  it("can be set in the stack's config and reaches the relay", async () => {
    const values: Record<string, unknown> = VALUES[section];
    expect(Object.keys(values).sort(), "a field without a value here").toEqual(fields.sort());
    for (const field of fields) {
      const relay = await told({ [section]: { [field]: values[field] } });
      expect([field, relay[section][field as never]]).toEqual([field, values[field]]);
      const before: Record<string, unknown> = schema.parse({});
      expect([field, before[field]]).not.toEqual([field, values[field]]);
    }
  });

  it("is in the docs, and in the example", () => {
    const folder = join(import.meta.dirname, "../..");
    const docs = readFileSync(join(folder, "docs", doc), "utf8");
    for (const field of fields) expect(docs).toMatch(new RegExp(`\`(${section}\\.)?${field}\\b`));
  });
});

describe("jobs.slots", () => {
  const problems = (changes: Record<string, unknown>) => problemsOf({ ...good, ...changes });

  it("that leaves no slot for direct calls is refused, in the stack's config and on the Mac, with what to do", () => {
    const why = /jobs\.slots: 4 leaves no slot for direct calls \(limits\.chat is 4.*set it to 3 or less/;
    expect(problems({ jobs: { slots: 4 } }).join("\n")).toMatch(why);
    expect(problems({ jobs: { slots: 3 } })).toEqual([]);
    expect(problems({ jobs: { slots: 0 } }).join("\n")).toMatch(/jobs\.slots/);
    expect(problems({ jobs: { slots: 1 }, limits: { chat: 1, embeddings: 1 } })).toEqual([]);
    const config = testConfig("http://127.0.0.1:1", "/tmp", { jobs: jobsSchema.parse({ slots: 4 }) });
    expect(configProblems(config).join("\n")).toMatch(why);
  });

  it("is said together with everything else that is wrong", () => {
    const all = problems({ jobs: { slots: 9 }, hostname: "x" }).join("\n");
    expect(all).toMatch(/jobs\.slots: 9 leaves/);
    expect(all).toMatch(/hostname/);
  });
});

describe("access.singleHeader and modelKey", () => {
  it("reach the relay: the header with the direct lines, the key among its secrets", async () => {
    const output = installInput({
      config: parseStackConfig({ ...good, access: { ...good.access, singleHeader: "X-Api-Key" } }),
      teamDomain: "acme.cloudflareaccess.com",
      audiences: { servers: "s", people: "p" },
      clientIds: new Map([["backend", `${"0".repeat(32)}.access`]]),
      connectorToken: "token",
      modelKey: "sk-model",
      direct: {
        lines: [
          {
            server: "backend",
            host: "b.example.com",
            port: 22,
            user: "slm-direct",
            hostKey: "ssh-ed25519 AAAA",
            listen: "127.0.0.1:18400",
            relayPort: 8410,
          },
        ],
        credentials: {},
      },
    });
    const input = await new Promise<InstallInput>((resolve) => {
      output.apply(resolve);
    });
    expect(input.relay.direct).toEqual({ lines: [{ server: "backend", port: 8410 }], singleHeader: "X-Api-Key" });
    expect(input.secrets).toEqual({ modelKey: "sk-model" });
    expect(JSON.stringify(input.relay)).not.toContain("sk-model");
  });
});
