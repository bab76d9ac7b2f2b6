/** An emulated Mac, a release, and an installer input for both. */
import { copyFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { asRoot, installScript } from "../../../components/mac/mac-host.ts";
import { buildRelease, type Release } from "../../../runtime/build.ts";
import type { InstallInput } from "../../../runtime/install-input-schema.ts";
import { inspectCommand, type MacState, parseMacState } from "../../../runtime/installer/mac-state.ts";
import { type Artifacts, serveArtifacts } from "../../../sandbox/artifacts.ts";
import { claimPorts } from "../../../sandbox/machine/ports.ts";
import { type Result, type TestMac, testMac } from "../../sandbox/mac/fixture.ts";

// A fake connector that reports to be connected, unless its token says otherwise: only the installation is tested. It has
// one running request for a while after SIGTERM.
// The first two lines are shell and JavaScript at once: a shebang would break at a blank in the path of this node.
const connector = `#!/bin/sh
':' //; exec '${process.execPath}' "$0" "$@"
const { readFileSync } = require("node:fs");
const after = (flag) => process.argv[process.argv.indexOf(flag) + 1];
const [host, port] = after("--metrics").split(":");
const token = readFileSync(after("--token-file"), "utf8");
const connections = token === "refused" ? 0 : 4;
let requests = token === "very-secret-token" ? 1 : 0;
const edge = process.argv.includes("--edge-ip-version") ? after("--edge-ip-version") : undefined;
const say = (what) => console.log(JSON.stringify({ what, port: Number(port), requests, edge, at: Date.now() }));
require("node:http").createServer(({ url }, r) => {
  if (url === "/ready") r.writeHead(connections ? 200 : 503).end(JSON.stringify({ readyConnections: connections, connectorId: String(process.pid) }));
  else if (url === "/config") r.end(JSON.stringify({ version: 3, config: {} }));
  else r.end("cloudflared_tunnel_concurrent_requests_per_tunnel " + requests);
}).listen(Number(port), host, () => say("up"));
process.on("SIGTERM", () => {
  say("leaves");
  setTimeout(() => (requests = 0), 300);
  setTimeout(() => { say("down"); process.exit(0); }, 600);
});
`;

/** Default installation id. */
export const installation = "0f5c0c5e-installation-of-the-test";

export interface Installation {
  /** Of the test's own files. */
  folder: string;
  mac: TestMac;
  artifacts: Artifacts;
  release: Release;
  input: InstallInput;
  /** Real path of one of the Mac's. */
  at(path: string): string;
  /** Puts an archive where uploads are. */
  upload(file: { path: string; sha256: string }): Promise<void>;
  /** Runs the installer, with changes to the input. */
  install(
    change?: Partial<InstallInput>,
    release?: { sha256: string },
    node?: Artifacts["node"],
    id?: string,
  ): Promise<Result>;
  /** The same where something never becomes ready: the installer waits for a fifth of its time limits. */
  installInVain(change?: Partial<InstallInput>, release?: { sha256: string }): Promise<Result>;
  /** The Mac's state as `inspect` prints it. */
  inspect(): Promise<MacState>;
  readyz(): Promise<number>;
  /** Every daemon with its process id, sorted. */
  pids(): string[];
  end(): Promise<void>;
}

/** A bare Mac; the release is not uploaded yet. */
export async function prepareInstallation(): Promise<Installation> {
  const folder = await mkdtemp(join(tmpdir(), "slm-install-"));
  const program = join(folder, "cloudflared");
  await writeFile(program, connector, { mode: 0o755 });
  const artifacts = await serveArtifacts({ port: 0, node: process.execPath, cloudflared: program, log: () => {} });
  const release = await buildRelease(folder);
  const mac = await testMac();
  const [port, adminPort, connectorPort] = (await claimPorts(3)) as [number, number, number];
  const input: InstallInput = {
    relay: {
      port,
      adminPort,
      hostname: "slm.example.com",
      access: { teamDomain: "127.0.0.1", audiences: { servers: "a", people: "b" } },
      callers: [{ name: "backend", clientId: "0.access", companies: ["*"], weight: 1, enabled: true }],
      model: { kind: "ollama", url: "http://127.0.0.1:1", embeddingModel: "bge-m3" },
      limits: { chat: 4, embeddings: 2, waiting: 256, waitSeconds: 60, bodyMiB: 64, whenBusy: "queue" },
      documents: { store: "embedded", ttlDays: 30 },
      jobs: { retentionDays: 7, maxDiskMiB: 64, minFreeMiB: 0, maxAttempts: 3, attemptMinutes: 30 },
      graceSeconds: 2,
    },
    secrets: { mongodbUri: "mongodb://u:very-secret-password@127.0.0.1/" },
    connectorToken: "very-secret-token",
    connectorPort,
    cloudflared: { url: artifacts.cloudflared.url, sha256: artifacts.cloudflared.sha256 },
    power: { set: true },
  };
  const at = (path: string) => join(mac.mac.root, path);
  const run = (
    change: Partial<InstallInput>,
    { sha256 }: { sha256: string },
    node: Artifacts["node"],
    id: string,
    timeScale = 1,
  ) =>
    mac.run(
      `SLM_NETWORK_TIME_SCALE=${timeScale} ${asRoot(installScript, sha256, node.url, node.sha256, id)}`,
      JSON.stringify({ ...input, ...change }),
    );
  return {
    folder,
    mac,
    artifacts,
    release,
    input,
    at,
    upload: ({ path, sha256 }) => copyFile(path, at(`Users/deploy/slm-network-${sha256}.tar`)),
    install: (change = {}, of = release, node = artifacts.node, id = installation) => run(change, of, node, id),
    installInVain: (change = {}, of = release) => run(change, of, artifacts.node, installation, 0.2),
    inspect: async () => {
      const ran = await mac.run(inspectCommand);
      if (ran.code !== 0) throw new Error(ran.stderr);
      return parseMacState(ran.stdout);
    },
    readyz: async () => (await fetch(`http://127.0.0.1:${port}/readyz`)).status,
    pids: () =>
      mac.mac.launchd
        .jobs()
        .map((job) => `${job.definition.label} ${job.pid}`)
        .sort(),
    end: async () => {
      await mac.end();
      await artifacts.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
