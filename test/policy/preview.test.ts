/** The pack under the real engine: previews of a stack in which everything is new and much is not known yet. */
import { spawn } from "node:child_process";
import { cp, mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { policies } from "../../policy/policies.ts";
import { installProviders } from "../../sandbox/providers/install.ts";
import { ensureTools, type Tools } from "../../sandbox/tools/tools.ts";

const project = join(import.meta.dirname, "../..");
let folder: string;
let tools: Tools;

function pulumi(...args: string[]): Promise<{ code: number | null; said: string }> {
  const child = spawn(tools.pulumi, [...args, "--non-interactive", "--color=never"], {
    cwd: join(folder, "program"),
    env: {
      PATH: [dirname(process.execPath), ...tools.path, process.env.PATH].join(":"),
      HOME: folder,
      PULUMI_HOME: join(folder, "home"),
      PULUMI_BACKEND_URL: `file://${join(folder, "state")}`,
      PULUMI_CONFIG_PASSPHRASE: "for a test",
      PULUMI_SKIP_UPDATE_CHECK: "1",
      PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true",
      CLOUDFLARE_API_TOKEN: "never-used-in-a-preview-of-new-things",
    },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: 120_000,
  });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data: Buffer) => (said += data.toString()));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, said }));
  });
}

const preview = (wrong: boolean) =>
  pulumi("preview", "--stack", "prod", "--policy-pack", join(folder, "policy/pack"), "--config", `wrong=${wrong}`);

beforeAll(async () => {
  tools = await ensureTools(() => {});
  folder = await mkdtemp(join(tmpdir(), "slm-policy-"));
  await mkdir(join(folder, "state"));
  await cp(join(import.meta.dirname, "program"), join(folder, "program"), { recursive: true });
  await cp(join(project, "policy"), join(folder, "policy"), { recursive: true });
  await cp(join(project, "package.json"), join(folder, "package.json"));
  await symlink(join(project, "node_modules"), join(folder, "node_modules"));
  installProviders(join(folder, "home"), process.execPath);
  const made = await pulumi("stack", "init", "prod");
  expect(made.code, made.said).toBe(0);
}, 120_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("a preview with the policy pack, all resources new", { timeout: 180_000 }, () => {
  it("fails for every rule, each as mandatory, without showing a secret", async () => {
    const { code, said } = await preview(true);
    expect(code, said).not.toBe(0);
    for (const { name } of policies) expect(said, name).toMatch(new RegExp(`\\[mandatory\\].*${name}`));
    expect(said).toMatch(/leads to a tunnel and `proxied` is false/);
    expect(said).toMatch(/"slm\.example\.com" leads to a tunnel and no Access application/);
    expect(said).toMatch(/"who" includes everyone/);
    expect(said).toMatch(/`create` holds a connection string with a password in plain text/);
    expect(said).toMatch(/`stdin` is in plain text/);
    expect(said).toMatch(/token holds state and is not protected in the stack prod/);
    expect(said).toMatch(/0\.04\d* days after their last use/);
    expect(said.match(/^.*\[mandatory\].*hunter2.*$/gm)).toBeNull();
  });

  it("passes when all of it is right", async () => {
    const { code, said } = await preview(false);
    expect(code, said).toBe(0);
    expect(said).not.toMatch(/\[mandatory\]|\[advisory\]|can't run/);
  });
});
