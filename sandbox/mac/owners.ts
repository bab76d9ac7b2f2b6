/**
 * Owners of the Mac's files. A normal user of this machine cannot chown, so owner and group are kept beside the files; the
 * mode is the file's own.
 */
import { type BigIntStats, lstatSync, statSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import type { Directory } from "./directory.ts";
import type { RootPaths } from "./root-path.ts";
import { StateFile } from "./state-file.ts";

const ownerSchema = z.object({ user: z.string(), group: z.string() });

/** Names of a file's user and group. */
export type Owner = z.infer<typeof ownerSchema>;
/** Requested access to a file: read, write, or execute/search. */
export type Wanted = "read" | "write" | "execute";

const bitOf: Record<Wanted, number> = { read: 4, write: 2, execute: 1 };

/** Owners by inode, so that they follow a rename; kept in `dir/owners.json`. */
export class Owners {
  readonly #state: StateFile<Record<string, Owner>>;
  readonly #paths: RootPaths;
  readonly #directory: Directory;
  readonly #admin: string;

  constructor(dir: string, paths: RootPaths, directory: Directory, admin: string) {
    this.#state = new StateFile(join(dir, "owners.json"), z.record(z.string(), ownerSchema), {});
    this.#paths = paths;
    this.#directory = directory;
    this.#admin = admin;
  }

  /**
   * Owner of the file at a real path (of the link itself when it is one), and its permission bits. Without a stored owner,
   * a file belongs to the administrator in its home and in /tmp, and to root:wheel elsewhere.
   * @throws Error (ENOENT …) as lstat(2)
   */
  of(path: string): Owner & { mode: number } {
    const stats = lstatSync(path, { bigint: true });
    const owner = this.#state.value[keyOf(stats)] ?? this.#default(path);
    return { user: owner.user, group: owner.group, mode: Number(stats.mode) & 0o7777 };
  }

  /** Sets owner, group or both of several files and saves once. @throws Error as lstat(2), before anything is changed */
  set(paths: string[], change: Partial<Owner>): void {
    const next = paths.map((path): [string, Owner] => {
      const { user, group } = this.of(path);
      return [keyOf(lstatSync(path, { bigint: true })), { user, group, ...change }];
    });
    for (const [key, owner] of next) this.#state.value[key] = owner;
    this.#state.save();
  }

  /**
   * Whether macOS would allow this user that access to the existing file at a real path. Parent folders are not checked.
   */
  may(user: string, wanted: Wanted, path: string): boolean {
    if (user === "root") return true;
    const followed = statSync(path, { bigint: true });
    const owner = this.#state.value[keyOf(followed)] ?? this.#default(path);
    const mode = Number(followed.mode);
    if (owner.user === user) return ((mode >> 6) & bitOf[wanted]) !== 0;
    if (this.#directory.groupsOf(user).includes(owner.group)) return ((mode >> 3) & bitOf[wanted]) !== 0;
    return (mode & bitOf[wanted]) !== 0;
  }

  #default(path: string): Owner {
    const virtual = this.#paths.toVirtual(path);
    if (`${virtual}/`.startsWith(`/Users/${this.#admin}/`)) return { user: this.#admin, group: "staff" };
    if (/^(\/private)?\/tmp\/./.test(virtual)) return { user: this.#admin, group: "wheel" };
    return { user: "root", group: "wheel" };
  }
}

/** Inode numbers are reused; the birth time distinguishes two files with one number. */
const keyOf = (stats: BigIntStats): string => `${stats.dev}:${stats.ino}:${stats.birthtimeNs}`;
