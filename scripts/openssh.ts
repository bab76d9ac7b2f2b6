/** OpenSSH for the tests: its server, `ssh`, `sftp` and `scp`. Systems have them, or the tests install them where that is harmless. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { executablesOnPath, isExecutable } from "../sandbox/tools/on-path.ts";
import { MissingTool } from "../sandbox/tools/tools.ts";

const clients = ["ssh", "sftp", "scp"];
const advice = "install the package openssh-server (macOS brings it), or say by SSHD where it is";

/**
 * Finds OpenSSH's server and clients. In a container of Debian's kind, as root, they are installed when they are missing;
 * not on a machine that runs services, since the package would open port 22 there.
 * @returns the server's absolute path (sshd insists on one)
 * @throws MissingTool when they are not to be had
 */
export function ensureOpenSsh(log: (line: string) => void): string {
  const sshd = find();
  if (sshd !== undefined) return prepared(sshd);
  const runsServices = existsSync("/run/systemd/system") && !process.env.CI;
  if (process.getuid?.() !== 0 || runsServices || executablesOnPath("apt-get").length === 0) {
    throw new MissingTool(
      `OpenSSH is missing (${missing().join(", ")}), which the sandbox's Mac is tested with: ${advice}.`,
    );
  }
  log("openssh: installing openssh-server by apt-get …");
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const install = ["install", "-y", "--no-install-recommends", "openssh-server", "openssh-client"];
  let ran = spawnSync("apt-get", install, { encoding: "utf8", env });
  if (ran.status !== 0) {
    // The package lists may be old, or not there at all, as in a fresh container.
    spawnSync("apt-get", ["update"], { env, stdio: "ignore" });
    ran = spawnSync("apt-get", install, { encoding: "utf8", env });
  }
  const installed = find();
  if (installed === undefined) {
    const why = ran.stderr.trim().split("\n").at(-1);
    throw new MissingTool(`OpenSSH could not be installed by apt-get (${why}): ${advice}.`);
  }
  return prepared(installed);
}

const serverOf = (): string | undefined =>
  [process.env.SSHD, "/usr/sbin/sshd", "/usr/bin/sshd", ...executablesOnPath("sshd")].find(
    (file) => file !== undefined && isExecutable(file),
  );
const find = (): string | undefined => (missing().length === 0 ? serverOf() : undefined);

function missing(): string[] {
  const programs = clients.filter((name) => executablesOnPath(name).length === 0);
  return serverOf() === undefined ? ["sshd", ...programs] : programs;
}

/** As root it wants a folder that Debian's service makes when it starts; here none does. */
function prepared(sshd: string): string {
  if (process.platform === "linux" && process.getuid?.() === 0 && existsSync("/etc/debian_version")) {
    mkdirSync("/run/sshd", { recursive: true, mode: 0o755 });
  }
  return sshd;
}
