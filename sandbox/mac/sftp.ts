/** SFTP version 3 (draft-ietf-secsh-filexfer-02) on the Mac's root folder, with the rights of the administrator. */
import { lstatSync } from "node:fs";
import {
  chmod,
  type FileHandle,
  lstat,
  mkdir,
  open,
  readdir,
  readlink,
  rename,
  rmdir,
  stat,
  symlink,
  truncate,
  unlink,
  utimes,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import ssh2, { type FileEntry, type InputAttributes, type SFTPWrapper } from "ssh2";
import type { Wanted } from "./owners.ts";
import { attributes, givenMode, longName, openFlags, type SftpOptions, StatusError, statusOf } from "./sftp-records.ts";

const { STATUS_CODE, OPEN_MODE } = ssh2.utils.sftp;
/** Entries in one answer to READDIR. */
const entriesAtOnce = 100;
/** Longest answer to READ. */
const maxRead = 256 * 1024;

type Handle = { kind: "file"; file: FileHandle; append: boolean; path: string } | { kind: "folder"; left: FileEntry[] };

/**
 * Serves one SFTP session until its channel closes. Requests are carried out sequentially. Paths never lead out of the
 * root folder, and access that the user lacks on a Mac is refused.
 */
export function serveSftp(sftp: SFTPWrapper, options: SftpOptions): void {
  const { paths, owners, user } = options;
  const handles = new Map<number, Handle>();
  let nextHandle = 0;
  let queue = Promise.resolve();

  const enqueue = (id: number, work: () => Promise<void>): void => {
    queue = queue.then(work).catch((error: unknown) => {
      const { status, message } = statusOf(error);
      sftp.status(id, status, message);
    });
  };
  const done = (id: number): void => sftp.status(id, STATUS_CODE.OK);
  const handleOf = (buffer: Buffer): Handle => {
    const handle = buffer.length === 4 ? handles.get(buffer.readUInt32BE()) : undefined;
    if (handle === undefined) throw new StatusError(STATUS_CODE.FAILURE, "Invalid handle");
    return handle;
  };
  const fileOf = (buffer: Buffer): Extract<Handle, { kind: "file" }> => {
    const handle = handleOf(buffer);
    if (handle.kind !== "file") throw new StatusError(STATUS_CODE.FAILURE, "Not a file");
    return handle;
  };
  const give = (id: number, handle: Handle): void => {
    const number = nextHandle++;
    handles.set(number, handle);
    const buffer = Buffer.alloc(4);
    buffer.writeUInt32BE(number);
    sftp.handle(id, buffer);
  };
  const need = (wanted: Wanted, path: string): void => {
    if (owners.may(user, wanted, path)) return;
    throw new StatusError(STATUS_CODE.PERMISSION_DENIED, `Permission denied: ${paths.toVirtual(path)}`);
  };
  /** Real path of an entry to create, remove or rename: its folder must be writable. */
  const entry = (path: string): string => {
    const real = paths.resolve(path, false);
    need("write", dirname(real));
    return real;
  };
  const created = (path: string): void => owners.set([path], { user, group: owners.of(dirname(path)).group });

  sftp.on("OPEN", (id, name, flags, attrs) =>
    enqueue(id, async () => {
      const path = paths.resolve(name);
      const exists = lstatSync(path, { throwIfNoEntry: false }) !== undefined;
      const writes = (flags & (OPEN_MODE.WRITE | OPEN_MODE.APPEND)) !== 0;
      if (exists && (flags & OPEN_MODE.READ) !== 0) need("read", path);
      if (writes) need("write", exists ? path : dirname(path));
      const file = await open(path, openFlags(flags), givenMode(attrs) ?? 0o644);
      if (!exists) created(path);
      give(id, { kind: "file", file, append: (flags & OPEN_MODE.APPEND) !== 0, path });
    }),
  );
  sftp.on("READ", (id, buffer, offset, length) =>
    enqueue(id, async () => {
      const into = Buffer.alloc(Math.min(length, maxRead));
      const { bytesRead } = await fileOf(buffer).file.read(into, 0, into.length, offset);
      if (bytesRead === 0) sftp.status(id, STATUS_CODE.EOF);
      else sftp.data(id, into.subarray(0, bytesRead));
    }),
  );
  sftp.on("WRITE", (id, buffer, offset, data) =>
    enqueue(id, async () => {
      const { file, append } = fileOf(buffer);
      let written = 0;
      while (written < data.length) {
        const at = append ? null : offset + written;
        written += (await file.write(data, written, data.length - written, at)).bytesWritten;
      }
      done(id);
    }),
  );
  sftp.on("CLOSE", (id, buffer) =>
    enqueue(id, async () => {
      const handle = handleOf(buffer);
      handles.delete(buffer.readUInt32BE());
      if (handle.kind === "file") await handle.file.close();
      done(id);
    }),
  );
  sftp.on("STAT", (id, name) =>
    enqueue(id, async () => {
      const path = paths.resolve(name);
      sftp.attrs(id, attributes(path, await stat(path), options));
    }),
  );
  sftp.on("LSTAT", (id, name) =>
    enqueue(id, async () => {
      const path = paths.resolve(name, false);
      sftp.attrs(id, attributes(path, await lstat(path), options));
    }),
  );
  sftp.on("FSTAT", (id, buffer) =>
    enqueue(id, async () => {
      const { file, path } = fileOf(buffer);
      sftp.attrs(id, attributes(path, await file.stat(), options));
    }),
  );
  const setAttributes = async (path: string, attrs: InputAttributes): Promise<void> => {
    if (user !== "root" && owners.of(path).user !== user) {
      throw new StatusError(STATUS_CODE.PERMISSION_DENIED, `Operation not permitted: ${paths.toVirtual(path)}`);
    }
    const mode = givenMode(attrs);
    if (mode !== undefined) await chmod(path, mode);
    if (attrs.size !== undefined) await truncate(path, attrs.size);
    if (attrs.atime !== undefined && attrs.mtime !== undefined) await utimes(path, attrs.atime, attrs.mtime);
  };
  sftp.on("SETSTAT", (id, name, attrs) =>
    enqueue(id, async () => {
      await setAttributes(paths.resolve(name), attrs);
      done(id);
    }),
  );
  sftp.on("FSETSTAT", (id, buffer, attrs) =>
    enqueue(id, async () => {
      await setAttributes(fileOf(buffer).path, attrs);
      done(id);
    }),
  );
  sftp.on("OPENDIR", (id, name) =>
    enqueue(id, async () => {
      const path = paths.resolve(name);
      need("read", path);
      const left: FileEntry[] = [];
      for (const filename of [".", "..", ...(await readdir(path))]) {
        const one = filename === ".." && path === paths.root ? path : join(path, filename);
        const stats = await lstat(one).catch(() => undefined); // removed since
        if (stats === undefined) continue;
        left.push({
          filename,
          longname: longName(filename, one, stats, options),
          attrs: attributes(one, stats, options),
        });
      }
      give(id, { kind: "folder", left });
    }),
  );
  sftp.on("READDIR", (id, buffer) =>
    enqueue(id, async () => {
      const handle = handleOf(buffer);
      if (handle.kind !== "folder") throw new StatusError(STATUS_CODE.FAILURE, "Not a folder");
      const some = handle.left.splice(0, entriesAtOnce);
      if (some.length === 0) sftp.status(id, STATUS_CODE.EOF);
      else sftp.name(id, some);
    }),
  );
  sftp.on("REMOVE", (id, name) =>
    enqueue(id, async () => {
      await unlink(entry(name));
      done(id);
    }),
  );
  sftp.on("MKDIR", (id, name, attrs) =>
    enqueue(id, async () => {
      const path = entry(name);
      await mkdir(path, { mode: givenMode(attrs) ?? 0o755 });
      created(path);
      done(id);
    }),
  );
  sftp.on("RMDIR", (id, name) =>
    enqueue(id, async () => {
      await rmdir(entry(name));
      done(id);
    }),
  );
  sftp.on("RENAME", (id, from, to) =>
    enqueue(id, async () => {
      const target = entry(to);
      // Version 3: an existing file of the new name is an error.
      if (lstatSync(target, { throwIfNoEntry: false })) throw new StatusError(STATUS_CODE.FAILURE, "File exists");
      await rename(entry(from), target);
      done(id);
    }),
  );
  sftp.on("REALPATH", (id, name) =>
    enqueue(id, async () => {
      const filename = paths.toVirtual(paths.resolve(name));
      sftp.name(id, [
        { filename, longname: filename, attrs: { mode: 0, uid: 0, gid: 0, size: 0, atime: 0, mtime: 0 } },
      ]);
    }),
  );
  sftp.on("READLINK", (id, name) =>
    enqueue(id, async () => {
      const filename = paths.toVirtual(await readlink(paths.resolve(name, false)));
      sftp.name(id, [
        { filename, longname: filename, attrs: { mode: 0, uid: 0, gid: 0, size: 0, atime: 0, mtime: 0 } },
      ]);
    }),
  );
  // Its types name them in the opposite order: OpenSSH's client and others send the link first.
  sftp.on("SYMLINK", (id, name, target) =>
    enqueue(id, async () => {
      const path = entry(name);
      // Commands on the Mac follow the link themselves, so an absolute one must contain the real path.
      await symlink(target.startsWith("/") ? paths.real(target, paths.root) : target, path);
      created(path);
      done(id);
    }),
  );
  const release = async (): Promise<void> => {
    for (const handle of handles.values()) if (handle.kind === "file") await handle.file.close().catch(() => {});
    handles.clear();
  };
  sftp.on("end", () => {
    queue = queue.then(release).then(() => endChannel(sftp));
  });
  sftp.on("close", () => {
    queue = queue.then(release);
  });
}

/** The parts of ssh2 that its types leave out. */
interface SftpInternals {
  outgoing: { id: number; state: string };
  _protocol: { exitStatus(channel: number, status: number): void };
}

/** sftp-server exits 0 at the end of its input; without an exit status OpenSSH's scp reports a failed copy. */
function endChannel(sftp: SFTPWrapper): void {
  const { outgoing, _protocol } = sftp as unknown as SftpInternals;
  if (outgoing.state === "open") _protocol.exitStatus(outgoing.id, 0);
  sftp.end();
}
