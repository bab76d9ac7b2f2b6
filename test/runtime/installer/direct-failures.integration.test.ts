/** A direct line through failures: a real `ssh` under the emulated launchd, a real sshd as the company's server. */
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { credentialHash, type DirectLine } from "../../../runtime/direct-config.ts";
import type { Report } from "../../../runtime/installer/install.ts";
import { claimPorts } from "../../../sandbox/machine/ports.ts";
import { startReaper } from "../../../sandbox/machine/reaper.ts";
import { type CompanyServer, startCompanyServer } from "../../../sandbox/server/company-server.ts";
import { ensureOpenSsh } from "../../../sandbox/tools/openssh.ts";
import { prepareDirectText } from "../../../ssh/prepare-direct.ts";
import { type Installation, prepareInstallation } from "./installation.ts";

const secret = "5".repeat(64);
const token = { "CF-Access-Client-Id": "0.access", "CF-Access-Client-Secret": secret };
const long = 300_000;
/** Times until calls worked again, for the person who runs the tests. */
const times: Record<string, string> = {};

let installation: Installation;
let server: CompanyServer;
let line: DirectLine;
let folder: string;

/** Whether a signed-in call gets through the line to the relay, whose model server is not there. */
async function works(): Promise<boolean> {
  try {
    const answer = await fetch(`http://${line.listen}/v1/models`, {
      headers: token,
      signal: AbortSignal.timeout(1_000),
    });
    await answer.arrayBuffer();
    return answer.status === 502 || answer.status === 503;
  } catch {
    return false;
  }
}

/** Waits until calls work, and notes how long that took. */
async function recovers(what: string, withinMs: number): Promise<void> {
  const began = performance.now();
  await expect.poll(works, { timeout: withinMs, interval: 100 }).toBe(true);
  times[what] = `${((performance.now() - began) / 1000).toFixed(1)} s`;
}

beforeAll(async () => {
  const sshd = ensureOpenSsh(() => {});
  installation = await prepareInstallation();
  await installation.upload(installation.release);
  folder = mkdtempSync(join(tmpdir(), "slm-server-"));
  chmodSync(folder, 0o755); // sshd reads keys as the account
  const [sshPort, relayPort, listenPort] = (await claimPorts(3)) as [number, number, number];
  server = await startCompanyServer({ dir: folder, port: sshPort, sshd, reaper: startReaper(), log: () => {} });
  const { host, port, user, hostKey } = server;
  line = { server: "backend", host, port, user, hostKey, listen: `127.0.0.1:${listenPort}`, relayPort };
  const ran = await installation.install({
    relay: {
      ...installation.input.relay,
      direct: { lines: [{ server: "backend", port: relayPort }] },
      directCredentials: { backend: [{ sha256: credentialHash("0.access", secret) }] },
    },
    direct: [line],
  });
  expect(ran.stderr).toBe("");
  const { publicKey } = (JSON.parse(ran.stdout) as Report).direct![0]!;
  await server.run(prepareDirectText(line, publicKey).replace(/^sudo /, ""));
}, long);

afterAll(async () => {
  console.log("direct line works again after:", JSON.stringify(times, null, 1));
  await installation?.end();
  await server?.close();
  rmSync(folder, { recursive: true, force: true });
});

it("connects by itself once the server is prepared", { timeout: long }, async () => {
  await recovers("the server was prepared", 60_000);
});

it("works again after the connection was cut", { timeout: long }, async () => {
  server.signalSessions("SIGKILL");
  await recovers("the connection was cut", 60_000);
});

/** Process of the line's ssh on the Mac. */
const lineOnMac = (): number => {
  const running = installation.pids().find((one) => one.startsWith("local.slm-network.direct.backend"));
  return Number(running?.match(/\d+$/)?.[0]);
};

/** Resolves once the port on the server is free. */
const isFree = async (): Promise<boolean> => {
  const [address, port] = line.listen.split(":");
  return new Promise((resolve) => {
    const socket = connect(Number(port), address);
    socket.once("connect", () => resolve(false)).once("error", () => resolve(true));
    socket.once("connect", () => socket.destroy());
  });
};

// The server reads times from Linux' ss.
describe.runIf(process.platform === "linux")("a frozen line, while callers keep trying", () => {
  it("frees its port when the Mac's end froze, so that callers do not hang", { timeout: long }, async () => {
    const frozen = lineOnMac();
    const began = performance.now();
    process.kill(frozen, "SIGSTOP");
    try {
      // Each of these attempts keeps sshd from its own check.
      await expect.poll(isFree, { timeout: 120_000, interval: 300 }).toBe(true);
      times["port free after the Mac's end froze"] = `${((performance.now() - began) / 1000).toFixed(1)} s`;
    } finally {
      process.kill(frozen, "SIGCONT");
    }
    await recovers("the Mac's end froze and went on", 60_000);
  });

  it("works again by itself when the server's end froze", { timeout: long }, async () => {
    server.signalSessions("SIGSTOP");
    await recovers("the server's end froze", 180_000);
  });

  it("stays up while the Mac is alive, without any call", { timeout: long }, async () => {
    const before = lineOnMac();
    const end = performance.now() + 50_000;
    await expect.poll(() => performance.now() > end, { timeout: 80_000, interval: 1_000 }).toBe(true);
    expect([lineOnMac(), await works()]).toEqual([before, true]);
  });
});

it("works again after the server restarted", { timeout: long }, async () => {
  await server.powerCut();
  expect(await works()).toBe(false);
  await server.start();
  await recovers("the server restarted", 60_000);
});

it("works again once a port that another program took is free", { timeout: long }, async () => {
  await server.powerCut();
  const [address, port] = line.listen.split(":");
  const squatter = createServer((socket) => socket.destroy()).listen(Number(port), address);
  await server.start();
  await expect
    .poll(() => server.logText(), { timeout: 60_000 })
    .toMatch(/bind.*Address already in use|cannot listen to port/);
  await new Promise((closed) => squatter.close(closed));
  await recovers("a taken port was free", 60_000);
});

it("works again after the Mac lost power with the connection up", { timeout: long }, async () => {
  await installation.mac.mac.powerCut();
  expect(await works()).toBe(false);
  await installation.mac.mac.powerReturns();
  await recovers("the Mac's power returned", 120_000);
});
