/**
 * Brings the Mac to what the input says: files, account, daemons. Safe to run again at any point; what is as it should be
 * already is not touched, so a second run restarts nothing.
 */
import { createHash } from "node:crypto";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { type InstallInput, reloadablePart } from "../config.ts";
import { ensureAccount } from "./account.ts";
import { run, waitUntil } from "./commands.ts";
import { handOver, removeTemporaryConnector, temporaryConnector } from "./connector-handover.ts";
import { ensureConnector } from "./download.ts";
import {
  ensureFile,
  ensureFolder,
  type Ownership,
  publicFile,
  readIfExists,
  secretFile,
  switchLink,
  writeFileAtomic,
} from "./files.ts";
import { expectedOf, inspect } from "./inspect.ts";
import { ensureInspectCommand } from "./inspect-command.ts";
import { claim, ensureStateKey, hardwareUuid, readInstallation } from "./installation.ts";
import { isLoaded, plistPath, reload, removeDaemon, signal, writePlist } from "./launchd.ts";
import { type Layout, serviceUser } from "./layout.ts";
import { withLock } from "./lock.ts";
import type { MacExpected } from "./mac-state.ts";
import { inspectModelServer, type ModelServerReport } from "./model-server.ts";
import { ensureModelService, planModelService } from "./model-service.ts";
import { connectorDaemon, type Daemon, relayDaemon } from "./plists.ts";
import { refuseTakenPorts } from "./ports.ts";
import { ensurePower, type PowerReport } from "./power.ts";
import { requireReady, waitForModelServer } from "./readiness.ts";
import { takeOver, temporaryRelay } from "./relay-handover.ts";
import { type ContentHashes, contentHashes, ensureProgramModes, isAltered } from "./repair.ts";
import { pruneReleases, rollBack, snapshot } from "./rollback.ts";

/** What an installation did. */
export interface Report {
  release: string;
  /** Labels of the daemons that were started anew. */
  restarted: string[];
  /** Labels of the daemons that took over new settings while they ran on. */
  reloaded: string[];
  power: PowerReport;
  modelServer: ModelServerReport;
  /** What is not as it should be and could not be set right; each with its consequence. */
  warnings: string[];
  /** What happened and needs no action, each a sentence. */
  notes: string[];
  /** Which machine this is. */
  hardwareUuid: string;
  /** Id of the installation; null when it was installed without one. */
  installation: string | null;
  /** What `inspect` prints as long as nobody changes anything on the Mac. */
  expected: MacExpected;
}

/** What is installed. */
export interface InstallTarget {
  /** Names the folder under `releases`, already unpacked. */
  release: string;
  /** sha256 of Node's archive, already unpacked under `node`. */
  node: string;
  /** Id of the Pulumi resource; a version before it has none. */
  installation?: string | undefined;
  /** Files of the release or of Node were altered and have been unpacked again. */
  repaired?: boolean;
}

/** What makes each daemon what it is; a daemon is started anew only when its text here changes. */
interface InstallRecord {
  release: string;
  relay: string;
  /** What the relay takes over without a new start. */
  reloadable: string;
  connector: string;
  /** What was written, to find later what was altered by hand; absent in a record of the version before. */
  written?: ContentHashes;
}

const reloadWithinMs = 5_000;

const digest = (...parts: string[]) => createHash("sha256").update(JSON.stringify(parts)).digest("hex");

