/** Direct lines between an emulated Mac, whose launchd runs the real `ssh`, and a company's server with a real sshd. */
import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { credentialHash, type DirectLine } from "../../../runtime/direct-config.ts";
import type { InstallInput } from "../../../runtime/install-input-schema.ts";
import type { Report } from "../../../runtime/installer/install.ts";
import { claimPorts } from "../../../sandbox/machine/ports.ts";
import { startReaper } from "../../../sandbox/machine/reaper.ts";
import { type CompanyServer, startCompanyServer } from "../../../sandbox/server/company-server.ts";
import { ensureOpenSsh } from "../../../sandbox/tools/openssh.ts";
import { authorizedKeyLine, prepareDirectText, removeDirectText } from "../../../ssh/prepare-direct.ts";
import { type Installation, prepareInstallation } from "./installation.ts";

const secret = "5".repeat(64);
const token = { "CF-Access-Client-Id": "0.access", "CF-Access-Client-Secret": secret };
const long = 240_000;

let installation: Installation;
let server: CompanyServer;
let line: DirectLine;
let folder: string;
const reaper = startReaper();
const paste = (text: string) => server.run(text.replace(/^sudo /, ""));

beforeAll(async () => {
  const sshd = ensureOpenSsh(() => {});
  installation = await prepareInstallation();
  await installation.upload(installation.release);
  folder = mkdtempSync(join(tmpdir(), "slm-server-"));
  chmodSync(folder, 0o755); // sshd reads keys as the account
  const [sshPort, relayPort, listenPort] = (await claimPorts(3)) as [number, number, number];
  server = await startCompanyServer({ dir: folder, port: sshPort, sshd, reaper, log: () => {} });
  line = {
    server: "backend",
    host: "127.0.0.1",
    port: sshPort,
    user: server.user,
    hostKey: server.hostKey,
    listen: `127.0.0.1:${listenPort}`,
    relayPort,
  };
}, long);

