/** The first `npm run init` on a machine without a Pulumi login, a passphrase or a token, with a `pulumi` that only knows its backend. */
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ensureBackend, ensureCloudflareToken } from "../../../commands/init/machine.ts";
import { type Asker, asker } from "../../../commands/init/prompts.ts";

const fresh = { hasOwnProvider: false, hasSalt: false };
const uses = { alerts: { emails: [] }, route: {} };
let folder: string;
let said: string[];
const say = (line: string) => void said.push(line);
const env = () => (existsSync(join(folder, ".env")) ? readFileSync(join(folder, ".env"), "utf8") : "");

/** Answers every question with its first choice. */
const person: Asker = {
  ...asker(false),
  asks: true,
  choose: ({ choices }) => Promise.resolve(choices[0]!.value),
  secret: () => Promise.resolve(" cf-token \n"),
};

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "slm-machine-"));
  said = [];
  const script = `#!/bin/sh
[ -n "$PULUMI_BACKEND_URL" ] || { echo "error: PULUMI_ACCESS_TOKEN must be set" >&2; exit 1; }
echo "{\\"user\\": \\"me\\", \\"url\\": \\"$PULUMI_BACKEND_URL\\"}"
`;
  writeFileSync(join(folder, "pulumi"), script);
  chmodSync(join(folder, "pulumi"), 0o755);
  vi.stubEnv("PATH", `${folder}${delimiter}${process.env.PATH}`);
  vi.stubEnv("HOME", folder);
  vi.stubEnv("SLM_NETWORK_ENV_FILE", join(folder, ".env"));
  for (const name of ["PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"])
    vi.stubEnv(name, undefined);
  vi.stubEnv("CLOUDFLARE_API_TOKEN", undefined);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

describe("the backend", () => {
  it.each([
    ["asked", person, false],
    ["with --local-state and --yes", asker(false), true],
  ])("%s: creates the state's folder and a passphrase, and keeps both in .env", async (_how, who, local) => {
    await ensureBackend(fresh, { asker: who, say, local });
    expect(existsSync(join(folder, "slm-state"))).toBe(true);
    expect(env()).toContain(`PULUMI_BACKEND_URL=file://${join(folder, "slm-state")}\n`);
    expect(env()).toMatch(/^PULUMI_CONFIG_PASSPHRASE=[\w+/]{32}$/m);
    expect(said.join("\n")).toContain("password manager");
    expect(said.join("\n")).not.toContain(process.env.PULUMI_CONFIG_PASSPHRASE);
  });

  it("is asked for no passphrase with Pulumi Cloud, a provider of its own, one that is set, or an existing stack", async () => {
    vi.stubEnv("PULUMI_BACKEND_URL", "https://api.pulumi.com");
    await ensureBackend(fresh, { asker: person, say, local: false });
    vi.stubEnv("PULUMI_BACKEND_URL", "file://~/elsewhere");
    await ensureBackend({ ...fresh, hasOwnProvider: true }, { asker: person, say, local: false });
    await ensureBackend({ ...fresh, hasSalt: true }, { asker: person, say, local: false }); // another one would not open it
    vi.stubEnv("PULUMI_CONFIG_PASSPHRASE_FILE", "/somewhere");
    await ensureBackend(fresh, { asker: person, say, local: false });
    expect([env(), said]).toEqual(["", []]);
  });

  it("is left alone when nobody can be asked", async () => {
    await ensureBackend(fresh, { asker: asker(false), say, local: false });
    expect([env(), existsSync(join(folder, "slm-state"))]).toEqual(["", false]);
  });
});

describe("the Cloudflare token", () => {
  it("is asked for with a link, and kept in .env", async () => {
    await ensureCloudflareToken(undefined, uses, { asker: person, say });
    expect(said.join("\n")).toContain("https://dash.cloudflare.com/?to=/:account/api-tokens&permissionGroupKeys=");
    expect(env()).toMatch(/^CLOUDFLARE_API_TOKEN=cf-token$/m);
    expect(process.env.CLOUDFLARE_API_TOKEN).toBe("cf-token");
    expect(said.join("\n")).not.toContain("cf-token");
  });

  it("is not asked for when it is set, or when nobody can be asked", async () => {
    await ensureCloudflareToken("set", uses, { asker: person, say });
    await ensureCloudflareToken(undefined, uses, { asker: asker(false), say });
    expect([env(), said]).toEqual(["", []]);
  });
});
