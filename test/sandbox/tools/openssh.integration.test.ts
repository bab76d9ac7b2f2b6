import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { ensureOpenSsh } from "../../../sandbox/tools/openssh.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "slm-openssh-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const lines: string[] = [];
const log = (line: string) => void lines.push(line);
const person = { isRoot: false, runsServices: false };
function program(name: string): string {
  writeFileSync(join(folder, name), "#!/bin/sh\n");
  chmodSync(join(folder, name), 0o755);
  return join(folder, name);
}

it("says in one sentence what is missing and what to install, to anybody but root in a container", () => {
  const nothing = { path: "/nowhere", servers: ["/nowhere/sshd"] };
  const sentence =
    /^OpenSSH is missing \(sshd, ssh, sftp, scp\), which the sandbox's Mac is tested with: install the package openssh-server/;
  expect(() => ensureOpenSsh(log, { ...nothing, ...person })).toThrow(sentence);
  // Installed there, it would open port 22.
  expect(() => ensureOpenSsh(log, { ...nothing, isRoot: true, runsServices: true })).toThrow(sentence);
  expect(lines).toEqual([]);
});

/** A program of the system, played by a few lines of shell. */
function played(name: string, lines: string): void {
  mkdirSync(join(folder, "system"), { recursive: true });
  writeFileSync(join(folder, "system", name), `#!/bin/sh\n${lines}\n`);
  chmodSync(join(folder, "system", name), 0o755);
}

describe("without root", () => {
  const path = () => `${join(folder, "system")}:/usr/bin:/bin`;
  const nobody = () => ({ path: join(folder, "system"), servers: ["/nowhere/sshd"], ...person });
  beforeEach(() => {
    vi.stubEnv("SLM_NETWORK_CACHE", join(folder, "the cache 캐시"));
    rmSync(join(folder, "the cache 캐시"), { recursive: true, force: true });
    vi.stubEnv("PATH", path());
  });
  afterEach(() => vi.unstubAllEnvs());

  it("unpacks Debian's packages into the cache, once, with the libraries they need", () => {
    played(
      "apt-get",
      `PATH=/usr/bin:/bin
       case " $* " in
         *" update "*) touch '${join(folder, "updated")}' ;;
         *" --print-uris "*)
           [ -e '${join(folder, "updated")}' ] || { echo 'E: Unable to locate package openssh-server' >&2; exit 100; }
           for name in openssh-server openssh-client libwrap0; do
             echo "'http://deb.debian.org/debian/pool/$name.deb' \${name}_1%3a9.2_amd64.deb 1 MD5Sum:0"
           done ;;
         *" download openssh-server openssh-client libwrap0 "*) touch server.deb client.deb wrap.deb ;;
         *) echo "unexpected: $*" >&2; exit 1 ;;
       esac`,
    );
    played(
      "dpkg-deb",
      `PATH=/usr/bin:/bin
       mkdir -p "$3/usr/sbin" "$3/usr/bin" "$3/usr/lib/openssh"
       touch "$3/usr/lib/openssh/sshd-session"
       for name in usr/sbin/sshd usr/bin/ssh usr/bin/sftp usr/bin/scp; do
         printf '#!/bin/sh\\necho "$0 $* $LD_LIBRARY_PATH"\\n' >"$3/$name"
         chmod 755 "$3/$name"
       done`,
    );
    lines.length = 0;
    const cache = join(folder, "the cache 캐시/openssh");
    const sshd = ensureOpenSsh(log, { ...nobody(), path: path() });
    expect(sshd).toBe(join(cache, "bin/sshd"));
    expect(lines).toEqual([expect.stringMatching(/^openssh: unpacking Debian's packages/)]);
    const said = execFileSync(sshd, ["-D"], { encoding: "utf8" });
    expect(said).toContain(
      `${cache}/root/usr/sbin/sshd -o SshdSessionPath=${cache}/root/usr/lib/openssh/sshd-session -D`,
    );
    expect(said).toContain(`${cache}/root/usr/lib/x86_64-linux-gnu`);
    expect(execFileSync(join(cache, "bin/sftp"), ["host"], { encoding: "utf8" })).toContain(`-S ${cache}/bin/ssh host`);
    expect(process.env.PATH?.endsWith(join(cache, "bin"))).toBe(true);
    expect(ensureOpenSsh(log, { ...nobody(), path: path() })).toBe(sshd);
    expect(lines).toHaveLength(1);
  });

  it("says why that failed and what to do", () => {
    played("apt-get", "echo 'E: The method driver could not be found' >&2; exit 100");
    expect(() => ensureOpenSsh(log, { ...nobody(), path: path() })).toThrow(
      /^OpenSSH is missing \(sshd.*\).*unpacking it without root failed \(.*method driver.*\): install the package openssh-server/,
    );
  });
});

it("takes what is there", () => {
  for (const name of ["ssh", "sftp"]) program(name);
  const sshd = program("sshd");
  const where = { path: folder, servers: ["", sshd], ...person };
  expect(() => ensureOpenSsh(log, where)).toThrow(/is missing \(scp\)/);
  program("scp");
  expect(ensureOpenSsh(log, where)).toBe(sshd);
});
