/**
 * Brings the Mac to the state in the input: files, account, daemons. Idempotent: what is already correct is not touched, so
 * a second run restarts nothing.
 */
import { createHash } from "node:crypto";
import { mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { reloadablePart, restartPart } from "../config.ts";
import type { InstallInput } from "../install-input-schema.ts";
import { incomingOf } from "../replacement-journal.ts";
import { ensureAccount } from "./account.ts";
import { run, waitUntil } from "./commands.ts";
import { handOver, removeTemporaryConnector, temporaryConnector } from "./connector-handover.ts";
import { ensureLines, type LineReport } from "./direct.ts";
import { sayIfDiskFull } from "./disk-full.ts";
import { ensureConnector } from "./download.ts";
import {
  ensureFolder,
  type Ownership,
  publicFile,
  readIfExists,
  secretFile,
  switchLink,
  writeBeside,
} from "./files.ts";
import { expectedOf, inspect } from "./inspect.ts";
import { ensureInspectCommand } from "./inspect-command.ts";
import { claim, ensureStateKey, hardwareUuid, readInstallation } from "./installation.ts";
import { isLoaded, plistPath, reload, removeDaemon, signal, writePlist } from "./launchd.ts";
import { type Layout, serviceUser } from "./layout.ts";
import { withLock } from "./lock.ts";
import { daemonLog, ensureLog, ensureLogFolder } from "./logs.ts";
import type { MacExpected } from "./mac-state.ts";
import { inspectModelServer, type ModelServerReport } from "./model-server.ts";
import { ensureModelService, planModelService } from "./model-service.ts";
import { giveTree } from "./owned-tree.ts";
import { connectorDaemon, type Daemon, relayDaemon } from "./plists.ts";
import { refuseTakenPorts } from "./ports.ts";
import { ensurePower, type PowerReport } from "./power.ts";
import { requireReady, waitForModelServer } from "./readiness.ts";
import { takeOver, temporaryRelay } from "./relay-handover.ts";
import { type ContentHashes, contentHashes, ensureProgramModes, isAltered } from "./repair.ts";
import { pruneReleases, rollBack, snapshot } from "./rollback.ts";
import { finishReplacement, stageFiles } from "./staged-files.ts";

/** Result of an installation. */
export interface Report {
  release: string;
  /** Labels of the restarted daemons. */
  restarted: string[];
  /** Labels of the daemons that reloaded their settings without a restart. */
  reloaded: string[];
  power: PowerReport;
  modelServer: ModelServerReport;
  /** The direct lines; absent without any. */
  direct?: LineReport[];
  /** Problems that could not be fixed, each with its consequence. */
  warnings: string[];
  /** Information that needs no action, each a sentence. */
  notes: string[];
  /** Which machine this is. */
  hardwareUuid: string;
  /** Id of the installation; null when it was installed without one. */
  installation: string | null;
  /** What `inspect` prints while nothing is changed on the Mac. */
  expected: MacExpected;
}

/** Versions to install. */
export interface InstallTarget {
  /** sha256 of the release, already unpacked under `releases`. */
  release: string;
  /** sha256 of Node's archive, already unpacked under `node`. */
  node: string;
  /** Id of the Pulumi resource; absent from versions without ids. */
  installation?: string | undefined;
  /** Altered files of the release or of Node were unpacked again. */
  repaired?: boolean;
}

/** Digest of each daemon's inputs; a daemon is restarted only if its digest changes. */
interface InstallRecord {
  release: string;
  relay: string;
  /** Settings that the relay reloads without a restart. */
  reloadable: string;
  connector: string;
  /** Hashes of the written files, to detect manual changes; absent from records of earlier versions. */
  written?: ContentHashes;
}

const reloadWithinMs = 5_000;

const digest = (...parts: string[]) => createHash("sha256").update(JSON.stringify(parts)).digest("hex");

/** @throws Error with the problem; a release that does not become ready is rolled back first */
export async function install(paths: Layout, what: InstallTarget, input: InstallInput): Promise<Report> {
  const { release, node, installation, repaired = false } = what;
  let state = "Config and daemons were not changed.";
  const work = async (): Promise<Report> => {
    // Problems that only the Mac can show are reported before anything is changed.
    const model = input.modelService && (await planModelService(paths, input.modelService));
    await refuseTakenPorts(paths, input);
    const uuid = await hardwareUuid();
    const isNewAccount = await ensureAccount();
    const warnings = await prepareFolders(paths, isNewAccount);
    // A daemon writes to the file that was at its log's path when it started.
    const isLogReplaced = {
      relay: await replaceLog(paths, "relay", warnings),
      connector: await replaceLog(paths, "connector", warnings),
    };
    const stateKey = await ensureStateKey(paths);
    const notes: string[] = [];
    if (await finishReplacement(paths)) {
      notes.push("an earlier installation was interrupted while it replaced its files; they are one set again");
    }
    const owner = await readInstallation(paths);
    const { program: connectorProgram, replaced } = await ensureConnector(paths, input.cloudflared);
    const folder = join(paths.releases, release);
    await mkdir(join(folder, "bin"), { recursive: true });
    await switchLink(join(folder, "bin/node"), join("../../../node", node, "bin/node"));
    await switchLink(
      join(folder, "bin/cloudflared"),
      join("../../../cloudflared", input.cloudflared.sha256, "cloudflared"),
    );

    await ensureProgramModes(paths, release, [join(paths.node, node, "bin/node"), connectorProgram]);

    const relay = relayDaemon(paths, input.relay.graceSeconds);
    const connector = connectorDaemon(paths, input.connectorPort, { edgeIpVersion: input.edgeIpVersion });
    const files = new Map([
      [paths.relayConfig, `${JSON.stringify({ ...input.relay, dataDir: paths.data, logDir: paths.logs }, null, 2)}\n`],
      [paths.relaySecrets, `${JSON.stringify(input.secrets)}\n`],
      [paths.connectorToken, input.connectorToken],
    ]);
    const wanted: InstallRecord = {
      release,
      relay: digest(relay.plist, release, node, restartPart(input.relay), files.get(paths.relaySecrets)!),
      reloadable: digest(reloadablePart(input.relay)),
      connector: digest(connector.plist, connectorProgram, input.connectorToken),
    };
    const before = await snapshot(paths, [...files.keys()], [relay, connector]);
    const record = parseRecord(await readIfExists(paths.record));
    const [relayPlist, connectorPlist] = [plistPath(paths, relay), plistPath(paths, connector)];
    const found = new Map([...before.secrets, ...before.plists]);
    const altered = (...names: string[]) => isAltered(record?.written, stateKey, found, names);
    // `current` may have been changed by hand.
    const isMoved = record !== undefined && before.release !== join("releases", record.release);
    const mustRestart = {
      relay:
        repaired ||
        isNewAccount ||
        isMoved ||
        isLogReplaced.relay ||
        altered(relayPlist, paths.relayConfig, paths.relaySecrets),
      connector:
        replaced || isNewAccount || isMoved || isLogReplaced.connector || altered(connectorPlist, paths.connectorToken),
    };
    wanted.written = contentHashes(
      stateKey,
      new Map([...files, [relayPlist, relay.plist] as const, [connectorPlist, connector.plist] as const]),
    );

    // Plists are always written, for their owner and mode too. One removed by hand needs no restart: launchd has it loaded
    // until the next boot.
    const plists = [
      [relayPlist, relay.plist],
      [connectorPlist, connector.plist],
    ] as const;
    state = ""; // from here on the errors say it
    const replacement = await stageFiles(
      paths,
      [
        ...[...files].map(([path, content]) => ({ path, content, ownership: secretFile, isPlist: false })),
        ...plists.map(([path, content]) => ({ path, content, ownership: publicFile, isPlist: true })),
      ],
      join("releases", release),
    );
    const restarted: Daemon[] = [];
    const reloaded: Daemon[] = [];
    const undo: (() => Promise<void>)[] = [];
    const begin = (daemon: Daemon, bringBack = () => reload(paths, daemon)) => {
      undo.push(bringBack);
      restarted.push(daemon);
    };
    const startAnew = async (daemon: Daemon) => {
      begin(daemon);
      await writePlist(paths, daemon);
      await reload(paths, daemon);
    };
    try {
      // Before the first change: afterwards a full disk must not make a complete installation fail.
      const newRecord = await writeBeside(paths.record, `${JSON.stringify(wanted)}\n`, publicFile);
      for (const path of [relayPlist, connectorPlist]) await run("plutil", ["-lint", replacement.staged.get(path)!]);
      if (installation) notes.push(...[await claim(paths, installation, uuid)].filter((note) => note !== undefined));
      await rm(paths.record, { force: true }); // until it is written again, nothing counts as installed
      await replacement.commit();
      const isRunning = await isLoaded(relay);
      for (const daemon of [relay, connector]) await run("launchctl", ["enable", `system/${daemon.label}`]);
      const anew = (daemon: Daemon) =>
        isRunning ? takeOver(paths, daemon, input, (bringBack) => begin(daemon, bringBack)) : startAnew(daemon);
      if (record?.relay !== wanted.relay || mustRestart.relay || !isRunning) await anew(relay);
      else if (record.reloadable !== wanted.reloadable) {
        undo.push(async () => void (await signal(relay, "HUP")));
        if (await reloadRelay(relay, input)) reloaded.push(relay);
        else await anew(relay);
      }
      await requireReady(relay, "relay", input);
      const connected = () => requireReady(connector, "connector", input);
      if (!(await isLoaded(connector))) await startAnew(connector);
      else if (record?.connector !== wanted.connector || mustRestart.connector)
        // Without a record an earlier run may have written the plist and ended before launchd loaded it.
        await handOver(
          paths,
          connector,
          record !== undefined && before.plists.get(connectorPlist) === connector.plist,
          () => begin(connector),
          connected,
        );
      await connected();
      // Left by an installer that was killed.
      await removeTemporaryConnector(paths, temporaryConnector(paths, 0));
      await removeDaemon(paths, temporaryRelay(paths, input.relay.graceSeconds, 0));
      await rename(newRecord, paths.record);
    } catch (error) {
      const failure = await rollBack(before, replacement, undo, error as Error);
      if (owner) await claim(paths, owner.installation, owner.hardwareUuid).catch(() => {});
      throw failure;
    } finally {
      await replacement.discard();
      await rm(incomingOf(paths.record), { force: true });
    }
    state = "The new release is installed and serves.";
    await pruneReleases(paths, release, before.release);
    // Last: the relay serves regardless of the model server, and reports its state.
    if (await ensureModelService(paths, model, warnings)) restarted.push(model!);
    const power = await ensurePower(input.power, warnings);
    if (model) await waitForModelServer(input, model, warnings);
    const modelServer = await inspectModelServer(paths, input, warnings);
    const direct = await ensureLines(paths, input.direct, warnings);
    const now = await inspect(paths);
    const labels = (daemons: Daemon[]) => daemons.map(({ label }) => label);
    return {
      release,
      restarted: [...labels(restarted), ...direct.restarted],
      reloaded: labels(reloaded),
      power,
      modelServer,
      ...(direct.lines.length > 0 && { direct: direct.lines }),
      warnings,
      notes,
      hardwareUuid: uuid,
      installation: now.installation,
      expected: expectedOf(now, input.power.set ? power.settings : {}),
    };
  };
  return sayIfDiskFull(
    paths,
    () => state,
    () => withLock(paths.lock, work),
  );
}

/** Tells the running relay to read its file again. @returns whether the relay now uses these settings */
async function reloadRelay(relay: Daemon, input: InstallInput): Promise<boolean> {
  if (!(await signal(relay, "HUP"))) return false;
  const inUse = async () => {
    const url = `http://127.0.0.1:${input.relay.adminPort}/config`;
    const response = await fetch(url, { signal: AbortSignal.timeout(2_000) }).catch(() => undefined);
    return (await response?.text().catch(() => undefined)) === reloadablePart(input.relay);
  };
  return waitUntil(inUse, reloadWithinMs);
}

/**
 * @param isNewAccount existing files may belong to the account's former uid
 * @returns a sentence for each problem
 */
async function prepareFolders(paths: Layout, isNewAccount: boolean): Promise<string[]> {
  const rootFolder: Ownership = { owner: "root:wheel", mode: 0o755 };
  const daemon = `${serviceUser}:${serviceUser}`;
  const daemonFolder: Ownership = { owner: daemon, mode: 0o750 };
  await ensureFolder(paths.base, rootFolder);
  await ensureFolder(paths.releases, rootFolder);
  await ensureFolder(paths.config, { owner: `root:${serviceUser}`, mode: 0o750 });
  await ensureFolder(paths.data, daemonFolder);
  await ensureLogFolder(paths);
  const left = isNewAccount
    ? [...(await giveTree(paths.data, daemon)), ...(await giveTree(paths.rotatedLogs, daemon))]
    : [];
  await mkdir(paths.launchDaemons, { recursive: true });
  await ensureInspectCommand(paths);
  return left.map(
    (path) =>
      `${paths.onMac(path)} is a link or has other names (hard links), and was not given to the account ${serviceUser}: remove it if nobody at this Mac put it there`,
  );
}

/** @returns whether the log was another kind of file, and a daemon that runs writes elsewhere */
async function replaceLog(paths: Layout, name: string, warnings: string[]): Promise<boolean> {
  const replaced = await ensureLog(paths, join(paths.logs, `${name}.log`), daemonLog);
  if (replaced !== undefined) warnings.push(replaced);
  return replaced !== undefined;
}

function parseRecord(text: string | undefined): InstallRecord | undefined {
  try {
    return text ? (JSON.parse(text) as InstallRecord) : undefined;
  } catch {
    return undefined; // truncated by a power cut: everything is installed again
  }
}
