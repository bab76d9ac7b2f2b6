/** The sandbox's stack file: what a person rotated in it stays, in a form that the engine reads as it was written. */
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { parse } from "yaml";
import { type Identity, type Instance, thisInstance } from "../../sandbox/instance.ts";
import type { Services } from "../../sandbox/services.ts";
import { Engine } from "../../sandbox/stack.ts";

let folder: string;
let instance: Instance;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "slm-stack-"));
  instance = { ...thisInstance({ SANDBOX_DIR: join(folder, "box") }), stackFile: join(folder, "Pulumi.box.yaml") };
});
afterEach(() => rmSync(folder, { recursive: true }));

const identity = {
  zoneId: "z",
  accountId: "a",
  atlasProjectId: "p",
  ports: { relay: 1, relayAdmin: 2, connectorMetrics: 3 },
};
const services = {
  cloudflareApi: "http://127.0.0.1:20001/client/v4",
  atlasApi: "http://127.0.0.1:20002/",
  edge: { url: "http://127.0.0.1:20003" },
  mac: { host: "127.0.0.1", port: 20_004, user: "deploy", hostKey: "ssh-ed25519 AAAA" },
  model: { kind: "ollama", url: "http://127.0.0.1:20005", embeddingModel: "m" },
  artifacts: { node: { url: "u", sha256: "s" }, cloudflared: { url: "u", sha256: "s" } },
};
const at = "2026-11-28T10:06:44Z";
const secrets = ["tunnelSecret", "atlasSchemaPassword", "atlasRelayPassword"]
  .map((name) => `  slm-network:${name}:\n    secure: v1:x\n`)
  .join("");
const rotated = (time: string) =>
  `encryptionsalt: v1:y\nconfig:\n${secrets}  slm-network:access:\n    servers:\n      - name: backend\n        secretVersion: 2\n        previousSecretExpiresAt: ${time}\n`;

async function configure(): Promise<string> {
  const engine = join(folder, "pulumi");
  writeFileSync(engine, "#!/bin/sh\nexit 0\n");
  chmodSync(engine, 0o700);
  const values = [identity, services] as unknown as [Identity, Services];
  await new Engine(instance, engine, { PATH: process.env.PATH ?? "" }).configure(...values);
  return readFileSync(instance.stackFile, "utf8");
}

/** As the engine's Go reads it, which knows times as YAML 1.1 does. */
const timeIn = (text: string): unknown => parse(text, { version: "1.1" }).config["slm-network:access"].servers[0];

it("keeps a rotation's time a string for the engine", async () => {
  writeFileSync(instance.stackFile, rotated(`"${at}"`));
  const text = await configure();
  expect(timeIn(text)).toEqual({ name: "backend", secretVersion: 2, previousSecretExpiresAt: at });
  expect(await configure()).toBe(text);
});

it("mends the time that an earlier version wrote without quotes, also when nothing else changes", async () => {
  writeFileSync(instance.stackFile, rotated(at));
  const text = await configure();
  writeFileSync(instance.stackFile, text.replace(`"${at}"`, at));
  expect(timeIn(readFileSync(instance.stackFile, "utf8"))).toMatchObject({ previousSecretExpiresAt: new Date(at) });
  expect(timeIn(await configure())).toMatchObject({ previousSecretExpiresAt: at });
});
