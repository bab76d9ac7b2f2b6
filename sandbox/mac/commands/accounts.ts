/** `id`, `dseditgroup` and `sysadminctl`: further commands on the local directory. */
import { parseArgs } from "node:util";
import { type Answer, type Command, fail, illegalOption, ok } from "./command.ts";

/** id [-u|-g|-G] [-n] [user], id(1) */
export const id: Command = (call, { directory }) => {
  const illegal = illegalOption("id", call.argv, "AFGPRgnpru", "id [user]");
  if (illegal) return illegal;
  const flags = call.argv.filter((arg) => arg.startsWith("-")).join("");
  const name = call.argv.find((arg) => !arg.startsWith("-")) ?? call.user;
  const uid = directory.id("Users", name);
  if (uid === undefined) return fail(1, `id: ${name}: no such user`);
  const groups = directory.groupsOf(name);
  const primary = directory.get("Users", name)?.PrimaryGroupID?.[0] ?? "-2";
  const asNumber = (group: string): string => String(directory.id("Groups", group));
  if (flags.includes("u")) return ok(flags.includes("n") ? name : String(uid));
  if (flags.includes("G")) return ok((flags.includes("n") ? groups : groups.map(asNumber)).join(" "));
  if (flags.includes("g")) return ok(flags.includes("n") ? (groups[0] ?? primary) : primary);
  const list = groups.map((group) => `${asNumber(group)}(${group})`).join(",");
  return ok(`uid=${uid}(${name}) gid=${primary}(${groups[0] ?? primary}) groups=${list}`);
};

/** dseditgroup -o create|delete|edit|read|checkmember [-i gid] [-a member | -d member] [-t user] [-m member] group */
export const dseditgroup: Command = (call, { directory }) => {
  const { values, positionals } = parseArgs({
    args: call.argv.filter((arg) => arg !== "-q"),
    allowPositionals: true,
    options: {
      operation: { type: "string", short: "o", default: "read" },
      gid: { type: "string", short: "i" },
      add: { type: "string", short: "a" },
      remove: { type: "string", short: "d" },
      type: { type: "string", short: "t" },
      member: { type: "string", short: "m" },
      node: { type: "string", short: "n" },
      realname: { type: "string", short: "r" },
    },
  });
  const name = positionals[0];
  if (name === undefined) return fail(64, "dseditgroup: no group is named");
  const members = directory.get("Groups", name)?.GroupMembership ?? [];
  const exists = directory.get("Groups", name) !== undefined;
  const notFound = (): Answer => fail(64, "Group not found.");
  if (values.operation === "checkmember") {
    const member = values.member ?? call.user;
    if (!exists) return notFound();
    return directory.groupsOf(member).includes(name)
      ? ok(`yes ${member} is a member of ${name}`)
      : { code: 67, stdout: `no ${member} is NOT a member of ${name}\n`, stderr: "" };
  }
  if (values.operation === "read") {
    if (!exists) return notFound();
    return ok(`${members.length} attribute(s) found`, `gid: ${directory.id("Groups", name)}`, ...members);
  }
  if (call.user !== "root") return fail(77, "Operation was denied because the current credentials do not allow it.");
  switch (values.operation) {
    case "create": {
      const used = new Set(directory.all("Groups").map(([one]) => directory.id("Groups", one)));
      let gid = 501;
      while (used.has(gid)) gid++;
      directory.create("Groups", name, "PrimaryGroupID", [values.gid ?? String(gid)]);
      return ok();
    }
    case "delete":
      return directory.remove("Groups", name) ? ok() : notFound();
    case "edit": {
      if (!exists) return notFound();
      const { add, remove } = values;
      if (add !== undefined && directory.id("Users", add) === undefined) return fail(67, "Record was not found.");
      const next = [...members.filter((one) => one !== remove && one !== add), ...(add === undefined ? [] : [add])];
      directory.create("Groups", name, "GroupMembership", next);
      return ok();
    }
    default:
      return fail(64, `dseditgroup: the sandbox's dseditgroup does not know -o ${values.operation}`);
  }
};

/** sysadminctl -addUser name [-UID n] [-GID n] [-fullName s] [-shell s] [-home s] [-roleAccount] | -deleteUser name */
export const sysadminctl: Command = (call, { directory }) => {
  const option = (name: string): string | undefined => {
    const at = call.argv.indexOf(name);
    return at === -1 ? undefined : call.argv[at + 1];
  };
  if (call.user !== "root") return fail(1, "sysadminctl: this needs root (run it by sudo -n)");
  const added = option("-addUser");
  if (added !== undefined) {
    if (directory.get("Users", added) !== undefined) return fail(1, `sysadminctl: user ${added} exists already`);
    if (call.argv.includes("-roleAccount") && !added.startsWith("_")) {
      return fail(1, "Role account name must start with an underscore (_)");
    }
    const used = new Set(directory.all("Users").map(([one]) => directory.id("Users", one)));
    let uid = call.argv.includes("-roleAccount") ? 450 : 502;
    while (used.has(uid)) uid++;
    directory.create("Users", added, "UniqueID", [option("-UID") ?? String(uid)]);
    directory.create("Users", added, "PrimaryGroupID", [option("-GID") ?? "20"]);
    directory.create("Users", added, "NFSHomeDirectory", [option("-home") ?? `/Users/${added}`]);
    directory.create("Users", added, "UserShell", [option("-shell") ?? "/bin/zsh"]);
    directory.create("Users", added, "RealName", [option("-fullName") ?? added]);
    return ok();
  }
  const deleted = option("-deleteUser");
  if (deleted !== undefined) {
    return directory.remove("Users", deleted) ? ok() : fail(1, `sysadminctl: there is no user ${deleted}`);
  }
  return fail(64, "sysadminctl: the sandbox's sysadminctl knows -addUser and -deleteUser");
};
