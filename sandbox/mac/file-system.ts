/** The Mac's root folder before installation, and the emulated commands in it. */
import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { build } from "plist";
import { commands } from "./commands/table.ts";
import type { Owners } from "./owners.ts";

const folders = [
  "Applications",
  "Library/LaunchDaemons",
  "Library/Logs/DiagnosticReports",
  "Library/Preferences",
  "bin",
  "private/etc/sudoers.d",
  "private/etc/newsyslog.d",
  "private/var/db",
  "private/var/empty",
  "private/var/log",
  "private/var/root",
  "private/var/run",
  "sbin",
  "usr/bin",
  "usr/local",
  "usr/sbin",
];

/** A Mac set up with automatic updates. */
const updates = {
  AutomaticCheckEnabled: true,
  AutomaticDownload: true,
  AutomaticallyInstallMacOSUpdates: true,
  ConfigDataInstall: true,
  CriticalUpdateInstall: true,
};

function writeOnce(path: string, text: string): void {
  if (!existsSync(path)) writeFileSync(path, text, { mode: 0o644 });
}

/**
 * Creates missing folders below `root`. Blocking; idempotent.
 * @param isTmpShared the Mac's /tmp is this machine's, the only one another server's sftp can use
 */
export function makeRoot(root: string, admin: string, isTmpShared = false): void {
  for (const folder of folders) mkdirSync(join(root, folder), { recursive: true, mode: 0o755 });
  mkdirSync(join(root, "private/tmp"), { recursive: true });
  chmodSync(join(root, "private/tmp"), 0o1777);
  writeOnce(join(root, "Library/Preferences/com.apple.SoftwareUpdate.plist"), build(updates));
  mkdirSync(join(root, "Users", admin), { recursive: true, mode: 0o750 });
  for (const name of ["etc", "tmp", "var"]) link(join("private", name), join(root, name));
  if (isTmpShared) link("/tmp", join(root, "tmp"));
}

/** Lets the administrator use sudo without a password, the manual step before the first installation. */
export function allowSudo(root: string, admin: string, owners: Owners): void {
  const path = join(root, "private/etc/sudoers.d", `slm-network-${admin}`);
  try {
    writeFileSync(path, `${admin} ALL = (ALL) NOPASSWD: ALL\n`, { mode: 0o440, flag: "wx" });
    chmodSync(path, 0o440);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return;
    throw error;
  }
  owners.set([path], { user: "root", group: "wheel" });
}

/** macOS empties /tmp when it starts. */
export function emptyTmp(root: string): void {
  const folder = join(root, "private/tmp");
  for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true, force: true });
}

/**
 * Writes a wrapper for every emulated command into `bin`, and a link at its place on macOS. The wrappers contain the
 * socket's path, so they need no variable. Rewritten at each start.
 */
export function writeEmulatedCommands(root: string, bin: string, nodePath: string, socketPath: string): void {
  const program = (name: string) => join(import.meta.dirname, "commands", name);
  // Compiled once: an installation calls it a dozen times. The command that it runs does not get the variable (env_reset).
  const cache = process.env.NODE_COMPILE_CACHE ?? join(tmpdir(), "node-compile-cache");
  const sudo = [nodePath, "--disable-warning=ExperimentalWarning", program("sudo-client.ts")];
  const others = ["/usr/bin/perl", program("client.pl")];
  rmSync(bin, { recursive: true, force: true });
  mkdirSync(bin, { recursive: true });
  for (const [name, { folder }] of Object.entries(commands)) {
    const wrapper = join(bin, name);
    const client = [...(name === "sudo" ? sudo : others), socketPath];
    const variable = name === "sudo" ? `NODE_COMPILE_CACHE=${quote(cache)} ` : "";
    writeFileSync(wrapper, `#!/bin/sh\n${variable}exec ${client.map(quote).join(" ")} ${name} "$@"\n`);
    chmodSync(wrapper, 0o755);
    const place = join(root, folder, name);
    link(relative(join(root, folder), wrapper), place);
  }
}

const quote = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;

function link(target: string, path: string): void {
  rmSync(path, { force: true });
  symlinkSync(target, path);
}
