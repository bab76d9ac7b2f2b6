/** Removes what the installer put on the Mac: daemons, code, config, logs, account. The data stays unless told otherwise. */
import { rm } from "node:fs/promises";
import { removeAccount } from "./account.ts";
import { standIn } from "./handover.ts";
import { removeDaemon } from "./launchd.ts";
import type { Layout } from "./layout.ts";
import { locked } from "./lock.ts";
import { connectorDaemon, relayDaemon, removedModelDaemon } from "./plists.ts";
import { relayStandIn } from "./takeover.ts";

/**
 * Running requests may finish first, as long as launchd lets them. Nothing there is no error. The Mac's power settings stay
 * as they are: nobody knows what they were before, and whether somebody relies on them by now.
 */
export async function remove(paths: Layout, { data = false }: { data?: boolean } = {}): Promise<void> {
  await locked(paths.lock, async () => {
    // Only the labels count here; the longest times are waited for.
    const connectors = [connectorDaemon(paths, 0), standIn(paths, 0)];
    for (const daemon of [
      ...connectors,
      relayDaemon(paths, 170),
      relayStandIn(paths, 170, 0),
      removedModelDaemon(paths),
    ]) {
      await removeDaemon(paths, daemon);
    }
    const folders = [paths.config, paths.logs, ...(data ? [paths.data] : []), paths.base];
    for (const folder of folders) await rm(folder, { recursive: true, force: true });
    await removeAccount();
  });
}
