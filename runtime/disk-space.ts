/** Space on the disk that holds a file or folder, in bytes. */
import { type StatsFs, statfsSync } from "node:fs";
import { statfs } from "node:fs/promises";

export interface DiskSpace {
  /** What this process may still write: without what the file system keeps for root. */
  readonly freeBytes: number;
  readonly totalBytes: number;
}

/** Rejects when the disk cannot be asked. */
export const diskSpace = async (path: string): Promise<DiskSpace> => spaceOf(await statfs(path));

/** Blocks: for threads that own a file. @throws when the disk cannot be asked */
export const freeBytesSync = (path: string): number => spaceOf(statfsSync(path)).freeBytes;

const spaceOf = ({ blocks, bavail, bsize }: StatsFs): DiskSpace => ({
  freeBytes: bavail * bsize,
  totalBytes: blocks * bsize,
});
