/** The README's first hour, its commands as printed: on empty accounts and an unprepared login, to the first answer. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { commands, FirstHour, section } from "./first-hour-path.ts";
import { folder, inFolder, type Ran, ready, sandbox } from "./harness.ts";

inFolder(".sandbox-short");
const long = { timeout: 600_000 };

let path: FirstHour;
const succeeded = (ran: Ran) => expect(ran.code, ran.stdout + ran.stderr).toBe(0);

beforeAll(async () => {
  await sandbox("--stop");
  succeeded(await sandbox("--detach", "--no-up"));
  path = new FirstHour(await ready(), "sandbox-short-path");
});
afterAll(async () => {
  await path.remove();
  succeeded(await sandbox("--reset"));
});

it("is ten steps, four of them commands", () => {
  expect(section.match(/^\d+\. /gm)).toHaveLength(10);
  expect(section).toMatch(/^Ten steps|\bTen steps\b/m);
  expect(commands).toEqual([
    "npm run -s ssh -- --prepare --public-key ~/.ssh/id_ed25519.pub",
    "npm run init -- --store embedded --people '' --alerts ''",
    "npm run up",
    "npm run -s pulumi -- stack output tryIt",
  ]);
});

it("leads from nothing to an answer, in terminals without a variable of Pulumi's", long, async () => {
  await path.write();
  const env = await readFile(path.envFile, "utf8");
  expect(env).toContain(`PULUMI_BACKEND_URL=file://${join(folder, "home/slm-state")}\n`);
  expect(env).toMatch(/^PULUMI_CONFIG_PASSPHRASE=\S{32}$/m);
  await path.forThisSandbox();

  await path.deploy();
  const { line, answer } = await path.ask();
  expect(line).toMatch(/^curl https:\/\/slm\.example\.com\/v1\/models /);
  expect(answer).toMatchObject({ data: expect.any(Array) });

  const again = await path.deploy();
  expect(again.stdout).toMatch(/\d+ unchanged/);
  expect(again.stdout).not.toMatch(/(created|updated|replaced|deleted)$/m);
});
