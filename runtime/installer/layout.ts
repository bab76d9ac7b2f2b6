/** Paths on the Mac. */
import { join, relative } from "node:path";

/** The daemons' account; it has no shell and owns only its data and logs. */
export const serviceUser = "_slmnetwork";

/** Absolute paths under `root` (`/` on a Mac). */
export interface Layout {
  root: string;
  /** Code, root-owned. */
  base: string;
  releases: string;
  /** The releases' archives, used to detect and repair altered files. */
  archives: string;
  /** Symlink to the current release; switched by rename(2). */
  current: string;
  /** Node by sha256 of its archive. */
  node: string;
  /** cloudflared by sha256 of its archive. */
  cloudflared: string;
  /** Record of the last installation. */
  record: string;
  /** Owner of the installation; see installation.ts. */
  installation: string;
  /** Key for hashes of secrets; only root can read it. */
  stateKey: string;
  /** Prints the Mac's state; a read-only account may run it as root. */
  inspectCommand: string;
  /** Config and secrets. */
  config: string;
  relayConfig: string;
  relaySecrets: string;
  connectorToken: string;
  /** Keys and configuration of the direct lines. */
  direct: string;
  /** The direct lines, JSON. */
  directLines: string;
  /** Kept when the installation is removed. */
  data: string;
  /** Logs; root's, so that a daemon can write its own and replace none. */
  logs: string;
  /** The relay's copies of logs that became too large; root opens nothing in it. */
  rotatedLogs: string;
  launchDaemons: string;
  /** Drop-ins of sudo. */
  sudoers: string;
  /** The path as the Mac has it, without `root`. */
  onMac(path: string): string;
  /** Path of an uploaded archive, by sha256. */
  upload(sha256: string): string;
  /** Names the process that installs; the lock is beside it, in a folder that macOS empties at boot. */
  lock: string;
}

/**
 * @param root prefix of every path, as DESTDIR is
 * @param uploads folder of the uploads, with that prefix @default /tmp, as in versions before
 */
export function layout(root: string, uploads = join(root, "tmp")): Layout {
  const base = join(root, "usr/local/slm-network");
  const config = join(root, "etc/slm-network");
  return {
    root,
    base,
    releases: join(base, "releases"),
    archives: join(base, "archives"),
    current: join(base, "current"),
    node: join(base, "node"),
    cloudflared: join(base, "cloudflared"),
    record: join(base, "installed.json"),
    installation: join(base, "installation.json"),
    stateKey: join(base, "state.key"),
    inspectCommand: join(base, "bin/inspect"),
    config,
    relayConfig: join(config, "relay.json"),
    relaySecrets: join(config, "secrets.json"),
    connectorToken: join(config, "tunnel-token"),
    direct: join(config, "direct"),
    directLines: join(config, "direct/lines.json"),
    data: join(root, "var/db/slm-network"),
    logs: join(root, "var/log/slm-network"),
    rotatedLogs: join(root, "var/log/slm-network/rotated"),
    launchDaemons: join(root, "Library/LaunchDaemons"),
    sudoers: join(root, "etc/sudoers.d"),
    onMac: (path) => `/${relative(root, path)}`,
    upload: (sha256) => join(uploads, `slm-network-${sha256}.tgz`),
    lock: join(root, "var/run/slm-network-install.lock"),
  };
}
