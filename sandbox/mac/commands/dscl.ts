/** `dscl`: the local directory node, dscl(1). */
import type { RecordKind } from "../directory.ts";
import { type Answer, type Command, fail, ok } from "./command.ts";

/** Exit codes are the error number modulo 256. */
const dsError = (number: number, name: string, ...before: string[]): Answer =>
  fail(-number % 256, ...before, `<dscl_cmd> DS Error: ${number} (${name})`);
const recordNotFound = (): Answer => dsError(-14136, "eDSRecordNotFound");

/** dscl . -read|-list|-create|-append|-delete|-search path [key [values]] */
export const dscl: Command = (call, mac) => {
  const argv = call.argv.filter((arg) => arg !== "-q" && arg !== "-raw");
  const [source = "", verb = "", path = "", key, ...values] = argv;
  if (source !== "." && source !== "/Local/Default" && source !== "localhost") {
    return fail(64, `Data source (${source}) is not valid.`);
  }
  const [, kind = "", name] = path.replace(/^\/Local\/Default/, "").split("/");
  if (kind !== "Users" && kind !== "Groups") return dsError(-14009, "eDSUnknownNodeName", "Invalid Path");
  const command = verb.replace(/^-/, "");
  if (["create", "append", "delete"].includes(command) && call.user !== "root") {
    return dsError(-14120, "eDSPermissionError", "<main> attribute status: eDSPermissionError");
  }
  const { directory } = mac;
  const record = name ? directory.get(kind, name) : undefined;
  switch (command) {
    case "list":
      return ok(...list(mac.directory.all(kind), key));
    case "search": {
      const found = directory.all(kind).filter(([, one]) => key !== undefined && one[key]?.includes(values[0] ?? ""));
      return ok(...found.map(([one]) => `${one}\t\t${key} = (\n    ${values[0]}\n)`));
    }
    case "read":
      if (!name || record === undefined) return recordNotFound();
      return ok(...read(kind, name, record, key === undefined ? undefined : [key, ...values]));
    case "create":
      if (!name) return fail(64, "create: Invalid Path");
      if (key !== undefined && record === undefined) return recordNotFound();
      directory.create(kind, name, key, values);
      return ok();
    case "append":
      if (!name || record === undefined) return recordNotFound();
      if (key === undefined) return fail(64, "append: no attribute is named");
      directory.create(kind, name, key, [...new Set([...(record[key] ?? []), ...values])]);
      return ok();
    case "delete":
      if (!name || record === undefined) return dsError(-14009, "eDSUnknownNodeName", "delete: Invalid Path");
      if (directory.remove(kind, name, key)) return ok();
      return dsError(-14134, "eDSAttributeNotFound");
    default:
      return fail(64, `dscl: the sandbox's dscl does not know ${verb}`);
  }
};

function list(records: [string, Record<string, string[]>][], key: string | undefined): string[] {
  if (key === undefined) return records.map(([name]) => name);
  const width = Math.max(...records.map(([name]) => name.length)) + 2;
  return records.flatMap(([name, record]) => {
    const value = record[key];
    return value === undefined ? [] : [`${name.padEnd(width)} ${value.join(" ")}`];
  });
}

function read(kind: RecordKind, name: string, record: Record<string, string[]>, keys: string[] | undefined): string[] {
  const all: Record<string, string[]> = {
    ...record,
    RecordName: [name],
    RecordType: [`dsRecTypeStandard:${kind}`],
  };
  return (keys ?? Object.keys(all)).map((key) => {
    const values = all[key];
    if (values === undefined) return `No such key: ${key}`;
    return values.some((value) => value.includes(" "))
      ? `${key}:\n ${values.join("\n ")}`
      : `${key}: ${values.join(" ")}`;
  });
}
