/** `shasum`: prints and verifies checksums, shasum(1). */
import { createHash } from "node:crypto";
import { createReadStream, readFileSync } from "node:fs";
import { stat } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { type Answer, type Call, type Command, fail, type Machine, ok, pathOf } from "./command.ts";

/** shasum [-a 1|256|384|512] [-s] [file … | -c list] */
export const shasum: Command = async (call, mac) => {
  let algorithm = "1";
  let isCheck = false;
  let isQuiet = false;
  const files: string[] = [];
  for (let i = 0; i < call.argv.length; i++) {
    const arg = call.argv[i] ?? "";
    if (arg === "-a" || arg === "--algorithm") algorithm = call.argv[++i] ?? "";
    else if (/^-a\d+$/.test(arg)) algorithm = arg.slice(2);
    else if (arg === "-c" || arg === "--check") isCheck = true;
    else if (arg === "-s" || arg === "--status" || arg === "-q") isQuiet = true;
    else if (arg !== "-b" && arg !== "-t") files.push(arg);
  }
  if (!["1", "256", "384", "512"].includes(algorithm)) return fail(1, "shasum: Unrecognized algorithm");
  if (files.length === 0) files.push("-");
  if (isCheck) return check(algorithm, files[0] ?? "-", isQuiet, call, mac);
  const lines: string[] = [];
  const faults: string[] = [];
  for (const file of files) {
    try {
      lines.push(`${await digest(algorithm, file, call, mac)}  ${file}`);
    } catch {
      faults.push(`shasum: ${file}: No such file or directory`);
    }
  }
  return { ...fail(faults.length > 0 ? 1 : 0, ...faults), stdout: ok(...lines).stdout };
};

async function check(algorithm: string, list: string, isQuiet: boolean, call: Call, mac: Machine): Promise<Answer> {
  const text = list === "-" ? call.stdin.toString("utf8") : readFileSync(pathOf(call, mac, list), "utf8");
  const lines: string[] = [];
  let failed = 0;
  let read = 0;
  for (const line of text.split("\n")) {
    const [, wanted, file] = /^([0-9a-f]+) [ *](.+)$/i.exec(line) ?? [];
    if (wanted === undefined || file === undefined) continue;
    read++;
    const found = await digest(algorithm, file, call, mac).catch(() => undefined);
    if (found === wanted.toLowerCase()) lines.push(`${file}: OK`);
    else {
      failed++;
      lines.push(`${file}: FAILED${found === undefined ? " open or read" : ""}`);
    }
  }
  if (read === 0) return fail(1, `shasum: ${list}: no properly formatted SHA checksum lines found`);
  const stdout = isQuiet ? "" : ok(...lines).stdout;
  if (failed === 0) return { code: 0, stdout, stderr: "" };
  return { ...fail(1, `shasum: WARNING: ${failed} computed checksum did NOT match`), stdout };
}

/** Digests of large files, by everything that changes when the content does: every installation asks for Node's again. */
const known = new Map<string, Promise<string>>();
const largeFileBytes = 1024 * 1024;

async function digest(algorithm: string, file: string, call: Call, mac: Machine): Promise<string> {
  if (file === "-") return createHash(`sha${algorithm}`).update(call.stdin).digest("hex");
  const path = pathOf(call, mac, file);
  const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
  if (size < largeFileBytes) return readDigest(algorithm, path);
  const key = [algorithm, dev, ino, size, mtimeNs, ctimeNs].join(" ");
  const found = known.get(key) ?? readDigest(algorithm, path);
  known.set(key, found);
  found.catch(() => known.delete(key));
  return found;
}

async function readDigest(algorithm: string, path: string): Promise<string> {
  const hash = createHash(`sha${algorithm}`);
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}
