/** `chown`, `chgrp`, `install` and `stat`: owners go to the side database, everything else to the files themselves. */
import {
  chmodSync,
  constants,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  renameSync,
  statSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { parseArgs } from "node:util";
import type { Directory, RecordKind } from "../directory.ts";
import type { Owner } from "../owners.ts";
import { type Answer, type Call, type Command, fail, illegalOption, type Machine, ok, pathOf } from "./command.ts";

/** chown [-R] [-h] user[:group] file …, chown(8) */
export const chown: Command = (call, mac) => {
  const [spec = "", ...files] = call.argv.filter((arg) => !/^-[a-zA-Z]+$/.test(arg));
  const [user = "", group] = spec.split(":");
  const change: Partial<Owner> = {};
  if (user !== "") change.user = known(mac.directory, "Users", user);
  if (group) change.group = known(mac.directory, "Groups", group);
  return setOwner("chown", change, files, call, mac);
};

/** chgrp [-R] [-h] group file … */
export const chgrp: Command = (call, mac) => {
  const [group = "", ...files] = call.argv.filter((arg) => !/^-[a-zA-Z]+$/.test(arg));
  return setOwner("chgrp", { group: known(mac.directory, "Groups", group) }, files, call, mac);
};

function known(directory: Directory, kind: RecordKind, name: string): string {
  const found = /^\d+$/.test(name) ? directory.nameOf(kind, Number(name)) : name;
  if (found === undefined || directory.id(kind, found) === undefined) {
    throw new Error(`${name}: illegal ${kind === "Users" ? "user" : "group"} name`);
  }
  return found;
}

function setOwner(command: string, change: Partial<Owner>, files: string[], call: Call, mac: Machine): Answer {
  if (files.length === 0) return fail(64, `usage: ${command} [-R] [-h] owner[:group] file ...`);
  const flags = call.argv.filter((arg) => /^-[a-zA-Z]+$/.test(arg)).join("");
  const paths = files.flatMap((file) => {
    const path = pathOf(call, mac, file);
    if (flags.includes("R")) return [path, ...below(path)];
    return flags.includes("h") ? [path] : [realpathSync(path)];
  });
  if (call.user !== "root") return fail(1, ...files.map((file) => `${command}: ${file}: Operation not permitted`));
  mac.owners.set(paths, change);
  return ok();
}

function below(path: string): string[] {
  if (!lstatSync(path).isDirectory()) return [];
  return readdirSync(path, { recursive: true, encoding: "utf8" }).map((name) => join(path, name));
}

/** install [-d] [-m mode] [-o owner] [-g group] [-C] [-p] [-S] source … target, install(1) */
export const install: Command = (call, mac) => {
  const { values, positionals } = parseArgs({
    args: call.argv,
    allowPositionals: true,
    options: {
      d: { type: "boolean", short: "d" },
      m: { type: "string", short: "m" },
      o: { type: "string", short: "o" },
      g: { type: "string", short: "g" },
      C: { type: "boolean", short: "C" },
      c: { type: "boolean", short: "c" },
      p: { type: "boolean", short: "p" },
      S: { type: "boolean", short: "S" },
      v: { type: "boolean", short: "v" },
    },
  });
  const paths = positionals.map((path) => pathOf(call, mac, path));
  const mode = Number.parseInt(values.m ?? "755", 8);
  if (Number.isNaN(mode)) return fail(64, `install: invalid file mode: ${values.m}`);
  const owner: Owner = {
    user: values.o === undefined ? call.user : known(mac.directory, "Users", values.o),
    group: values.g === undefined ? "wheel" : known(mac.directory, "Groups", values.g),
  };
  if (call.user !== "root" && (values.o !== undefined || values.g !== undefined)) {
    return fail(71, `install: ${positionals.at(-1)}: chown/chgrp: Operation not permitted`);
  }
  const targets = values.d ? paths : copy(paths);
  for (const target of targets) {
    if (values.d) mkdirSync(target, { recursive: true });
    chmodSync(target, mode);
  }
  mac.owners.set(targets, owner);
  return ok();
};

function copy(paths: string[]): string[] {
  const target = paths.at(-1);
  const sources = paths.slice(0, -1);
  if (target === undefined || sources.length === 0)
    throw new Error("usage: install [-m mode] [-o owner] [-g group] file1 file2");
  const isFolder = existsSync(target) && statSync(target).isDirectory();
  if (sources.length > 1 && !isFolder) throw new Error(`${target} is not a directory`);
  return sources.map((source) => {
    const to = isFolder ? join(target, basename(source)) : target;
    // Written to a new file and renamed, so that a file in use is replaced atomically.
    const next = join(dirname(to), `.${basename(to)}.install`);
    copyFileSync(source, next, constants.COPYFILE_FICLONE);
    renameSync(next, to);
    return to;
  });
}

/** stat [-L] [-n] -f format file … with %Su %Sg %u %g %Lp %Mp %p %z %m %i %l %N %Y %HT, stat(1) of BSD */
export const stat: Command = (call, mac) => {
  const at = call.argv.indexOf("-f");
  const format = at === -1 ? "%Sp %l %Su %Sg %z %m %N" : (call.argv[at + 1] ?? "");
  const rest = call.argv.filter((_, index) => at === -1 || (index !== at && index !== at + 1));
  const illegal = illegalOption("stat", rest, "FLlnqrsx", "stat [-FLnq] [-f format | -l | -r | -s | -x] [file ...]");
  if (illegal) return illegal;
  const flags = rest.filter((arg) => arg.startsWith("-")).join("");
  const lines = rest
    .filter((arg) => !arg.startsWith("-"))
    .map((file) => {
      const named = pathOf(call, mac, file);
      const path = flags.includes("L") ? realpathSync(named) : named;
      return format.replace(/%(S?[ugp]|[LM]p|HT|[zmilNY%])/g, (_, field: string) => describe(field, path, file, mac));
    });
  return flags.includes("n") ? { code: 0, stdout: lines.join(""), stderr: "" } : ok(...lines);
};

function describe(field: string, path: string, name: string, mac: Machine): string {
  const stats = lstatSync(path);
  const { user, group, mode } = mac.owners.of(path);
  const kind = stats.isDirectory() ? "Directory" : stats.isSymbolicLink() ? "Symbolic Link" : "Regular File";
  const letters = [8, 7, 6, 5, 4, 3, 2, 1, 0].map((bit) => ((mode >> bit) & 1 ? "xwr"[bit % 3] : "-")).join("");
  const fields: Record<string, string | number | undefined> = {
    Su: user,
    Sg: group,
    u: mac.directory.id("Users", user),
    g: mac.directory.id("Groups", group),
    Sp: `${kind === "Directory" ? "d" : kind === "Symbolic Link" ? "l" : "-"}${letters}`,
    Lp: (mode & 0o777).toString(8),
    Mp: (mode >> 9).toString(8),
    p: stats.mode.toString(8),
    HT: kind,
    z: stats.size,
    m: Math.floor(stats.mtimeMs / 1000),
    i: stats.ino,
    l: stats.nlink,
    N: name,
    Y: stats.isSymbolicLink() ? readlinkSync(path) : "",
    "%": "%",
  };
  return String(fields[field] ?? "");
}
