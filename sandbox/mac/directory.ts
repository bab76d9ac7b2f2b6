/** The Mac's local directory node: users and groups as Open Directory keeps them (attributes with lists of values). */
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { z } from "zod";
import { StateFile } from "./state-file.ts";

const recordSchema = z.record(z.string(), z.array(z.string()));
const stateSchema = z.object({
  Users: z.record(z.string(), recordSchema),
  Groups: z.record(z.string(), recordSchema),
});

/** Attributes of one record, e.g. `UniqueID: ["501"]`. */
export type DirectoryRecord = z.infer<typeof recordSchema>;
/** The two kinds of record there are here; their names are the first part of a `dscl` path. */
export type RecordKind = "Users" | "Groups";

const user = (uid: number, gid: number, home: string, shell: string, realName: string): DirectoryRecord => ({
  UniqueID: [String(uid)],
  PrimaryGroupID: [String(gid)],
  NFSHomeDirectory: [home],
  UserShell: [shell],
  RealName: [realName],
});

const group = (gid: number, members: string[] = []): DirectoryRecord => ({
  PrimaryGroupID: [String(gid)],
  ...(members.length > 0 ? { GroupMembership: members } : {}),
});

/** What a fresh Mac has (a part of it), and the administrator's account. */
function freshRecords(admin: string): z.infer<typeof stateSchema> {
  return {
    Users: {
      root: user(0, 0, "/var/root", "/bin/sh", "System Administrator"),
      daemon: user(1, 1, "/var/root", "/usr/bin/false", "System Services"),
      nobody: user(-2, -2, "/var/empty", "/usr/bin/false", "Unprivileged User"),
      _www: user(70, 70, "/Library/WebServer", "/usr/bin/false", "World Wide Web Server"),
      _sshd: user(75, 75, "/var/empty", "/usr/bin/false", "sshd Privilege separation"),
      _windowserver: user(88, 88, "/var/empty", "/usr/bin/false", "WindowServer"),
      [admin]: user(501, 20, `/Users/${admin}`, "/bin/zsh", admin),
    },
    Groups: {
      wheel: group(0, ["root"]),
      daemon: group(1, ["root"]),
      nobody: group(-2),
      everyone: group(12),
      staff: group(20, ["root"]),
      _www: group(70),
      _sshd: group(75),
      admin: group(80, ["root", admin]),
      _windowserver: group(88),
    },
  };
}

/** Users and groups of the Mac, kept in `dir/directory.json`. */
export class Directory {
  readonly #state: StateFile<z.infer<typeof stateSchema>>;

  constructor(dir: string, admin: string) {
    this.#state = new StateFile(join(dir, "directory.json"), stateSchema, freshRecords(admin));
  }

  /** Names and attributes of all records of a kind. */
  all(kind: RecordKind): [name: string, record: DirectoryRecord][] {
    return Object.entries(this.#state.value[kind]);
  }

  /** One record, or undefined. */
  get(kind: RecordKind, name: string): DirectoryRecord | undefined {
    const records = this.#state.value[kind];
    return Object.hasOwn(records, name) ? records[name] : undefined;
  }

  /** Creates the record if missing, and sets one attribute if a key is given. */
  create(kind: RecordKind, name: string, key?: string, values: string[] = []): void {
    const records = this.#state.value[kind];
    const record = this.get(kind, name) ?? { GeneratedUID: [randomUUID().toUpperCase()] };
    records[name] = key === undefined ? record : { ...record, [key]: values };
    this.#state.save();
  }

  /** Removes a record, or one attribute of it. @returns false when there is no such record or attribute */
  remove(kind: RecordKind, name: string, key?: string): boolean {
    const record = this.get(kind, name);
    if (record === undefined || (key !== undefined && record[key] === undefined)) return false;
    if (key === undefined) delete this.#state.value[kind][name];
    else delete record[key];
    this.#state.save();
    return true;
  }

  /** The number of a user or group: `UniqueID`, or `PrimaryGroupID` of a group; undefined when it has none. */
  id(kind: RecordKind, name: string): number | undefined {
    const value = this.get(kind, name)?.[kind === "Users" ? "UniqueID" : "PrimaryGroupID"]?.[0];
    return value === undefined || !/^-?\d+$/.test(value) ? undefined : Number(value);
  }

  /** The name for this number. */
  nameOf(kind: RecordKind, id: number): string | undefined {
    return this.all(kind).find(([name]) => this.id(kind, name) === id)?.[0];
  }

  /** Names of the groups a user is in, the primary one first. */
  groupsOf(name: string): string[] {
    const primary = Number(this.get("Users", name)?.PrimaryGroupID?.[0] ?? Number.NaN);
    const first = this.nameOf("Groups", primary);
    const others = this.all("Groups")
      .filter(([, record]) => record.GroupMembership?.includes(name) === true)
      .map(([groupName]) => groupName);
    return [...new Set([...(first === undefined ? [] : [first]), ...others])];
  }
}
