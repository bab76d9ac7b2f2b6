/**
 * OpenSSH without root, on a system of Debian's kind: its packages are downloaded by apt, which checks them, and unpacked
 * into the user's cache. Nothing is installed, started or opened.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const wanted = ["openssh-server", "openssh-client"];
const withinMs = 300_000;

/** Programs that are made runnable, and where they lie in the packages. */
const programs = { sshd: "usr/sbin/sshd", ssh: "usr/bin/ssh", sftp: "usr/bin/sftp", scp: "usr/bin/scp" } as const;

/**
 * @param cache the folder that keeps it
 * @returns the folder with `sshd`, `ssh`, `sftp` and `scp` to run
 * @throws Error saying why it did not work
 */
export function unpackOpenSsh(cache: string, log: (line: string) => void, environment = process.env): string {
  const folder = join(cache, "openssh");
  const bin = join(folder, "bin");
  if (existsSync(join(bin, "sshd"))) return bin;
  log("openssh: unpacking Debian's packages into the cache, since they are not installed and this user is not root …");
  mkdirSync(cache, { recursive: true });
  const work = mkdtempSync(join(cache, ".openssh-"));
  const run = (command: string, args: string[], cwd = work): string => {
    const ran = spawnSync(command, args, { cwd, encoding: "utf8", env: environment, timeout: withinMs });
    if (ran.status === 0) return ran.stdout;
    const said = ran.error?.message ?? ran.stderr.trim().split("\n").at(-1);
    throw new Error(`\`${[command, ...args].join(" ")}\` ended with ${ran.status}: ${said}`);
  };
  try {
    for (const name of ["lists/partial", "apt/archives/partial", "debs", "root", "bin"]) {
      mkdirSync(join(work, name), { recursive: true });
    }
    const list = ["install", "--print-uris", "-y", "--no-install-recommends", "--reinstall", ...wanted];
    let own: string[] = [];
    let uris: string;
    try {
      uris = run("apt-get", list);
    } catch {
      // A fresh container has no package lists: into a folder of our own, as nobody needs root for that.
      own = ["-o", `Dir::State::Lists=${work}/lists`, "-o", `Dir::Cache=${work}/apt`, "-o", "Debug::NoLocking=1"];
      run("apt-get", [...own, "update"]);
      uris = run("apt-get", [...own, ...list]);
    }
    // 'http://…/openssh-server_9.2_amd64.deb' openssh-server_1%3a9.2_amd64.deb 456584 MD5Sum:…
    const names = [...uris.matchAll(/^'[^']+' ([^_\s]+)_\S+\.deb /gm)].map(([, name]) => name ?? "");
    run("apt-get", [...own, "download", ...(names.length > 0 ? names : wanted)], join(work, "debs"));
    for (const file of readdirSync(join(work, "debs"))) run("dpkg-deb", ["-x", join("debs", file), "root"]);
    for (const [name, path] of Object.entries(programs)) {
      if (!existsSync(join(work, "root", path))) throw new Error(`the packages hold no ${path}`);
      writeFileSync(join(work, "bin", name), wrapper(join(folder, "root"), path, extra(name, work, folder)));
      chmodSync(join(work, "bin", name), 0o755);
    }
    for (const name of ["lists", "apt", "debs"]) rmSync(join(work, name), { recursive: true, force: true });
    if (!existsSync(join(bin, "sshd"))) {
      rmSync(folder, { recursive: true, force: true });
      renameSync(work, folder);
    }
    return bin;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/** The libraries that came along are found first; the program's own absolute path stays, since sshd runs itself again. */
function wrapper(root: string, program: string, options: readonly string[]): string {
  const libraries = ["usr/lib", "lib"].flatMap((folder) =>
    ["x86_64-linux-gnu", "aarch64-linux-gnu"].map((triplet) => join(root, folder, triplet)),
  );
  return [
    "#!/bin/sh",
    `LD_LIBRARY_PATH=${quote(libraries.join(":"))}\${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}`,
    "export LD_LIBRARY_PATH",
    `exec ${[join(root, program), ...options].map(quote).join(" ")} "$@"`,
    "",
  ].join("\n");
}

/** Paths that are compiled into the programs, and are elsewhere here. */
function extra(name: string, work: string, folder: string): string[] {
  if (name === "sftp" || name === "scp") return ["-S", join(folder, "bin/ssh")];
  if (name !== "sshd") return [];
  // From OpenSSH 9.8 on sshd is several programs.
  const parts = { SshdSessionPath: "sshd-session", SshdAuthPath: "sshd-auth" };
  return Object.entries(parts).flatMap(([option, file]) =>
    existsSync(join(work, "root/usr/lib/openssh", file))
      ? ["-o", `${option}=${join(folder, "root/usr/lib/openssh", file)}`]
      : [],
  );
}
