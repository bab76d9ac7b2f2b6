/** Removes what the installer put on the Mac: daemons, code, config, logs, account. The data stays unless told otherwise. */
import { rm } from "node:fs/promises";
import { removeAccount } from "./account.ts";
import { temporaryConnector } from "./connector-handover.ts";
import { refusesRemoval } from "./installation.ts";
import { removeDaemon } from "./launchd.ts";
import type { Layout } from "./layout.ts";
import { withLock } from "./lock.ts";
import { connectorDaemon, relayDaemon, removedModelDaemon } from "./plists.ts";
import { temporaryRelay } from "./relay-handover.ts";

/**
 * Running requests may finish first, as long as launchd lets them. Nothing there is no error. The Mac's power settings stay
 * as they are: nobody knows what they were before, and whether somebody relies on them by now.
 * @param options.installation only the installation with this id is removed. So the removal of a Pulumi resource that was
 * replaced, renamed or moved away cannot remove what another one has installed since. One of a version without ids runs
 * this installer too, without an id, and does nothing.
 * @returns why nothing was removed; undefined when it was
 */
export async function remove(
  paths: Layout,
  { data = false, installation }: { data?: boolean; installation?: string | undefined } = {},
): Promise<string | undefined> {
  return withLock(paths.lock, async () => {
    const refusal = await refusesRemoval(paths, installation);
    if (refusal !== undefined) return refusal;
    // Only the labels count here; the longest times are waited for.
    const connectors = [connectorDaemon(paths, 0), temporaryConnector(paths, 0)];
    for (const daemon of [
      ...connectors,
      relayDaemon(paths, 170),
      temporaryRelay(paths, 170, 0),
      removedModelDaemon(paths),
    ]) {
      await removeDaemon(paths, daemon);
    }
    const folders = [paths.config, paths.logs, ...(data ? [paths.data] : []), paths.base];
    for (const folder of folders) await rm(folder, { recursive: true, force: true });
    await removeAccount();
    return undefined;
  });
}