/** @throws Error that says what is wrong; before it does, a release that did not become ready is switched back */
export async function install(paths: Layout, what: InstallTarget, input: InstallInput): Promise<Report> {
  const { release, node, installation, repaired = false } = what;
  return withLock(paths.lock, async () => {
    // What can only be found wrong on the Mac is said before anything is touched.
    const model = input.modelService && (await planModelService(paths, input.modelService));
    await refuseTakenPorts(paths, input);
    const uuid = await hardwareUuid();
    const isNewAccount = await ensureAccount();
    await prepareFolders(paths, isNewAccount);
    const stateKey = await ensureStateKey(paths);
    const notes: string[] = [];
    const owner = await readInstallation(paths);
    if (installation) notes.push(...[await claim(paths, installation, uuid)].filter((note) => note !== undefined));
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
    const connector = connectorDaemon(paths, input.connectorPort);
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
    // `current` may have been pointed elsewhere by hand.
    const isMoved = record !== undefined && before.release !== join("releases", record.release);
    const mustRestart = {
      relay: repaired || isNewAccount || isMoved || altered(relayPlist, paths.relayConfig, paths.relaySecrets),
      connector: replaced || isNewAccount || isMoved || altered(connectorPlist, paths.connectorToken),
    };
    wanted.written = contentHashes(
      stateKey,
      new Map([...files, [relayPlist, relay.plist] as const, [connectorPlist, connector.plist] as const]),
    );

    await rm(paths.record, { force: true }); // from here until it is written again, nothing counts as installed
    for (const [path, content] of files) await writeFileAtomic(path, content, secretFile);
    await switchLink(paths.current, join("releases", release));
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
      const isRunning = await isLoaded(relay);
      for (const daemon of [relay, connector]) {
        // Written always, for its owner and mode too. One that was removed by hand is missed only at the next start of the
        // Mac: what runs has what it says.
        await writePlist(paths, daemon);
        await run("launchctl", ["enable", `system/${daemon.label}`]);
      }
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
        await handOver(paths, connector, () => begin(connector), connected);
      await connected();
      // Those left by an installer that was killed.
      await removeTemporaryConnector(paths, temporaryConnector(paths, 0));
      await removeDaemon(paths, temporaryRelay(paths, input.relay.graceSeconds, 0));
    } catch (error) {
      if (owner) await claim(paths, owner.installation, owner.hardwareUuid);
      throw await rollBack(paths, before, [relay, connector].length, undo, error as Error);
    }
    await writeFileAtomic(paths.record, `${JSON.stringify(wanted)}\n`, publicFile);
    await pruneReleases(paths, release, before.release);
    // Last: whatever the model server does, the relay serves, and says how things are.
    if (await ensureModelService(paths, model)) restarted.push(model!);
    const warnings: string[] = [];
    const power = await ensurePower(input.power, warnings);
    if (model) await waitForModelServer(input, model, warnings);
    const modelServer = await inspectModelServer(paths, input, warnings);
    const state = await inspect(paths);
    const labels = (daemons: Daemon[]) => daemons.map(({ label }) => label);
    return {
      release,
      restarted: labels(restarted),
      reloaded: labels(reloaded),
      power,
      modelServer,
      warnings,
      notes,
      hardwareUuid: uuid,
      installation: state.installation,
      expected: expectedOf(state, input.power.set ? power.settings : {}),
    };
  });
}

/** What the relay reads at its start only, as text to compare. */
function restartPart({ callers: _callers, limits: _limits, ...rest }: InstallInput["relay"]): string {
  return JSON.stringify(rest);
}

/** Has the running relay read its file again. @returns whether it now serves by what the file says */
async function reloadRelay(relay: Daemon, input: InstallInput): Promise<boolean> {
  if (!(await signal(relay, "HUP"))) return false;
  const inUse = async () => {
    const url = `http://127.0.0.1:${input.relay.adminPort}/config`;
    const response = await fetch(url, { signal: AbortSignal.timeout(2_000) }).catch(() => undefined);
    return (await response?.text().catch(() => undefined)) === reloadablePart(input.relay);
  };
  return waitUntil(inUse, reloadWithinMs);
}

/** @param isNewAccount the account's number may be another one than that of the files it had */
async function prepareFolders(paths: Layout, isNewAccount: boolean): Promise<void> {
  const rootFolder: Ownership = { owner: "root:wheel", mode: 0o755 };
  const daemon = `${serviceUser}:${serviceUser}`;
  const daemonFolder: Ownership = { owner: daemon, mode: 0o750 };
  await ensureFolder(paths.base, rootFolder);
  await ensureFolder(paths.releases, rootFolder);
  await ensureFolder(paths.config, { owner: `root:${serviceUser}`, mode: 0o750 });
  await ensureFolder(paths.data, daemonFolder);
  // The model server's account, another one, may pass through to its own log.
  await ensureFolder(paths.logs, { owner: daemon, mode: 0o751 });
  if (isNewAccount) await run("chown", ["-R", daemon, paths.data, paths.logs]);
  await mkdir(paths.launchDaemons, { recursive: true });
  await ensureInspectCommand(paths);
  // launchd opens a daemon's log as the daemon's user.
  for (const name of ["relay", "connector"]) {
    await ensureFile(join(paths.logs, `${name}.log`), { owner: daemon, mode: 0o640 });
  }
}

function parseRecord(text: string | undefined): InstallRecord | undefined {
  try {
    return text ? (JSON.parse(text) as InstallRecord) : undefined;
  } catch {
    return undefined; // cut off by a power cut: everything is installed anew
  }
}
