/** OpenSSH for the tests: its server, `ssh`, `sftp` and `scp`. Systems have them, or the tests install them where that is harmless. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { delimiter, join } from "node:path";
import { executablesOnPath, isExecutable } from "./on-path.ts";
import { unpackOpenSsh } from "./openssh-unpacked.ts";
import { cacheFolder, MissingTool } from "./tools.ts";

const clients = ["ssh", "sftp", "scp"];
const advice = "install the package openssh-server (macOS brings it), or say by SSHD where it is";

/** What is looked at. */
export interface Surroundings {
  path: string;
  /** Where the server may be, first one first. */
  servers: readonly string[];
  isRoot: boolean;
  /** An installed server would be started, and open port 22. */
  runsServices: boolean;
}

function thisMachine(): Surroundings {
  const path = process.env.PATH ?? "";
  const servers = [process.env.SSHD ?? "", "/usr/sbin/sshd", "/usr/bin/sshd", ...executablesOnPath("sshd", path)];
  const runsServices = existsSync("/run/systemd/system") && !process.env.CI;
  return { path, servers, isRoot: process.getuid?.() === 0, runsServices };
}

/**
 * Finds OpenSSH's server and clients. In a container of Debian's kind, as root, they are installed when they are missing;
 * not on a machine that runs services, since the package would open port 22 there. There, and for a user without root,
 * Debian's packages are unpacked into the cache, and its clients are appended to this process' PATH.
 * @returns the server's absolute path (sshd insists on one)
 * @throws MissingTool, one sentence saying what to install, when they are not available
 */
export function ensureOpenSsh(log: (line: string) => void, where = thisMachine()): string {
  const sshd = find(where);
  if (sshd !== undefined) return prepared(sshd, where);
  if (!where.isRoot || where.runsServices || executablesOnPath("apt-get", where.path).length === 0) {
    const names = missing(where).join(", ");
    const problem = `OpenSSH is missing (${names}), which the sandbox's Mac is tested with`;
    if (["apt-get", "dpkg-deb"].some((name) => executablesOnPath(name, where.path).length === 0)) {
      throw new MissingTool(`${problem}: ${advice}.`);
    }
    try {
      const bin = unpackOpenSsh(cacheFolder(), log, { ...process.env, PATH: where.path });
      process.env.PATH = [process.env.PATH, bin].join(delimiter);
      return prepared(join(bin, "sshd"), where);
    } catch (error) {
      throw new MissingTool(
        `${problem}, and unpacking it without root failed (${(error as Error).message}): ${advice}.`,
      );
    }
  }
  log("openssh: installing openssh-server by apt-get …");
  const why = install();
  const installed = find(where);
  if (installed === undefined) throw new MissingTool(`OpenSSH could not be installed by apt-get (${why}): ${advice}.`);
  return prepared(installed, where);
}

/** @returns the last line of what apt-get complained about */
function install(): string {
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const args = ["install", "-y", "--no-install-recommends", "openssh-server", "openssh-client"];
  let ran = spawnSync("apt-get", args, { encoding: "utf8", env });
  if (ran.status !== 0) {
    // The package lists may be old, or not there at all, as in a fresh container.
    spawnSync("apt-get", ["update"], { env, stdio: "ignore" });
    ran = spawnSync("apt-get", args, { encoding: "utf8", env });
  }
  return ran.stderr.trim().split("\n").at(-1) ?? "";
}

const serverOf = ({ servers }: Surroundings): string | undefined => servers.find((file) => isExecutable(file));
const find = (where: Surroundings): string | undefined => (missing(where).length === 0 ? serverOf(where) : undefined);

function missing(where: Surroundings): string[] {
  const programs = clients.filter((name) => executablesOnPath(name, where.path).length === 0);
  return serverOf(where) === undefined ? ["sshd", ...programs] : programs;
}

/** As root it wants a folder that Debian's service makes when it starts; here none does. */
function prepared(sshd: string, { isRoot }: Surroundings): string {
  if (isRoot && existsSync("/etc/debian_version")) mkdirSync("/run/sshd", { recursive: true, mode: 0o755 });
  return sshd;
}
