/** `defaults read`: property lists of settings, defaults(1). Read-only. */
import { existsSync, readFileSync } from "node:fs";
import { type PlistValue, parse, parseBinary } from "plist";
import { type Command, fail, ok, pathOf } from "./command.ts";

/** The output format of `defaults`: bare numbers and booleans, text quoted where necessary. */
function shown(value: PlistValue): string {
  if (typeof value === "boolean") return value ? "1" : "0";
  const text = typeof value === "object" ? JSON.stringify(value) : String(value);
  return typeof value === "number" || /^[A-Za-z0-9_]+$/.test(text) ? text : `"${text.replaceAll('"', '\\"')}"`;
}

/** defaults read /path/of/plist [key] */
export const defaults: Command = (call, mac) => {
  const [verb, domain = "", key] = call.argv;
  if (verb !== "read" || !domain.startsWith("/")) {
    return fail(1, "defaults: the sandbox's defaults knows read with an absolute path");
  }
  const path = pathOf(call, mac, domain.endsWith(".plist") ? domain : `${domain}.plist`);
  const missing = (what: string) => fail(1, "", `The domain/default pair of (${what}) does not exist`);
  if (!existsSync(path))
    return key === undefined ? fail(1, `Domain ${domain} does not exist`) : missing(`${domain}, ${key}`);
  const bytes = readFileSync(path);
  const read =
    bytes.subarray(0, 8).toString("latin1") === "bplist00" ? parseBinary(bytes) : parse(bytes.toString("utf8"));
  const values = new Map<string, PlistValue>(typeof read === "object" && read !== null ? Object.entries(read) : []);
  if (key === undefined) {
    const rows = [...values].sort(([one], [other]) => (one < other ? -1 : 1));
    return ok("{", ...rows.map(([name, value]) => `    ${name} = ${shown(value)};`), "}");
  }
  const value = values.get(key);
  return value === undefined
    ? missing(`${domain}, ${key}`)
    : ok(String(typeof value === "boolean" ? Number(value) : value));
};
