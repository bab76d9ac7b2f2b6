/**
 * The network of the fault cases: edge, the real cloudflared, relay and a direct line's `ssh` on an emulated Mac, put there
 * by the product's installer and kept running by the emulated launchd; model server, MongoDB, and a real sshd as the company's
 * server. Between each two of them is a hop that can be cut.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { copyFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { withCredentials } from "../../../components/document-store.ts";
import { asRoot, installScript } from "../../../components/mac/mac-host.ts";
import { buildRelease } from "../../../runtime/build.ts";
import type { InstallInput } from "../../../runtime/install-input-schema.ts";
import type { Report } from "../../../runtime/installer/install.ts";
import { serveArtifacts } from "../../../sandbox/artifacts.ts";
import { connectorEnvironment } from "../../../sandbox/edge/connector-environment.ts";
import { claimPorts } from "../../../sandbox/machine/ports.ts";
import { startReaper } from "../../../sandbox/machine/reaper.ts";
import { type CompanyServer, startCompanyServer } from "../../../sandbox/server/company-server.ts";
import { ensureOpenSsh } from "../../../sandbox/tools/openssh.ts";
import { prepareDirectText } from "../../../ssh/prepare-direct.ts";
import { cloudflaredBinary } from "../../sandbox/edge/harness.ts";
import { type Result, type TestMac, testMac } from "../../sandbox/mac/fixture.ts";
import { atExit } from "../ending.ts";
import { HEAP_MODULE } from "../measure/held.ts";
import type { EdgeReady, ToEdge, ToKeys } from "../measure/messages.ts";
import { SUITE } from "./descriptors.ts";
import { canMount, Disk } from "./disk.ts";
import type { HopName, Store } from "./fault.ts";
import { Hop } from "./hop.ts";
import { installInput, type Ports } from "./input.ts";
import { DATABASE, MONGO_PASSWORD } from "./mongo-messages.ts";
import { ForkedServer } from "./server-process.ts";

/** Room of the data folder's disk: the jobs with their log, and the documents. */
const DATA_MIB = 256;
const CONFIG_MIB = 1;
const INSTALLATION = "0f5c0c5e-installation-of-the-faults";

/** A running network. */
export interface FaultNetwork {
  readonly edgeUrl: string;
  /** Absent without an sshd. */
  readonly lineUrl: string | undefined;
  readonly adminUrl: string;
  readonly mac: TestMac;
  readonly hops: Readonly<Record<HopName, Hop>>;
  readonly model: ForkedServer;
  readonly mongo: ForkedServer;
  readonly server: CompanyServer | undefined;
  readonly disks: { readonly data: Disk; readonly config: Disk } | undefined;
  /** File that the relay's clock is shifted by. */
  readonly clockFile: string;
  /** File that asks the relay to collect all garbage (`heap.mjs`). */
  readonly heapFile: string;
  /** Who is at the other end of the relay's connections. */
  readonly portNames: Readonly<Record<number, string>>;
  /** Of the relay's files, on this machine. */
  readonly dataDir: string;
  readonly configDir: string;
  keys(message: ToKeys): Promise<void>;
  /** Installs the relay with this store, if it has another one. */
  use(store: Store): Promise<void>;
  /** Runs the installer over SSH. */
  install(graceSeconds: number): Promise<Result>;
  stop(): Promise<void>;
}

/** @throws Error when something does not start, with what it said */
export async function startFaultNetwork(): Promise<FaultNetwork> {
  const folder = mkdtempSync(join(tmpdir(), "slm-faults-"));
  chmodSync(folder, 0o755); // sshd reads keys as the account
  const remove = () => rmSync(folder, { recursive: true, force: true });
  const undo: (() => unknown)[] = [remove, atExit(remove)];
  const stop = async () => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  try {
    return await start(folder, undo, stop);
  } catch (cause) {
    await stop();
    throw cause;
  }
}

