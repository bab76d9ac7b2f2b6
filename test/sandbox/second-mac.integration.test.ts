import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Identity, type Instance, identity } from "../../sandbox/instance.ts";
import type { Mac } from "../../sandbox/mac/mac.ts";
import { type Reaper, startReaper } from "../../sandbox/machine/reaper.ts";
import { secondMacFile, secondMacSchema, startSecondMac } from "../../sandbox/second-mac.ts";
import { readAuth } from "../../ssh/auth.ts";
import { openSession } from "../../ssh/session.ts";
import { type TestMac, testMac } from "./mac/fixture.ts";

let folder: string;
let instance: Instance;
let first: TestMac;
let second: Mac;
let known: Identity;
let reaper: Reaper;
const start = () => startSecondMac(instance, known, first.mac, { environment: {}, reaper, log: () => {} });
const told = async () => secondMacSchema.parse(JSON.parse(await readFile(secondMacFile(instance), "utf8")));

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "slm-second-"));
  instance = { folder } as Instance;
  reaper = startReaper();
  first = await testMac();
  known = await identity(instance);
  second = await start();
}, 120_000);
afterAll(async () => {
  await second?.close();
  await first?.end();
  await reaper?.close();
  await rm(folder, { recursive: true, force: true });
});

it("is another machine that accepts the same key", async () => {
  const { host, port, user, hostKey, hardwareUuid, root } = await told();
  expect(hardwareUuid).not.toBe(first.mac.hardwareUuid);
  expect(root).not.toBe(first.mac.root);
  const session = await openSession({ host, port, user, hostKey }, await readAuth(first.mac.privateKeyPath, {}));
  const { stdout } = await session.run("ioreg -rd1 -c IOPlatformExpertDevice; system_profiler SPHardwareDataType");
  await session.close();
  expect(stdout).toContain(`"IOPlatformUUID" = "${hardwareUuid}"`);
  expect(stdout).toContain(`Hardware UUID: ${hardwareUuid}`);
});

it("is the same machine when it is started again", async () => {
  const before = await told();
  await second.close();
  second = await start();
  expect(await told()).toEqual(before);
});

it("gets its ports in an older sandbox, whose identity stays unchanged", async () => {
  const file = join(folder, "identity.json");
  const { ssh2, relay2, relayAdmin2, connectorMetrics2, ...ports } = known.ports;
  expect(new Set([ssh2, relay2, relayAdmin2, connectorMetrics2, ...Object.values(ports)]).size).toBe(16);
  await writeFile(file, JSON.stringify({ ...known, ports }));
  const again = await identity(instance);
  expect(again.accountId).toBe(known.accountId);
  expect(again.ports.ssh2).toEqual(expect.any(Number));
});
