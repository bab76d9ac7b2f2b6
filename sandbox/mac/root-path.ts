/** Maps paths of the Mac to this machine: everything is below one folder, and no path leads out of it. */
import { readlinkSync } from "node:fs";
import { join, resolve, sep } from "node:path";

/** Links followed before a path counts as a loop (MAXSYMLINKS of Darwin is 32). */
const maxLinks = 32;

/** Paths of the Mac ("virtual": `/tmp/x`) to paths of this machine ("real") and back, with the rules of chroot(2). */
export class RootPaths {
  /** The real folder that is the Mac's `/`; itself free of symbolic links. */
  readonly root: string;
  readonly #home: string;

  /** @param home the virtual folder that relative paths and `~` start from */
  constructor(root: string, home: string) {
    this.root = root;
    this.#home = home;
  }

  /**
   * The real path a virtual one stands for, symbolic links resolved inside the root: `..` stops at the root, and an
   * absolute link starts at the root again. Missing parts are kept as they are. Blocking.
   * @param followLast false: a link at the end of the path is meant itself (lstat, remove, rename, readlink)
   * @throws Error with code ELOOP
   */
  resolve(path: string, followLast = true): string {
    let pending = this.#absolute(path).split("/");
    let done: string[] = [];
    let links = 0;
    while (pending.length > 0) {
      const part = pending.shift();
      if (part === undefined || part === "" || part === ".") continue;
      if (part === "..") {
        done.pop();
        continue;
      }
      const isLast = pending.every((rest) => rest === "" || rest === ".");
      const target = !isLast || followLast ? linkTarget(join(this.root, ...done, part)) : undefined;
      if (target === undefined) {
        done.push(part);
        continue;
      }
      links++;
      if (links > maxLinks) {
        throw Object.assign(new Error(`${path}: too many levels of symbolic links`), { code: "ELOOP" });
      }
      if (target.startsWith("/")) done = [];
      pending = [...this.toVirtual(target).split("/"), ...pending];
    }
    return join(this.root, ...done);
  }

  /** The virtual name of a real path below the root; any other path is given back unchanged. */
  toVirtual(path: string): string {
    if (path === this.root) return "/";
    return path.startsWith(this.root + sep) ? path.slice(this.root.length) : path;
  }

  /**
   * The real path of a command's argument: a path already below the root (the product prefixes its paths
   * with SLM_NETWORK_ROOT) as it is, any other below the root. Lexical only, so a link at the end stays a link.
   */
  real(path: string, cwd: string): string {
    const absolute = resolve(cwd, path);
    return absolute === this.root || absolute.startsWith(this.root + sep) ? absolute : join(this.root, absolute);
  }

  #absolute(path: string): string {
    if (path.startsWith("/")) return this.toVirtual(path);
    if (path === "~" || path.startsWith("~/")) return `${this.#home}${path.slice(1)}`;
    return `${this.#home}/${path}`;
  }
}

function linkTarget(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined; // not a link, or missing: the operation itself reports it
  }
}
