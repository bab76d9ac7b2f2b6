/** Small files of the data folder that are written whole. */
import { open, rename, rm } from "node:fs/promises";

/**
 * Replaces a file (0600) atomically. A failure, such as a full disk, leaves the old file, and nothing beside it.
 * @param synced also durable: after a power cut there is the old file or the new one. On a Mac, Node's sync is F_FULLFSYNC
 */
export async function replaceFile(path: string, content: string, { synced }: { synced: boolean }): Promise<void> {
  const beside = `${path}.new`;
  try {
    // Removed first: the mode counts only for a file that is created.
    await rm(beside, { force: true });
    const file = await open(beside, "wx", 0o600);
    try {
      await file.writeFile(content);
      if (synced) await file.sync();
    } finally {
      await file.close();
    }
    await rename(beside, path);
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  }
}
