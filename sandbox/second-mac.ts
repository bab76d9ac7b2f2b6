/** A second Mac beside the first, for moving a stack: its own root, hardware UUID, host key and ports. */
import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { Identity, Instance } from "./instance.ts";
import { type Mac, type MacOptions, startMac } from "./mac/mac.ts";
import { readKey } from "./mac/other-ssh.ts";
import type { UsedMac } from "./mac/this-mac.ts";

const port = z.int();

/** The content of `second-mac.json` in the sandbox's folder: the config for moving there, and its root. */
export const secondMacSchema = z.object({
  host: z.string(),
  port,
  user: z.string(),
  hostKey: z.string(),
  /** For `macs[].ports`: both Macs share this machine's loopback, so the first one's ports are taken. */
  ports: z.object({ relay: port, admin: port, connector: port }),
  hardwareUuid: z.string(),
  /** The folder on this machine that is its root. */
  root: z.string(),
});

/** Path of its descriptor file. */
export const secondMacFile = (instance: Instance): string => join(instance.folder, "second-mac.json");

/** Starts it, or restarts an existing one, and writes `second-mac.json`. It accepts the first Mac's key. */
export async function startSecondMac(
  instance: Instance,
  { ports }: Identity,
  first: UsedMac,
  options: Pick<MacOptions, "environment" | "reaper" | "log" | "macos" | "outsideDaemon">,
): Promise<Mac> {
  const { privateKeyPath } = first;
  const mac = await startMac({
    ...options,
    dir: join(instance.folder, "mac-2"),
    port: ports.ssh2 ?? 0,
    user: first.user,
    nodePath: process.execPath,
    clientKey: { privateKeyPath, parsed: readKey(privateKeyPath) },
  });
  const { host, user, hostKey, hardwareUuid, root } = mac;
  const [relay = 0, admin = 0, connector = 0] = [ports.relay2, ports.relayAdmin2, ports.connectorMetrics2];
  const told = { host, port: mac.port, user, hostKey, ports: { relay, admin, connector }, hardwareUuid, root };
  const file = secondMacFile(instance);
  await writeFile(`${file}.new`, `${JSON.stringify(secondMacSchema.parse(told), null, 2)}\n`, { mode: 0o600 });
  await rename(`${file}.new`, file);
  return mac;
}
