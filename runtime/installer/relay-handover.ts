/**
 * Replaces the relay with a gap of milliseconds: the new one starts beside the old one and waits; the old one relinquishes
 * the port and finishes its requests; the new one binds the port. Since launchd runs one process per label, this happens
 * twice: to a temporary instance, and, once the old relay has finished, from that to the relay itself.
 *
 * A power cut in between needs no repair: the temporary relay's plist is not where macOS loads plists at boot.
 */
import type { InstallInput } from "../install-input-schema.ts";
import { respondsOk, waitUntil } from "./commands.ts";
import { load, reload, removeDaemon, signal, writePlist } from "./launchd.ts";
import type { Layout } from "./layout.ts";
import { type Daemon, relayDaemon } from "./plists.ts";
import { freePort } from "./ports.ts";
import { lastLines } from "./readiness.ts";
import { inSeconds, timeLimits } from "./time-limits.ts";

/** The temporary relay: same program and files, with its own label and admin port. */
export function temporaryRelay(paths: Layout, graceSeconds: number, adminPort: number): Daemon {
  return relayDaemon(paths, graceSeconds, { adminPort, plistFolder: paths.base });
}

/**
 * Replaces the running relay by one with the current files. When it resolves, the new relay is ready, the old one has
 * exited, and the temporary one is removed.
 * @param changing is called right before the running relay is changed, with a function that restores it
 * @throws Error with the new relay's last log lines. If it does not start at all, the old one is unchanged.
 */
export async function takeOver(
  paths: Layout,
  relay: Daemon,
  { relay: config }: InstallInput,
  changing: (bringBack: () => Promise<void>) => void,
): Promise<void> {
  const adminPort = await freePort();
  const { relayStarts, relayReady } = timeLimits();
  const second = temporaryRelay(paths, config.graceSeconds, adminPort);
  const says = (port: number, path: string) => () => respondsOk(`http://127.0.0.1:${port}${path}`);
  const fail = async (what: string) =>
    new Error(`${what} within ${inSeconds(relayReady)}. Its last log lines:\n${await lastLines(relay.logFile)}`);

  await removeDaemon(paths, second); // left by an installer that was killed
  await writePlist(paths, second);
  await load(paths, second);
  if (!(await waitUntil(says(adminPort, "/healthz"), relayStarts))) {
    const error = await fail("the new relay did not start");
    await removeDaemon(paths, second);
    throw error;
  }
  changing(async () => {
    await removeDaemon(paths, second);
    await reload(paths, relay);
  });
  await signal(relay, "USR2"); // no effect if the relay is not running
  if (!(await waitUntil(says(adminPort, "/readyz"), relayReady))) throw await fail("the relay did not become ready");
  await writePlist(paths, relay);
  await reload(paths, relay); // waits until the old one has exited
  if (!(await waitUntil(says(config.adminPort, "/healthz"), relayStarts))) {
    throw await fail("the new relay did not start a second time");
  }
  await signal(second, "USR2");
  if (!(await waitUntil(says(config.adminPort, "/readyz"), relayReady))) {
    throw await fail("the relay did not become ready a second time");
  }
  await removeDaemon(paths, second);
}
