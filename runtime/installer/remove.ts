/** Removes an installation: daemons, code, config, logs, account. The data is kept unless `data` is set. */
import { removeAccount } from "./account.ts";
import { temporaryConnector } from "./connector-handover.ts";
import { installedLines } from "./direct.ts";
import { removeTree } from "./files.ts";
import { refusesRemoval } from "./installation.ts";
import { removeDaemon } from "./launchd.ts";
import type { Layout } from "./layout.ts";
import { withLock } from "./lock.ts";
import { connectorDaemon, relayDaemon, removedDirectDaemon, removedModelDaemon } from "./plists.ts";
import { temporaryRelay } from "./relay-handover.ts";

/**
 * Running requests may finish within launchd's grace period. A missing installation is not an error. The Mac's power
 * settings are kept: their former values are unknown, and other software may rely on them now.
 * @param options.installation only the installation with this id is removed, so that the removal of a replaced, renamed or
 * moved Pulumi resource cannot remove what another one has installed since. Without an id (versions before ids) it does
 * nothing.
 * @returns why nothing was removed; undefined on success
 */
export async function remove(
  paths: Layout,
  { data = false, installation }: { data?: boolean; installation?: string | undefined } = {},
): Promise<string | undefined> {
  return withLock(paths.lock, async () => {
    const refusal = await refusesRemoval(paths, installation);
    if (refusal !== undefined) return refusal;
    // Only labels and time limits matter here: the longest ones.
    const connectors = [connectorDaemon(paths, 0), temporaryConnector(paths, 0)];
    for (const daemon of [
      ...connectors,
      relayDaemon(paths, 170),
      temporaryRelay(paths, 170, 0),
      removedModelDaemon(paths),
    ]) {
      await removeDaemon(paths, daemon);
    }
    for (const server of await installedLines(paths)) await removeDaemon(paths, removedDirectDaemon(paths, server));
    const folders = [paths.config, paths.logs, ...(data ? [paths.data] : []), paths.base];
    for (const folder of folders) await removeTree(folder);
    await removeAccount();
    return undefined;
  });
}
