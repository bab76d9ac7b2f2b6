/** Copies a file, a text or a directory over SFTP. Semantics of pulumi-command 1.2.1, remote/copyController.go. */
import { randomBytes } from "node:crypto";
import { open, readdir, stat } from "node:fs/promises";
import { basename, join, posix } from "node:path";
import type { Client, SFTPWrapper, Stats } from "ssh2";
import type { ResourceDefinition } from "../plugin/definition.ts";
import { any, asset, list, string } from "../plugin/fields.ts";
import { Asset, type Props, Unknown } from "../plugin/values.ts";
import { connectionField, withSession } from "./ssh.ts";

const chunkBytes = 32 * 1024; // accepted by every SFTP server in one write
const chunksAtOnce = 16;
const noSuchFile = 2; // SSH_FX_NO_SUCH_FILE, draft-ietf-secsh-filexfer-02 section 7

function openSftp(client: Client): Promise<SFTPWrapper> {
  return new Promise((resolve, reject) => client.sftp((error, sftp) => (error ? reject(error) : resolve(sftp))));
}

/** @returns undefined when there is nothing at that path */
function remoteStat(sftp: SFTPWrapper, path: string): Promise<Stats | undefined> {
  return new Promise((resolve, reject) => {
    sftp.stat(path, (error, stats) => {
      if (!error) resolve(stats);
      else if ("code" in error && error.code === noSuchFile) resolve(undefined);
      else reject(new Error(`failed to stat remote path ${path}: ${error.message}`, { cause: error }));
    });
  });
}

async function ensureDirectory(sftp: SFTPWrapper, path: string): Promise<void> {
  const there = await remoteStat(sftp, path);
  if (there?.isDirectory()) return;
  if (there) throw new Error(`remote path ${path} exists but is not a directory`);
  await new Promise<void>((resolve, reject) => {
    sftp.mkdir(path, (error) =>
      error
        ? reject(new Error(`failed to create remote directory ${path}: ${error.message}`, { cause: error }))
        : resolve(),
    );
  });
}

/** Creates the missing folders above a path; upstream does so for a text only. */
async function ensureParents(sftp: SFTPWrapper, path: string): Promise<void> {
  const parent = posix.dirname(path);
  if (parent === path || (await remoteStat(sftp, parent))) return;
  await ensureParents(sftp, parent);
  await ensureDirectory(sftp, parent);
}

/** Writes in place: the file is truncated first, keeps its mode if it was there, and has the server's default mode if not. */
async function writeRemote(
  sftp: SFTPWrapper,
  path: string,
  chunks: AsyncIterable<Buffer> | Iterable<Buffer>,
): Promise<void> {
  const handle = await new Promise<Buffer>((resolve, reject) => {
    sftp.open(path, "w", (error, opened) =>
      error
        ? reject(new Error(`failed to create remote file ${path}: ${error.message}`, { cause: error }))
        : resolve(opened),
    );
  });
  const write = (chunk: Buffer, offset: number, position: number) =>
    new Promise<void>((resolve, reject) => {
      const length = Math.min(chunkBytes, chunk.length - offset);
      sftp.write(handle, chunk, offset, length, position, (error) => (error ? reject(error) : resolve()));
    });
  try {
    let position = 0;
    for await (const chunk of chunks) {
      const writes: Promise<void>[] = [];
      for (let offset = 0; offset < chunk.length; offset += chunkBytes)
        writes.push(write(chunk, offset, position + offset));
      await Promise.all(writes);
      position += chunk.length;
    }
  } finally {
    await new Promise<void>((resolve) => sftp.close(handle, () => resolve()));
  }
}

async function copyFile(sftp: SFTPWrapper, source: string, target: string): Promise<void> {
  const file = await open(source);
  await writeRemote(sftp, target, file.createReadStream({ highWaterMark: chunkBytes * chunksAtOnce }));
}

async function copyDirectory(sftp: SFTPWrapper, source: string, target: string): Promise<void> {
  await ensureDirectory(sftp, target);
  for (const entry of (await readdir(source, { withFileTypes: true })).toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const [from, to] = [join(source, entry.name), posix.join(target, entry.name)];
    if (entry.isDirectory()) await copyDirectory(sftp, from, to);
    else await copyFile(sftp, from, to);
  }
}

/**
 * Copies to `target`; the source goes into an existing directory there, and a source directory also into a missing one,
 * which is created. Of a source directory with a trailing slash only the contents are copied to an existing one.
 */
async function copyTo(sftp: SFTPWrapper, source: Asset, target: string): Promise<void> {
  const there = await remoteStat(sftp, target);
  if (source.path === undefined) {
    await ensureParents(sftp, target);
    await writeRemote(sftp, target, [Buffer.from(source.text ?? "")]);
  } else if ((await stat(source.path)).isDirectory()) {
    if (!there) await ensureDirectory(sftp, target);
    const whole = !source.path.endsWith("/");
    await copyDirectory(sftp, source.path, whole ? posix.join(target, basename(source.path)) : target);
  } else {
    await copyFile(sftp, source.path, there?.isDirectory() ? posix.join(target, basename(source.path)) : target);
  }
}

const copy = (call: Parameters<typeof withSession>[0], inputs: Props) =>
  withSession(call, inputs.connection, async (client) => {
    const { source, remotePath } = inputs;
    if (!(source instanceof Asset)) throw new Error("source is not an asset or archive: give one");
    await copyTo(await openSftp(client), source, String(remotePath));
  });

/** `command:remote:CopyToRemote`: copied again only when the source's hash or the path changes; never deleted. */
export const copyToRemote: ResourceDefinition<unknown> = {
  token: "command:remote:CopyToRemote",
  inputs: {
    connection: connectionField,
    remotePath: string({ required: true }),
    source: asset({ required: true }),
    triggers: list(any(), { replace: "whole" }),
  },
  outputs: [],
  secretOutputs: ["connection"],
  check({ source }) {
    if (!(source instanceof Asset) || source instanceof Unknown) return [];
    if (source.kind === "archive" && source.path === undefined) {
      return [{ property: "source", reason: "an archive must be a path to a file or directory: use FileArchive" }];
    }
    if (source.kind === "asset" && source.path === undefined && source.text === undefined) {
      return [{ property: "source", reason: "an asset must be a file or a text: use FileAsset or StringAsset" }];
    }
    return [];
  },
  async create(call, inputs) {
    await copy(call, inputs);
    return { id: randomBytes(4).toString("hex"), state: inputs };
  },
  async update(call, _id, olds, inputs) {
    const hash = (props: Props) => (props.source instanceof Asset ? props.source.hash : undefined);
    const same = hash(inputs) !== undefined && hash(inputs) === hash(olds) && inputs.remotePath === olds.remotePath;
    if (!same) await copy(call, inputs);
    return inputs;
  },
};
