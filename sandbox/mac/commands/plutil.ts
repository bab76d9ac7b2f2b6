/** `plutil`: checks and converts property lists, plutil(1). Binary ones are read, but only XML and JSON are written. */
import { readFileSync, writeFileSync } from "node:fs";
import { build, type PlistValue, parse, parseBinary } from "plist";
import { type Call, type Command, fail, type Machine, ok, pathOf } from "./command.ts";

/** plutil [-lint] file … | -convert json|xml1 [-r] [-o file|-] file | -extract key raw|json|xml1 [-o -] file */
export const plutil: Command = (call, mac) => {
  const [verb = "-lint", ...rest] = call.argv;
  if (verb === "-convert") return convert(rest, call, mac);
  if (verb === "-extract") return extract(rest, call, mac);
  const files = (verb === "-lint" ? rest : call.argv).filter((arg) => arg !== "-s");
  if (files.length === 0) return fail(64, "No files specified.");
  const lines: string[] = [];
  let failed = false;
  for (const file of files) {
    try {
      read(file, call, mac);
      lines.push(`${file}: OK`);
    } catch (error) {
      failed = true;
      lines.push(`${file}: ${message(error)}`);
    }
  }
  return { ...ok(...lines), code: failed ? 1 : 0 };
};

function convert(argv: string[], call: Call, mac: Machine) {
  const [format = "", ...rest] = argv.filter((arg) => arg !== "-r" && arg !== "-s");
  const { file, output } = outputOf(rest);
  if (file === undefined || (format !== "json" && format !== "xml1")) {
    return fail(64, `plutil: the sandbox's plutil converts to json and xml1, not ${format}`);
  }
  return deliver(render(read(file, call, mac), format), output ?? file, call, mac);
}

function extract(argv: string[], call: Call, mac: Machine) {
  const [keyPath = "", format = "", ...rest] = argv;
  const { file, output } = outputOf(rest);
  if (file === undefined) return fail(64, "No files specified.");
  let value: PlistValue | undefined = read(file, call, mac);
  for (const key of keyPath.split(".")) value = member(value, key);
  if (value === undefined) {
    return fail(
      1,
      `${file}: Could not extract value, error: No value at that key path or invalid key path: ${keyPath}`,
    );
  }
  if (format !== "raw") return deliver(render(value, format === "json" ? "json" : "xml1"), output ?? file, call, mac);
  return deliver(typeof value === "object" ? JSON.stringify(value) : String(value), output ?? "-", call, mac);
}

function member(value: PlistValue | undefined, key: string): PlistValue | undefined {
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return undefined;
  return new Map<string, PlistValue>(Object.entries(value)).get(key);
}

function outputOf(rest: string[]): { file: string | undefined; output: string | undefined } {
  const at = rest.indexOf("-o");
  if (at === -1) return { file: rest[0], output: undefined };
  return { file: rest.filter((_, index) => index !== at && index !== at + 1)[0], output: rest[at + 1] };
}

function render(value: PlistValue, format: "json" | "xml1"): string {
  return format === "json" ? JSON.stringify(value) : `${build(value)}\n`;
}

function deliver(text: string, output: string, call: Call, mac: Machine) {
  if (output === "-") return { code: 0, stdout: text.endsWith("\n") ? text : `${text}\n`, stderr: "" };
  writeFileSync(pathOf(call, mac, output), text);
  return ok();
}

/** Reads XML, binary, or JSON. */
function read(file: string, call: Call, mac: Machine): PlistValue {
  const bytes = file === "-" ? call.stdin : readFileSync(pathOf(call, mac, file));
  if (bytes.subarray(0, 8).toString("latin1") === "bplist00") return parseBinary(bytes);
  const text = bytes.toString("utf8");
  if (!text.trimStart().startsWith("{")) return parse(text);
  const json: PlistValue = JSON.parse(text);
  return json;
}

function message(error: unknown): string {
  if (error instanceof Error && "code" in error && error.code === "ENOENT")
    return "file does not exist or is not readable";
  return `(${error instanceof Error ? error.message : String(error)})`;
}
