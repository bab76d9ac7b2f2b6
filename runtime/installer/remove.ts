/** Removes what the installer put on the Mac: daemons, code, config, logs, account. The data stays. */
import { rm } from "node:fs/promises";
import { removeAccount } from "./account.ts";
import { standIn } from "./handover.ts";
import { removeDaemon } from "./launchd.ts";
import type { Layout } from "./layout.ts";
import { locked } from "./lock.ts";
import { connectorDaemon, relayDaemon } from "./plists.ts";

/** Running requests may finish first, as long as launchd lets them. Nothing there is no error. */
export async function remove(paths: Layout): Promise<void> {
  await locked(paths.lock, async () => {
    // Only the labels count here; the longest times are waited for.
    const connectors = [connectorDaemon(paths, 0), standIn(paths, 0)];
    for (const daemon of [...connectors, relayDaemon(paths, 170)]) await removeDaemon(paths, daemon);
    for (const folder of [paths.config, paths.logs, paths.base]) await rm(folder, { recursive: true, force: true });
    await removeAccount();
  });
}
