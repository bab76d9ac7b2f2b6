/** The company's server that a sandbox starts on request: what it tells, and that it keeps what was installed on it. */
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { startReaper } from "../../sandbox/machine/reaper.ts";
import { stackServerFile, stackServerSchema, startStackServer } from "../../sandbox/stack-server.ts";
import { prepareDirectText, removeDirectText } from "../../ssh/prepare-direct.ts";

const folder = mkdtempSync(join(tmpdir(), "slm-stack-server-"));
chmodSync(folder, 0o755); // sshd reads keys as the account
const reaper = startReaper();
const options = { reaper, log: () => {} };
const told = () => stackServerSchema.parse(JSON.parse(readFileSync(stackServerFile({ folder }), "utf8")));
const banner = join(folder, "company-server/run/slm-direct/banner");
const shows = (isThere: boolean) =>
  expect.poll(() => existsSync(banner), { timeout: 30_000, interval: 50 }).toBe(isThere);
const unprefixed = (paste: string) => paste.replace(/^sudo /, "");

afterAll(async () => {
  await reaper.close();
  rmSync(folder, { recursive: true, force: true });
});

it("says what the config needs, runs pastes, and is the same after a restart", { timeout: 120_000 }, async () => {
  const server = await startStackServer({ folder }, options);
  const first = told();
  expect(first.direct).toMatchObject({ server: "backend", port: server.port, hostKey: server.hostKey });
  const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA slm-network-direct-backend";
  expect(await server.run(unprefixed(prepareDirectText(first.direct, key)))).toContain("Done.");
  await shows(process.platform === "linux");
  await server.close();
  await shows(false);
  const again = await startStackServer({ folder }, options);
  try {
    expect(told()).toEqual(first);
    await shows(process.platform === "linux");
    expect(await again.run(unprefixed(removeDirectText(first.direct)))).toContain("Done.");
    await shows(false);
    expect(existsSync(join(folder, "company-server/etc/systemd/system/slm-direct-watch.service"))).toBe(false);
  } finally {
    await again.close();
  }
});
