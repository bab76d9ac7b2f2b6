import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { ensureOpenSsh } from "../../scripts/openssh.ts";

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

it("takes what is there", () => {
  for (const name of ["ssh", "sftp"]) program(name);
  const sshd = program("sshd");
  const where = { path: folder, servers: ["", sshd], ...person };
  expect(() => ensureOpenSsh(log, where)).toThrow(/is missing \(scp\)/);
  program("scp");
  expect(ensureOpenSsh(log, where)).toBe(sshd);
});
