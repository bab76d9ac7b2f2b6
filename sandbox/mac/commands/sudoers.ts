/** `visudo -c`, and whether sudo allows a command without a password: the subset of sudoers(5) that installers use. */
import { existsSync, lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Answer, type Command, fail, type Machine, ok, pathOf } from "./command.ts";

/** `user host = (runas) NOPASSWD: commands` */
interface Rule {
  /** A user's name, or `%group`. */
  who: string;
  isPasswordless: boolean;
  /** Absolute paths with their arguments, or `ALL`. */
  commands: string[];
}

/** Rules of one file. @throws Error `line N: …` for a line other than a rule, default, alias or include */
export function parseSudoers(text: string): Rule[] {
  const rules: Rule[] = [];
  text.split("\n").forEach((raw, index) => {
    const line = raw.trim();
    if (line === "" || line.startsWith("#") || /^(Defaults|@include|(User|Runas|Host|Cmnd)_Alias\s)/.test(line)) return;
    const match = /^(%?[\w.-]+)\s+([\w.-]+)\s*=\s*(?:\([\w.%:,\s-]*\)\s*)?((?:[A-Z]+:\s*)*)(\S.*)$/.exec(line);
    const commands = match?.[4]?.split(",").map((command) => command.trim());
    if (!match?.[1] || !commands?.every((command) => command === "ALL" || /^!?\/\S/.test(command))) {
      throw new Error(`line ${index + 1}: syntax error: ${line}`);
    }
    rules.push({ who: match[1], isPasswordless: /\bNOPASSWD:/.test(match[3] ?? ""), commands });
  });
  return rules;
}

/**
 * Answers the emulated `sudo`: exit 0 when a drop-in of /etc/sudoers.d allows the caller the command (path in argv[0],
 * then arguments) without a password. As sudo does, it skips files whose name contains a `.` or ends with `~`, and those
 * not owned by root or writable by others.
 */
export const sudoCheck: Command = (call, mac) => {
  const [program = "", ...args] = call.argv;
  const virtual = mac.paths.toVirtual(program);
  const groups = mac.directory.groupsOf(call.user).map((group) => `%${group}`);
  const allowed = dropIns(mac)
    .filter(
      (rule) => rule.isPasswordless && (rule.who === call.user || rule.who === "ALL" || groups.includes(rule.who)),
    )
    .some((rule) => rule.commands.some((command) => matches(command, virtual, args)));
  return call.user === "root" || allowed ? ok() : fail(1, "sudo: a password is required");
};

/** sudoers(5): a path alone allows any arguments, `""` after it allows none, anything else exactly these. */
function matches(command: string, path: string, args: readonly string[]): boolean {
  if (command === "ALL" || command === path) return true;
  if (command === `${path} ""`) return args.length === 0;
  return command === [path, ...args].join(" ") && args.length > 0;
}

function dropIns(mac: Machine): Rule[] {
  const folder = join(mac.paths.root, "private/etc/sudoers.d");
  if (!existsSync(folder)) return [];
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    if (name.includes(".") || name.endsWith("~") || !lstatSync(path).isFile()) return [];
    const { user, mode } = mac.owners.of(path);
    if (user !== "root" || (mode & 0o022) !== 0) {
      mac.log(`sudo: ${path} is passed over: it must be root:wheel 0440, it is ${user} 0${mode.toString(8)}`);
      return [];
    }
    try {
      return parseSudoers(readFileSync(path, "utf8"));
    } catch (error) {
      mac.log(`sudo: ${path} is passed over: ${error instanceof Error ? error.message : String(error)}`);
      return [];
    }
  });
}

/** visudo -c [-q] -f file */
export const visudo: Command = (call, mac): Answer => {
  const flags = call.argv.filter((arg) => /^-[a-zA-Z]+$/.test(arg)).join("");
  const file = call.argv.find((arg) => !/^-[a-zA-Z]+$/.test(arg));
  if (!flags.includes("c")) return fail(1, "visudo: the sandbox's visudo only checks: visudo -cf <file>");
  if (call.user !== "root" && file === undefined) return fail(1, "visudo: /etc/sudoers: Permission denied");
  const path = file === "-" ? undefined : pathOf(call, mac, file ?? "/etc/sudoers");
  try {
    parseSudoers(path === undefined ? call.stdin.toString("utf8") : readFileSync(path, "utf8"));
  } catch (error) {
    return fail(1, `${file ?? "/etc/sudoers"}: ${error instanceof Error ? error.message : String(error)}`);
  }
  return flags.includes("q") ? ok() : ok(`${file ?? "/etc/sudoers"}: parsed OK`);
};
