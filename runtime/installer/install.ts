/**
 * Brings the Mac to what the input says: files, account, daemons. Safe to run again at any point; what is as it should be
 * already is not touched, so a second run restarts nothing.
 */
import { createHash } from "node:crypto";
import { mkdir, open, rm } from "node:fs/promises";
import { join } from "node:path";
import type { InstallInput } from "../config.ts";
import { ensureAccount } from "./account.ts";
import { ensureConnector } from "./download.ts";
import {
  ensureFile,
  ensureFolder,
  type Ownership,
  publicFile,
  readIfThere,
  secretFile,
  switchLink,
  writeWhole,
} from "./files.ts";
import { loaded, plistPath, reload, writePlist } from "./launchd.ts";
import { type Layout, serviceUser } from "./layout.ts";
import { locked } from "./lock.ts";
import { connectorDaemon, type Daemon, relayDaemon } from "./plists.ts";
import { pruneReleases, putBack, snapshot } from "./releases.ts";
import { answers, until } from "./system.ts";

/** What an installation did. */
export interface Report {
  release: string;
  /** Labels of the daemons that were started anew. */
  restarted: string[];
}

/** What makes each daemon what it is; a daemon is started anew only when its text here changes. */
interface Installed {
  release: string;
  relay: string;
  connector: string;
}

const readyWithinMs = { relay: 30_000, connector: 60_000 };

const digest = (...parts: string[]) => createHash("sha256").update(JSON.stringify(parts)).digest("hex");

/**
 * @param release names the folder under `releases`, already unpacked
 * @param node sha256 of Node's archive, already unpacked under `node`
 * @throws Error that says what is wrong; before it does, a release that did not become ready is switched back
 */
export async function install(paths: Layout, release: string, node: string, input: InstallInput): Promise<Report> {
  return locked(paths.lock, async () => {
    await ensureAccount();
    await prepareFolders(paths);
    const connectorProgram = await ensureConnector(paths, input.cloudflared);
    const folder = join(paths.releases, release);
    await mkdir(join(folder, "bin"), { recursive: true });
    await switchLink(join(folder, "bin/node"), join("../../../node", node, "bin/node"));
    await switchLink(
      join(folder, "bin/cloudflared"),
      join("../../../cloudflared", input.cloudflared.sha256, "cloudflared"),
    );

    const relay = relayDaemon(paths, input.relay.graceSeconds);
    const connector = connectorDaemon(paths, input.connectorPort);
    const files = new Map([
      [paths.relayConfig, `${JSON.stringify({ ...input.relay, dataDir: paths.data }, null, 2)}\n`],
      [paths.relaySecrets, `${JSON.stringify(input.secrets)}\n`],
      [paths.connectorToken, input.connectorToken],
    ]);
    const wanted: Installed = {
      release,
      relay: digest(relay.plist, release, node, files.get(paths.relayConfig)!, files.get(paths.relaySecrets)!),
      connector: digest(connector.plist, connectorProgram, input.connectorToken),
    };
    const before = await snapshot(paths, [...files.keys()], [relay, connector]);
    const record = parseRecord(await readIfThere(paths.record));

    await rm(paths.record, { force: true }); // from here until it is written again, nothing counts as installed
    for (const [path, content] of files) await writeWhole(path, content, secretFile);
    await switchLink(paths.current, join("releases", release));
    const restarted: Daemon[] = [];
    try {
      for (const [daemon, key] of [
        [relay, "relay"],
        [connector, "connector"],
      ] as const) {
        // A plist that was removed by hand is missed only at the next start of the Mac.
        const inPlace = (await readIfThere(plistPath(paths, daemon))) === daemon.plist;
        if (record?.[key] !== wanted[key] || !inPlace || !(await loaded(daemon))) {
          await writePlist(paths, daemon);
          await reload(paths, daemon);
          restarted.push(daemon);
        }
        await ready(daemon, key, input);
      }
    } catch (error) {
      throw await putBack(paths, before, [relay, connector], error as Error);
    }
    await writeWhole(paths.record, `${JSON.stringify(wanted)}\n`, publicFile);
    await pruneReleases(paths, release, before.release);
    return { release, restarted: restarted.map((daemon) => daemon.label) };
  });
}

async function prepareFolders(paths: Layout): Promise<void> {
  const rootFolder: Ownership = { owner: "root:wheel", mode: 0o755 };
  const daemon = `${serviceUser}:${serviceUser}`;
  const daemonFolder: Ownership = { owner: daemon, mode: 0o750 };
  await ensureFolder(paths.base, rootFolder);
  await ensureFolder(paths.releases, rootFolder);
  await ensureFolder(paths.config, { owner: `root:${serviceUser}`, mode: 0o750 });
  await ensureFolder(paths.data, daemonFolder);
  await ensureFolder(paths.logs, daemonFolder);
  await mkdir(paths.launchDaemons, { recursive: true });
  // launchd opens a daemon's log as the daemon's user.
  for (const name of ["relay", "connector"]) {
    await ensureFile(join(paths.logs, `${name}.log`), { owner: daemon, mode: 0o640 });
  }
}

function parseRecord(text: string | undefined): Installed | undefined {
  try {
    return text ? (JSON.parse(text) as Installed) : undefined;
  } catch {
    return undefined; // cut off by a power cut: everything is installed anew
  }
}

/** The gate: the relay can serve (whatever the model server does), the connector has a connection. */
async function ready(daemon: Daemon, key: "relay" | "connector", input: InstallInput): Promise<void> {
  const url = {
    relay: `http://127.0.0.1:${input.relay.port}/readyz`,
    connector: `http://127.0.0.1:${input.connectorPort}/ready`,
  }[key];
  if (await until(() => answers(url), readyWithinMs[key])) return;
  const what = {
    relay: "the relay did not become ready",
    connector: "cloudflared did not connect to Cloudflare (is the Mac on the internet, and port 7844 open outwards?)",
  }[key];
  throw new Error(
    `${what} within ${readyWithinMs[key] / 1000} s. Its last log lines:\n${await lastLines(daemon.logFile)}`,
  );
}

async function lastLines(file: string): Promise<string> {
  const handle = await open(file).catch(() => undefined);
  if (!handle) return "(no log)";
  try {
    const { size } = await handle.stat();
    const length = Math.min(size, 4096);
    const { buffer } = await handle.read(Buffer.alloc(length), 0, length, size - length);
    return buffer
      .toString("utf8")
      .trim()
      .split("\n")
      .slice(-10)
      .map((line) => `  ${line}`)
      .join("\n");
  } finally {
    await handle.close();
  }
}
