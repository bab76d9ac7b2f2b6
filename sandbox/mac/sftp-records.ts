/** Conversion between SFTP's numbers and records and those of the file system. */
import { constants, type Stats } from "node:fs";
import { basename } from "node:path";
import ssh2, { type Attributes, type InputAttributes } from "ssh2";
import type { Directory } from "./directory.ts";
import type { Owners } from "./owners.ts";
import type { RootPaths } from "./root-path.ts";

const { STATUS_CODE, OPEN_MODE } = ssh2.utils.sftp;

/** The dependencies of the subsystem. */
export interface SftpOptions {
  paths: RootPaths;
  owners: Owners;
  directory: Directory;
  user: string;
}

/** An error with SFTP's status code. */
export class StatusError extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** pflags of SSH_FXP_OPEN as flags of open(2). */
export function openFlags(flags: number): number {
  const has = (flag: number): boolean => (flags & flag) !== 0;
  const reads = has(OPEN_MODE.READ);
  const access = has(OPEN_MODE.WRITE) || has(OPEN_MODE.APPEND) ? (reads ? constants.O_RDWR : constants.O_WRONLY) : 0;
  return (
    access |
    (has(OPEN_MODE.APPEND) ? constants.O_APPEND : 0) |
    (has(OPEN_MODE.CREAT) ? constants.O_CREAT : 0) |
    (has(OPEN_MODE.TRUNC) ? constants.O_TRUNC : 0) |
    (has(OPEN_MODE.EXCL) ? constants.O_EXCL : 0)
  );
}

/** Permission bits, when the client gave some. */
export function givenMode(attrs: InputAttributes): number | undefined {
  return typeof attrs.mode === "number" ? attrs.mode & 0o7777 : undefined;
}

/** What STAT answers: owner and group by the Mac's numbers, times in seconds. */
export function attributes(path: string, stats: Stats, { owners, directory }: SftpOptions): Attributes {
  const { user, group } = owners.of(path);
  return {
    mode: stats.mode,
    uid: Math.max(0, directory.id("Users", user) ?? 0),
    gid: Math.max(0, directory.id("Groups", group) ?? 0),
    size: stats.size,
    atime: Math.floor(stats.atimeMs / 1000),
    mtime: Math.floor(stats.mtimeMs / 1000),
  };
}

/** A line of `ls -l`, which OpenSSH's sftp prints unchanged. */
export function longName(filename: string, path: string, stats: Stats, { owners }: SftpOptions): string {
  const { user, group, mode } = owners.of(path);
  const kind = stats.isDirectory() ? "d" : stats.isSymbolicLink() ? "l" : "-";
  const bits = [8, 7, 6, 5, 4, 3, 2, 1, 0].map((bit) => ((mode >> bit) & 1 ? "xwr"[bit % 3] : "-")).join("");
  const when = stats.mtime.toISOString().slice(0, 16).replace("T", " ");
  const columns = [`${kind}${bits}`, stats.nlink, user.padEnd(8), group.padEnd(8), stats.size, when];
  return `${columns.join(" ")} ${basename(filename)}`;
}

/** Status code and message for a refusal or an error of the file system. */
export function statusOf(error: unknown): { status: number; message: string } {
  if (error instanceof StatusError) return { status: error.status, message: error.message };
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "ENOENT" || code === "ENOTDIR") return { status: STATUS_CODE.NO_SUCH_FILE, message: "No such file" };
  if (code === "EACCES" || code === "EPERM")
    return { status: STATUS_CODE.PERMISSION_DENIED, message: "Permission denied" };
  return { status: STATUS_CODE.FAILURE, message: typeof code === "string" ? code : "Failure" };
}
