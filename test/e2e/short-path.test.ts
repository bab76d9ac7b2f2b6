/** The README's first hour, its commands as printed: on empty accounts and an unprepared login, to the first answer. */
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { parse, stringify } from "yaml";
import { z } from "zod";
import type { Ready } from "../../sandbox/ready.ts";
import { fetchHostKey } from "../../ssh/session.ts";
import { folder, inFolder, project, type Ran, ready, run, sandbox } from "./harness.ts";

inFolder(".sandbox-short");
const stack = "sandbox-short-path";
const file = join(project, `Pulumi.${stack}.yaml`);
const long = { timeout: 600_000 };

const readme = await readFile(join(project, "README.md"), "utf8");
const section = readme.split("## The first hour, on your own accounts\n")[1]?.split("\nA new terminal")[0] ?? "";
const [prepare = "", init = "", up = "", tryIt = ""] = [...section.matchAll(/```sh\n\s*(.+)\n/g)].map(
  ([, line = ""]) => line,
);

let here: Ready;
let environment: Record<string, string>;
/** A line of the README in a shell, with options that answer what a person would be asked. */
const shell = (line: string, ...more: string[]): Promise<Ran> =>
  run("/bin/sh", ["-c", `${line} ${more.join(" ")}`], environment);
const succeeded = (ran: Ran) => expect(ran.code, ran.stdout + ran.stderr).toBe(0);

beforeAll(async () => {
  await sandbox("--stop");
  succeeded(await sandbox("--detach", "--no-up"));
  here = await ready();
  await mkdir(join(folder, "home"), { recursive: true });
  const { PULUMI_BACKEND_URL: _, PULUMI_CONFIG_PASSPHRASE: __, ...others } = here.environment;
  environment = {
    ...others,
    PULUMI_STACK: stack,
    HOME: join(folder, "home"),
    SLM_NETWORK_ENV_FILE: join(folder, "first.env"),
    CLOUDFLARE_BASE_URL: here.cloudflareApi,
    MONGODB_ATLAS_BASE_URL: here.atlasApi,
  };
});
afterAll(async () => {
  await shell("npm run -s pulumi -- destroy --yes --skip-preview --non-interactive");
  await rm(file, { force: true });
  succeeded(await sandbox("--reset"));
});

it("is ten steps, four of them commands", () => {
  expect(section.match(/^\d+\. /gm)).toHaveLength(10);
  expect(section).toMatch(/^Ten steps|\bTen steps\b/m);
  expect([prepare, init, up, tryIt]).toEqual([
    "npm run -s ssh -- --prepare --public-key ~/.ssh/id_ed25519.pub",
    "npm run init -- --store embedded --people '' --alerts ''",
    "npm run up",
    "npm run -s pulumi -- stack output tryIt",
  ]);
});

it("leads from nothing to an answer, in terminals without a variable of Pulumi's", long, async () => {
  const { fingerprint } = await fetchHostKey(here.ssh.host, here.ssh.port);
  const mac = ["--mac-host", here.ssh.host, "--mac-port", String(here.ssh.port), "--host-key", fingerprint];
  const written = await shell(init, "--yes --local-state", ...mac, "--model-url", here.model);
  succeeded(written);
  const env = await readFile(join(folder, "first.env"), "utf8");
  expect(env).toContain(`PULUMI_BACKEND_URL=file://${join(folder, "home/slm-state")}\n`);
  expect(env).toMatch(/^PULUMI_CONFIG_PASSPHRASE=\S{32}$/m);
  await forThisSandbox();

  succeeded(await shell(up, "-- --yes --skip-preview --non-interactive --color=never"));
  const printed = await shell(tryIt);
  succeeded(printed);
  const line = printed.stdout.trim();
  expect(line).toMatch(/^curl https:\/\/slm\.example\.com\/v1\/models /);
  // The sandbox's edge is on loopback, and its hostname has no DNS record.
  const answer = await shell(line.replace("https://slm.example.com", here.url), "--noproxy '*' --silent --show-error");
  succeeded(answer);
  expect(JSON.parse(answer.stdout)).toMatchObject({ data: expect.any(Array) });

  const again = await shell(up, "-- --yes --skip-preview --non-interactive --color=never");
  succeeded(again);
  expect(again.stdout).toMatch(/\d+ unchanged/);
  expect(again.stdout).not.toMatch(/(created|updated|replaced|deleted)$/m);
});

/** What only a sandbox needs: its ports, its copies of what the Mac downloads, and a stack that can be destroyed. */
async function forThisSandbox(): Promise<void> {
  const fileSchema = z.looseObject({ config: z.record(z.string(), z.unknown()) });
  const content = async (path: string) => fileSchema.parse(parse(await readFile(path, "utf8")));
  const [mine, theirs] = await Promise.all([content(file), content(join(project, "Pulumi.sandbox-short.yaml"))]);
  const macs = z.array(z.looseObject({ ports: z.unknown().optional() }));
  const [entry] = macs.parse(theirs.config["slm-network:macs"]);
  const [own] = macs.parse(mine.config["slm-network:macs"]);
  mine.config["slm-network:macs"] = [{ ...own, ports: entry?.ports }];
  mine.config["slm-network:artifacts"] = theirs.config["slm-network:artifacts"];
  mine.config["slm-network:protect"] = false;
  await writeFile(file, stringify(mine));
}
