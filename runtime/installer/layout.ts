/** Where everything lies on the Mac. */
import { join } from "node:path";

/** The account the daemons run as; it has no shell and owns only its data and logs. */
export const serviceUser = "_slmnetwork";

/** Absolute paths under `root` (`/` on a Mac). */
export interface Layout {
  root: string;
  /** Code, root-owned. */
  base: string;
  releases: string;
  /** Symlink to the release in use; switched by rename(2). */
  current: string;
  /** cloudflared by sha256 of its archive. */
  cloudflared: string;
  /** What was installed last. */
  record: string;
  /** Config and secrets. */
  config: string;
  relayConfig: string;
  relaySecrets: string;
  connectorToken: string;
  /** Kept when everything else is removed. */
  data: string;
  logs: string;
  launchDaemons: string;
  /** Where what was uploaded lies, by its sha256. */
  upload(sha256: string): string;
  /** In a folder that macOS empties at boot, so a power cut leaves no lock behind. */
  lock: string;
}

/** @param root prefix of every path, as DESTDIR is */
export function layout(root: string): Layout {
  const base = join(root, "usr/local/slm-network");
  const config = join(root, "etc/slm-network");
  return {
    root,
    base,
    releases: join(base, "releases"),
    current: join(base, "current"),
    cloudflared: join(base, "cloudflared"),
    record: join(base, "installed.json"),
    config,
    relayConfig: join(config, "relay.json"),
    relaySecrets: join(config, "secrets.json"),
    connectorToken: join(config, "tunnel-token"),
    data: join(root, "var/db/slm-network"),
    logs: join(root, "var/log/slm-network"),
    launchDaemons: join(root, "Library/LaunchDaemons"),
    upload: (sha256) => join(root, "tmp", `slm-network-${sha256}.tgz`),
    lock: join(root, "var/run/slm-network-install.lock"),
  };
}
