/** `plistutil` of libplist: a reader of property lists that is not ours. */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { parseBinary } from "plist";

const isThere = (): boolean => spawnSync("plistutil", ["--version"]).status === 0;

/**
 * Has `plistutil` on PATH; in a container of Debian's kind, as root, it is installed when it is missing.
 * @throws Error saying what to install
 */
export function ensurePlistutil(): void {
  if (isThere()) return;
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const install = () => spawnSync("apt-get", ["install", "-y", "--no-install-recommends", "libplist-utils"], { env });
  if (process.getuid?.() === 0 && install().status !== 0) {
    spawnSync("apt-get", ["update"], { env }); // a fresh container has no package lists
    install();
  }
  if (isThere()) return;
  throw new Error(
    "plistutil is missing, with which the plists are checked: install libplist-utils (Debian, Ubuntu) or libplist (Homebrew)",
  );
}

/**
 * Has `plistutil` read a property list in XML and write it in Apple's binary form.
 * @returns what that holds
 * @throws Error with what it says when it takes it for none
 */
export function throughPlistutil(file: string): unknown {
  const binary = `${file}.binary`;
  const ran = spawnSync("plistutil", ["-i", file, "-f", "bin", "-o", binary], { encoding: "utf8" });
  // Some versions say what is wrong and end with 0 all the same.
  if (ran.status !== 0 || !existsSync(binary))
    throw new Error(`plistutil does not take ${file}: ${ran.stderr}${ran.stdout}`);
  return parseBinary(readFileSync(binary));
}