afterAll(async () => {
  await installation?.end();
  await server?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Input with the line. */
const withLine = (changes: Partial<DirectLine> = {}): Partial<InstallInput> => ({
  relay: {
    ...installation.input.relay,
    direct: { lines: [{ server: "backend", port: line.relayPort }] },
    directCredentials: { backend: [{ sha256: credentialHash("0.access", secret) }] },
  },
  direct: [{ ...line, ...changes }],
});

async function install(change: Partial<InstallInput>): Promise<Report> {
  const ran = await installation.install(change);
  expect(ran.stderr).toBe("");
  return JSON.parse(ran.stdout) as Report;
}

/** Status of a call over the line, from the server; 0 without a connection. */
async function call(headers: Record<string, string> = token, path = "/v1/models"): Promise<number> {
  try {
    const answer = await fetch(`http://${line.listen}${path}`, { headers, signal: AbortSignal.timeout(3_000) });
    await answer.arrayBuffer();
    return answer.status;
  } catch {
    return 0;
  }
}
/** The model server is not there: signed in, a call gets that far (502, then 503 from the breaker). */
const connected = async () =>
  expect.poll(() => call(), { timeout: 60_000, interval: 200 }).toSatisfy((status) => status === 502 || status === 503);

const files = () => installation.at("etc/slm-network/direct");
const keyFile = () => join(files(), "backend.key");

/** Runs ssh with the line's key until it ends or `until` matches its output. */
async function ssh(args: string[], until?: RegExp): Promise<{ code: number | null; text: string; isUp: boolean }> {
  const config = join(files(), "backend.conf");
  const child: ChildProcess = spawn("ssh", ["-v", "-F", config, ...args], { stdio: ["pipe", "pipe", "pipe"] });
  let text = "";
  let isUp = false;
  return new Promise((resolve) => {
    const timer = setTimeout(() => child.kill("SIGKILL"), 20_000);
    const more = (data: Buffer) => {
      text += data.toString();
      if (until?.test(text)) {
        isUp = true;
        child.kill("SIGTERM");
      }
    };
    child.stdout?.on("data", more);
    child.stderr?.on("data", more);
    child.once("close", (code) => {
      clearTimeout(timer);
      resolve({ code, text, isUp });
    });
  });
}

describe("a direct line", { timeout: long }, () => {
  it("to a server that was not prepared is a warning with the fix; the key stays on the Mac", async () => {
    const report = await install(withLine());
    expect(report.warnings.join("\n")).toMatch(
      /the direct line of backend is not connected, and its calls have to go through Cloudflare: \S+ does not accept the Mac's key: run the paste of `npm run direct -- --prepare backend`/,
    );
    expect(report.direct).toMatchObject([{ server: "backend", connected: false }]);
    expect(report.direct?.[0]?.publicKey).toMatch(/^ssh-ed25519 \S+ slm-network-direct-backend$/);
    const { mode, user } = installation.mac.mac.ownerOf(keyFile());
    expect([mode & 0o777, user]).toEqual([0o600, "_slmnetwork"]);
    expect(JSON.stringify(report)).not.toContain(readFileSync(keyFile(), "utf8").split("\n")[1]);
    expect(await installation.readyz()).toBe(200);
  });

  it("connects by itself after the paste, which can be repeated", async () => {
    const { publicKey } = (await install(withLine())).direct![0]!;
    const text = prepareDirectText(line, publicKey);
    expect(await paste(text)).toContain(`curl -s http://${line.listen}/readyz`);
    await connected();
    expect(await paste(text)).toContain("Done.");
    const keys = readFileSync(join(folder, "etc/ssh/slm-direct/authorized_keys"), "utf8");
    expect(keys).toBe(`${authorizedKeyLine(line, publicKey)}\n`);
    await connected();
    expect(await call({}, "/readyz")).toBe(200);
    expect(await call({})).toBe(403);
    expect(await call({ ...token, "CF-Access-Client-Secret": "6".repeat(64) })).toBe(403);
  });

  it("is not restarted by a second installation, which finds the server restricted, and nothing drifted", async () => {
    await connected();
    const before = installation.pids();
    const report = await install(withLine());
    expect(report.direct).toMatchObject([{ connected: true, serverProblems: [] }]);
    expect([report.restarted, report.warnings.filter((text) => text.includes("direct"))]).toEqual([[], []]);
    expect(installation.pids()).toEqual(before);
    const { expected } = report;
    expect(expected.daemons["local.slm-network.direct.backend"]).toMatchObject({ loaded: true });
    expect(Object.keys(expected.files).filter((path) => path.includes("/direct/"))).toHaveLength(5);
    expect(
      await installation.mac.run(
        `sudo -n ${installation.at("usr/local/slm-network/current/bin/node")} ${installation.at("usr/local/slm-network/current/installer.mjs")} direct --root ${installation.at("")}`,
      ),
    ).toMatchObject({ code: 0 });
  });

  it("whose key can do nothing else on the server", async () => {
    await connected();
    const [other] = (await claimPorts(1)) as [number];
    const unix = join(folder, "probe.sock");
    const refusals: [string, string[], RegExp][] = [
      ["a shell", ["direct", "id"], /uid=/],
      ["another port", ["-N", "-R", `127.0.0.1:${other}:127.0.0.1:1`, "direct"], /remote forward success/],
      [
        "the same port on all addresses",
        ["-N", "-R", `0.0.0.0:${other}:127.0.0.1:1`, "direct"],
        /remote forward success/,
      ],
      ["-W to what the server reaches", ["-W", `127.0.0.1:${server.port}`, "direct"], /^SSH-2\.0/m],
      ["a Unix socket there", ["-N", "-R", `${unix}:127.0.0.1:1`, "direct"], /remote forward success/],
      ["an agent", ["-A", "direct", "ssh-add -l"], /^\d+ SHA256/m],
    ];
    for (const [what, args, success] of refusals) {
      const { isUp, text } = await ssh(args, success);
      expect([what, isUp, text.includes("Authenticated to")], text).toEqual([what, false, true]);
    }
    expect(existsSync(unix)).toBe(false);
    const [local] = (await claimPorts(1)) as [number];
    // -L to a port, and to a Unix socket of the server: the channel is refused when it is used.
    for (const target of [`127.0.0.1:${server.port}`, "/tmp/any.sock"]) {
      const tunnel = spawn(
        "ssh",
        ["-v", "-F", join(files(), "backend.conf"), "-N", "-L", `${local}:${target}`, "direct"],
        {
          stdio: ["ignore", "ignore", "pipe"],
        },
      );
      let text = "";
      tunnel.stderr.on("data", (data: Buffer) => {
        text += data.toString();
      });
      await expect.poll(() => text, { timeout: 20_000 }).toContain("Entering interactive session");
      await fetch(`http://127.0.0.1:${local}`, { signal: AbortSignal.timeout(5_000) }).catch(() => {});
      await expect.poll(() => text, { timeout: 20_000 }).toMatch(/channel \d+: open failed/);
      tunnel.kill("SIGKILL");
    }
  });

  it("on a server without the drop-in and without the limits is warned about, and the same attempts succeed", async () => {
    const dropIn = join(folder, "etc/ssh/sshd_config.d/00-slm-direct.conf");
    const keys = join(folder, "etc/ssh/slm-direct/authorized_keys");
    const [limits, restricted] = [readFileSync(dropIn, "utf8"), readFileSync(keys, "utf8")];
    writeFileSync(dropIn, `Match User ${server.user}\n    AuthorizedKeysFile ${keys}\n`);
    await server.run('kill -HUP "$(cat "$SLM_DIRECT_ROOT/run/sshd.pid")"');
    await connected();
    const report = await install(withLine());
    const said = report.warnings.join("\n");
    expect(said).toMatch(/backend: its key can create Unix sockets on the server .*--prepare backend/);
    expect(said).toMatch(/backend: after a power cut the server would keep the port .*--prepare backend/);
    const publicKey = restricted.slice(restricted.indexOf("ssh-ed25519"));
    writeFileSync(keys, publicKey);
    expect((await ssh(["-W", `127.0.0.1:${server.port}`, "direct"], /^SSH-2\.0/m)).isUp).toBe(true);
    writeFileSync(keys, restricted);
    writeFileSync(dropIn, limits);
    await server.run('kill -HUP "$(cat "$SLM_DIRECT_ROOT/run/sshd.pid")"');
    await connected();
  });

  it("is refused with the reason when the port is taken, the host key differs, or the server is away", async () => {
    const cases: [Partial<DirectLine>, RegExp][] = [
      [
        { listen: `127.0.0.1:${server.port}` },
        /refuses to listen on 127\.0\.0\.1:\d+: another program or a former session/,
      ],
      [
        {
          hostKey: `ssh-ed25519 ${Buffer.from(server.hostKey.split(" ")[1]!, "base64").fill(7, 20).toString("base64")}`,
        },
        /presents a host key that differs from hostKey/,
      ],
      [{ port: 1 }, /cannot keep a connection to 127\.0\.0\.1:1 \(.*refused.*is sshd running there/],
      [{ host: "no-such-host.invalid" }, /cannot resolve no-such-host\.invalid/],
    ];
    for (const [change, why] of cases) {
      expect((await install(withLine(change))).warnings.join("\n")).toMatch(why);
    }
    await install(withLine());
    await connected();
  });

  it("is removed when it is removed from the config, and with the installation; the server by a paste", async () => {
    const without = await install({});
    expect(without.direct).toBeUndefined();
    expect(installation.pids().join()).not.toContain("direct");
    expect(existsSync(keyFile())).toBe(false);
    expect(existsSync(installation.at("Library/LaunchDaemons/local.slm-network.direct.backend.plist"))).toBe(false);
    const report = await install(withLine());
    expect(report.direct?.[0]?.connected).toBe(false); // another key: the former one is gone
    expect(await paste(removeDirectText(line))).toContain("Nothing of the direct line is left");
    expect(existsSync(join(folder, "etc/ssh/slm-direct"))).toBe(false);
    expect(existsSync(join(folder, "etc/ssh/sshd_config.d/00-slm-direct.conf"))).toBe(false);
  });
});

describe("the paste for the server", { timeout: long }, () => {
  it("leaves sshd as it was when another setting overrides the limits or sshd rejects them", async () => {
    const publicKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA slm-network-direct-backend";
    const main = join(folder, "etc/ssh/sshd_config");
    const text = readFileSync(main, "utf8");
    const overriding = `Match User ${server.user}\n    AllowTcpForwarding no\nMatch all\n${text}`;
    writeFileSync(main, overriding);
    await expect(paste(prepareDirectText(line, publicKey))).rejects.toThrow(
      /NOT DONE: another setting of sshd overrides "allowtcpforwarding remote"/,
    );
    expect(readFileSync(main, "utf8")).toBe(overriding);
    writeFileSync(main, `${text}NoSuchOption yes\n`);
    await expect(paste(prepareDirectText(line, publicKey))).rejects.toThrow(/NOT DONE: sshd rejects the configuration/);
    writeFileSync(main, `${text}AllowUsers someone\n`);
    await expect(paste(prepareDirectText(line, publicKey))).rejects.toThrow(/NOT DONE: AllowUsers .* does not list/);
    writeFileSync(main, text);
    expect(existsSync(join(folder, "etc/ssh/sshd_config.d/00-slm-direct.conf"))).toBe(false);
  });

  it("adds an Include where sshd_config has none for drop-ins, and takes it out again", async () => {
    const publicKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA slm-network-direct-backend";
    const main = join(folder, "etc/ssh/sshd_config");
    const text = readFileSync(main, "utf8").replace(/^Include.*\n/m, "");
    writeFileSync(main, text);
    expect(await paste(prepareDirectText(line, publicKey))).toContain("Done.");
    expect(readFileSync(main, "utf8")).toBe(`Include ${join(folder, "etc/ssh/slm-direct/sshd.conf")}\n${text}`);
    expect(await paste(prepareDirectText(line, publicKey))).toContain("Done.");
    expect(readFileSync(main, "utf8").match(/Include/g)).toHaveLength(1);
    expect(await paste(removeDirectText(line))).toContain("Done.");
    expect(readFileSync(main, "utf8")).toBe(text);
  });
});
