/**
 * A relay that changes without a gap to speak of: the new one starts beside the old one and waits; the old one lets go of
 * the port and finishes what it has; the new one has it some milliseconds later. Since launchd runs one process a label,
 * that is done twice: to a stand-in, and, once the old one has finished, from that to the relay itself.
 *
 * A power cut in between leaves nothing to mend: the stand-in's plist lies where macOS does not look at boot.
 */
import type { InstallInput } from "../config.ts";
import { respondsOk, waitUntil } from "./commands.ts";
import { load, reload, removeDaemon, signal, writePlist } from "./launchd.ts";
import type { Layout } from "./layout.ts";
import { type Daemon, relayDaemon } from "./plists.ts";
import { freePort } from "./ports.ts";
import { lastLines } from "./readiness.ts";

/** How long a new relay may take until it is alive, and, once it may have the port, until it serves; milliseconds. */
const patience = { alive: 30_000, ready: 30_000 };

/** The relay's stand-in: the same program and files, a name and an admin port of its own. */
export function temporaryRelay(paths: Layout, graceSeconds: number, adminPort: number): Daemon {
  return relayDaemon(paths, graceSeconds, { adminPort, plistFolder: paths.base });
}

/**
 * Replaces the running relay by what is in the files now. When it resolves, the relay is anew and ready, the old one has
 * ended, and the stand-in is gone.
 * @param changing is called right before the running relay is touched, with what brings it back
 * @throws Error with the new relay's last log lines. When it does not even start, the old one has not been touched.
 */
export async function takeOver(
  paths: Layout,
  relay: Daemon,
  { relay: config }: InstallInput,
  changing: (bringBack: () => Promise<void>) => void,
): Promise<void> {
  const adminPort = await freePort();
  const second = temporaryRelay(paths, config.graceSeconds, adminPort);
  const says = (port: number, path: string) => () => respondsOk(`http://127.0.0.1:${port}${path}`);
  const fail = async (what: string) =>
    new Error(`${what} within ${patience.ready / 1000} s. Its last log lines:\n${await lastLines(relay.logFile)}`);

  await removeDaemon(paths, second); // one left by an installer that was killed
  await writePlist(paths, second);
  await load(paths, second);
  if (!(await waitUntil(says(adminPort, "/healthz"), patience.alive))) {
    const error = await fail("the new relay did not start");
    await removeDaemon(paths, second);
    throw error;
  }
  changing(async () => {
    await removeDaemon(paths, second);
    await reload(paths, relay);
  });
  await signal(relay, "USR2"); // one that does not run has nothing to let go of
  if (!(await waitUntil(says(adminPort, "/readyz"), patience.ready)))
    throw await fail("the relay did not become ready");
  await writePlist(paths, relay);
  await reload(paths, relay); // waits until the old one has finished
  if (!(await waitUntil(says(config.adminPort, "/healthz"), patience.alive))) {
    throw await fail("the new relay did not start a second time");
  }
  await signal(second, "USR2");
  if (!(await waitUntil(says(config.adminPort, "/readyz"), patience.ready))) {
    throw await fail("the relay did not become ready a second time");
  }
  await removeDaemon(paths, second);
}
