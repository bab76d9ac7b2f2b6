/** Claims: resources that one process of this machine may hold at a time, such as a port or the build of a tool. */
import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { link, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";

/** A held claim. */
export interface Claim {
  /** Releases the claim. */
  release(): Promise<void>;
}

/**
 * Claims `file`'s subject for this process with a file that names the process. Claims of ended processes are ignored; a
 * claim of this process counts.
 * @returns undefined when another process, or this one, already holds it
 */
export async function claim(file: string): Promise<Claim | undefined> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const mark = randomBytes(6).toString("hex");
  // Created by link(2), so a reader never sees an empty file.
  const own = `${file}.${mark}`;
  await writeFile(own, `${process.pid} ${mark}\n`, { mode: 0o600 });
  try {
    if (await linked(own, file)) return held(file);
    const found = await contentOf(file);
    if (found === undefined || isAlive(pidIn(found))) return undefined;
    // Several processes may find the same stale file: one gets the right to replace it. Whoever comes later with the same
    // finding sees another content. The right is itself a claim, since its holder may end too.
    const right = await claim(`${file}.${createHash("sha256").update(found).digest("hex").slice(0, 12)}`);
    if (!right) return undefined;
    try {
      if ((await contentOf(file)) !== found) return undefined;
      await rename(own, file);
      return held(file);
    } finally {
      await right.release();
    }
  } finally {
    await rm(own, { force: true });
  }
}

/** @returns whether a claim file exists, also of an ended process */
export const wasClaimed = async (file: string): Promise<boolean> => (await contentOf(file)) !== undefined;

/** @returns the process that holds the claim, if it is alive */
export async function claimant(file: string): Promise<number | undefined> {
  const pid = pidIn((await contentOf(file)) ?? "");
  return isAlive(pid) ? pid : undefined;
}

const held = (file: string): Claim => ({ release: () => rm(file, { force: true }) });

const linked = (from: string, to: string): Promise<boolean> =>
  link(from, to).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === "EEXIST") return false;
      throw error;
    },
  );

const contentOf = (file: string): Promise<string | undefined> => readFile(file, "utf8").catch(() => undefined);

/** 0 when the file names no process. */
const pidIn = (content: string): number => Number(/^(\d+) /.exec(content)?.[1] ?? 0);

function isAlive(pid: number): boolean {
  if (pid === 0) return false;
  try {
    process.kill(pid, 0);
    return !isZombie(pid);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM"; // another user's
  }
}

/** Ended, but its parent has not asked for its exit code: in a container, the first process may never do so. */
function isZombie(pid: number): boolean {
  if (process.platform !== "linux") return false;
  try {
    return /^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false; // ended in between, or not readable
  }
}
