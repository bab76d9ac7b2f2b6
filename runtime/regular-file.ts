/** Opens a file that a less trusted account may have replaced: a link, a FIFO or a device is refused. */
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";

/**
 * Opens a regular file that has one name. Does not follow a link at the end of the path and does not wait for the writer of
 * a FIFO. A second name (hard link) is refused too: the file may be another one, which the reader alone may read.
 * @param flags of open(2), `O_NOFOLLOW` and `O_NONBLOCK` are added. @default for reading
 * @throws Error that says what the path is; ENOENT as open(2)
 */
export async function openRegular(path: string, flags: number = constants.O_RDONLY, mode = 0o600): Promise<FileHandle> {
  const file = await open(path, flags | constants.O_NOFOLLOW | constants.O_NONBLOCK, mode).catch((error: unknown) => {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ELOOP" || code === "EMLINK") throw new Error(`${path} is a symbolic link: not opened`);
    if (code === "ENXIO" || code === "EISDIR") throw new Error(`${path} is not a regular file: not opened`);
    throw error;
  });
  try {
    const stats = await file.stat();
    if (!stats.isFile()) throw new Error(`${path} is not a regular file: not opened`);
    if (stats.nlink !== 1) throw new Error(`${path} has ${stats.nlink} names (hard links): not opened`);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}