async function start(folder: string, undo: (() => unknown)[], stop: () => Promise<void>): Promise<FaultNetwork> {
  const { edge, ready } = await startEdgeProcess(folder, undo);
  const [relay, admin, connector, line, sshPort, listen] = (await claimPorts(6)) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const ports: Ports = { relay, admin, connector, line, listen };
  const hop = async (target: number): Promise<Hop> => {
    const opened = await Hop.open(target);
    undo.push(() => opened.close());
    return opened;
  };
  const hops = {
    edge: await hop(portOf(`http://${ready.connectorAddress}`)),
    keys: await hop(portOf(ready.proxyUrl)),
    relay: await hop(ports.relay),
    model: await hop(1),
    mongo: await hop(1),
  };
  const model = new ForkedServer(hops.model, "../measure/model.ts");
  const mongo = new ForkedServer(hops.mongo, "mongo-process.ts", [join(folder, "mongo")]);
  for (const one of [model, mongo]) {
    undo.push(() => one.end("SIGKILL"));
    await one.start();
  }
  const [clockFile, heapFile] = [join(folder, "clock"), join(folder, "heap")];
  const macFolder = join(folder, "mac");
  mkdirSync(macFolder);
  const mac = await testMac({
    dir: macFolder,
    environment: {
      ...connectorEnvironment({
        connectorAddress: `127.0.0.1:${hops.edge.port}`,
        proxyUrl: `http://127.0.0.1:${hops.keys.port}`,
        caFile: ready.caFile,
      }),
      NODE_USE_ENV_PROXY: "1",
      NODE_EXTRA_CA_CERTS: ready.caFile,
      NODE_OPTIONS: [join(import.meta.dirname, "clock.mjs"), HEAP_MODULE].map((file) => `--import ${file}`).join(" "),
      PROVE_CLOCK: clockFile,
      PROVE_HEAP: heapFile,
    },
  });
  const at = (path: string) => join(mac.mac.root, path);
  const [dataDir, configDir] = [at("var/db/slm-network"), at("etc/slm-network")];
  const disks = canMount ? { data: new Disk(dataDir, DATA_MIB), config: new Disk(configDir, CONFIG_MIB) } : undefined;
  undo.push(async () => {
    await mac.mac.close();
    disks?.data.unmount();
    disks?.config.unmount();
    await mac.end();
  });
  const server = await companyServer(join(folder, "server"), sshPort, undo);
  const artifacts = await serveArtifacts({
    port: 0,
    node: process.execPath,
    cloudflared: cloudflaredBinary(),
    log: () => {},
  });
  undo.push(() => artifacts.close());
  const release = await buildRelease(folder);
  await copyFile(release.path, at(`Users/deploy/slm-network-${release.sha256}.tar`));

  const relayUrl = `http://127.0.0.1:${hops.relay.port}`;
  const lead = async (wait: boolean) => {
    edge.send({ relayUrl, modelUrl: `http://127.0.0.1:${model.port}`, wait } satisfies ToEdge);
    await once(edge, "message");
  };
  const mongodbUri = withCredentials(`mongodb://127.0.0.1:${hops.mongo.port}/${DATABASE}`, "relay", MONGO_PASSWORD);
  let store: Store = "embedded";
  const install = (graceSeconds: number): Promise<Result> => {
    const { cloudflared } = artifacts;
    const input: InstallInput = installInput({
      ports,
      ready,
      modelPort: hops.model.port,
      store,
      mongodbUri,
      server,
      cloudflared,
      graceSeconds,
    });
    const command = asRoot(installScript, release.sha256, artifacts.node.url, artifacts.node.sha256, INSTALLATION);
    return mac.run(command, JSON.stringify(input));
  };
  const installed = async (): Promise<Report> => {
    const ran = await install(2);
    if (ran.code !== 0) throw new Error(`the installer failed: ${ran.stderr}`);
    return JSON.parse(ran.stdout) as Report;
  };
  await lead(false);
  const report = await installed();
  const key = report.direct?.[0]?.publicKey;
  if (server !== undefined && key !== undefined) {
    const [direct] = installInput({
      ports,
      ready,
      modelPort: 1,
      store,
      mongodbUri,
      server,
      cloudflared: artifacts.cloudflared,
      graceSeconds: 2,
    }).direct!;
    await server.run(prepareDirectText(direct!, key).replace(/^sudo /, ""));
  }
  await lead(true);
  return {
    edgeUrl: ready.url,
    lineUrl: server === undefined ? undefined : `http://127.0.0.1:${ports.listen}`,
    adminUrl: `http://127.0.0.1:${ports.admin}`,
    mac,
    hops,
    model,
    mongo,
    server,
    disks,
    clockFile,
    heapFile,
    portNames: {
      [ports.relay]: "cloudflared",
      [ports.admin]: SUITE,
      [ports.line]: "the direct line",
      [hops.model.port]: "the model server",
      [hops.mongo.port]: "MongoDB",
      [hops.keys.port]: "the key address",
    },
    dataDir,
    configDir,
    async keys(message) {
      edge.send(message);
      await once(edge, "message");
    },
    async use(wanted) {
      if (wanted === store) return;
      store = wanted;
      await installed();
    },
    install,
    stop,
  };
}

async function startEdgeProcess(
  folder: string,
  undo: (() => unknown)[],
): Promise<{ edge: ChildProcess; ready: EdgeReady }> {
  const edge = fork(join(import.meta.dirname, "../measure/edge-process.ts"), [join(folder, "edge")], {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  undo.push(() => void edge.kill("SIGKILL"));
  const [ready] = (await once(edge, "message")) as [EdgeReady];
  return { edge, ready };
}

/** @returns undefined where there is no sshd */
async function companyServer(dir: string, port: number, undo: (() => unknown)[]): Promise<CompanyServer | undefined> {
  let sshd: string;
  try {
    sshd = ensureOpenSsh(() => {});
  } catch {
    return undefined;
  }
  const reaper = startReaper();
  undo.push(() => reaper.close());
  const server = await startCompanyServer({ dir, port, sshd, reaper, log: () => {} });
  undo.push(() => server.close());
  return server;
}

const portOf = (url: string): number => Number(new URL(url).port);

/** Files that an interrupted write left in a folder. */
export const leftovers = (names: readonly string[]): string[] =>
  names.filter((name) => /\.(new|incoming|former|tmp)$/.test(name));
