import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import ssh2 from "ssh2";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { checkMac, chipFinding } from "../../../commands/preflight/mac.ts";

const pair = ssh2.utils.generateKeyPairSync("ed25519");
const target = { host: "127.0.0.1", port: 9, user: "deploy", hostKey: pair.public };
const wanted = {
  target,
  model: { kind: "ollama" as const, url: "http://127.0.0.1:11434", embeddingModel: "bge-m3" },
  jobs: { minFreeMiB: 2048 },
};

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "slm-preflight-"));
  vi.stubEnv("SSH_AUTH_SOCK", "");
  vi.stubEnv("SLM_NETWORK_SSH_KEY", "");
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true, force: true });
});

test("without a key: one finding, which says how to get one", async () => {
  const found = await checkMac(wanted);
  expect(found).toMatchObject([{ id: "mac.ssh", level: "fail" }]);
  expect(found[0]?.says).toContain("no SSH agent");
  expect(found[0]?.todo?.length).toBeGreaterThan(10);
});

test("a Mac that does not answer: one finding, with what to check", async () => {
  const key = join(folder, "key");
  await writeFile(key, pair.private, { mode: 0o600 });
  vi.stubEnv("SLM_NETWORK_SSH_KEY", key);
  const found = await checkMac(wanted);
  expect(found).toMatchObject([{ id: "mac.ssh", level: "fail" }]);
  expect(found[0]?.says).toContain("127.0.0.1:9 is not reachable");
  expect(found[0]?.todo).toContain("Is the Mac on");
});

test.each([
  ["arm64", "ok"],
  ["x86_64", "fail"],
  ["", "fail"],
])("a Mac whose `uname -m` prints %j: %s", (machine, level) => {
  const finding = chipFinding(machine);
  expect(finding).toMatchObject({ id: "mac.chip", level });
  if (level === "fail") expect(finding.todo).toMatch(/Apple silicon.*artifacts\.node/);
});
