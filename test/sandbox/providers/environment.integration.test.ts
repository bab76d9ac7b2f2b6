/** What a sandbox's engine runs get of the shell, and what they do not. */
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { thisInstance } from "../../../sandbox/instance.ts";
import { providerVariables, straysIn, strayVariables, withoutStrays } from "../../../sandbox/providers/environment.ts";
import { Engine } from "../../../sandbox/stack.ts";

const accounts = {
  cloudflareApi: "http://127.0.0.1:1/client/v4",
  cloudflareApiToken: "token",
  atlasApi: "http://127.0.0.1:2/",
  atlasPublicKey: "pub",
  atlasPrivateKey: "priv",
};

const engines = [
  "PULUMI_DEBUG_PROVIDERS",
  "PULUMI_DEBUG_LANGUAGES",
  "PULUMI_ACCESS_TOKEN",
  "PULUMI_CONFIG",
  "PULUMI_STACK",
];
const names = [...strayVariables, ...engines];

let folder: string;
const before = { ...process.env };
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "slm-environment-"));
  for (const name of names) process.env[name] = "of-the-shell";
});
afterEach(async () => {
  for (const name of names) delete process.env[name];
  Object.assign(process.env, before);
  await rm(folder, { recursive: true });
});

it("sets the base URLs with the credentials: the official mongodbatlas reads them as one set", () => {
  expect(providerVariables(accounts)).toEqual({
    CLOUDFLARE_API_TOKEN: "token",
    CLOUDFLARE_BASE_URL: accounts.cloudflareApi,
    MONGODB_ATLAS_PUBLIC_KEY: "pub",
    MONGODB_ATLAS_PRIVATE_KEY: "priv",
    MONGODB_ATLAS_BASE_URL: accounts.atlasApi,
  });
});

it("runs the engine without variables that direct to real accounts", async () => {
  const engine = join(folder, "pulumi");
  await writeFile(engine, "#!/bin/sh\nexec env\n");
  await chmod(engine, 0o700);
  const environment = { ...providerVariables(accounts), PATH: process.env.PATH ?? "", PULUMI_STACK: "sandbox" };
  const printed = await new Engine(thisInstance(), engine, environment).run(["up"], { quiet: true });
  expect(printed).not.toContain("of-the-shell");
  expect(printed).toContain(`MONGODB_ATLAS_BASE_URL=${accounts.atlasApi}\n`);
  expect(printed).toContain("PULUMI_STACK=sandbox\n");
  expect(printed).toContain(`HOME=${process.env.HOME}\n`);
});

it("names the removed variables, and no others", () => {
  expect(
    straysIn({ PATH: "/bin", ASSUME_ROLE_ARN: "arn", CLOUDFLARE_EMAIL: "", PULUMI_DEBUG_LANGUAGES: "x:1" }),
  ).toEqual(["ASSUME_ROLE_ARN", "CLOUDFLARE_EMAIL", "PULUMI_DEBUG_LANGUAGES"]);
  expect(withoutStrays({ PATH: "/bin", ASSUME_ROLE_ARN: "arn", AWS_REGION: "x" })).toEqual({
    PATH: "/bin",
    AWS_REGION: "x",
  });
});
