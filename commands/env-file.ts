/**
 * `.env` in the checkout: credentials and settings of this machine that every command, and the `pulumi` it starts, reads. Git
 * ignores it. A variable that is set in the shell wins.
 */
import { existsSync } from "node:fs";
import { chmod, readFile } from "node:fs/promises";
import { join } from "node:path";
import { loadEnvFile } from "node:process";
import { project } from "./pulumi-cli.ts";
import { replaceFile } from "./replace-file.ts";

/**
 * @returns the file that is read: SLM_NETWORK_ENV_FILE, else `.env`; undefined when none is. In a sandbox's shell none is, so that
 * no real credential gets there.
 */
export function envFile(environment: NodeJS.ProcessEnv = process.env): string | undefined {
  const { SLM_NETWORK_ENV_FILE: named, SANDBOX_URL: sandbox } = environment;
  return named === "" || (named === undefined && sandbox) ? undefined : (named ?? join(project, ".env"));
}

/** Reads the file into the process's environment, if it exists. */
export function readEnvFile(): void {
  const file = envFile();
  if (file !== undefined && existsSync(file)) loadEnvFile(file);
}

const head =
  "# Read by every `npm run` command; ignored by Git. Keep a copy of the passphrase in a password manager.\n";

/**
 * @param text of the file, empty for a new one
 * @returns the text with the values set: in place where the name exists, else at the end
 */
export function withValues(text: string, values: Readonly<Record<string, string>>): string {
  const missing = new Map(Object.entries(values));
  const lines = (text === "" ? head : text).replace(/\n?$/, "\n").split("\n").slice(0, -1);
  const kept = lines.map((line) => {
    const name = /^\s*(?:export\s+)?(\w+)\s*=/.exec(line)?.[1] ?? "";
    const value = missing.get(name);
    if (value === undefined) return line;
    missing.delete(name);
    return assignment(name, value);
  });
  return `${[...kept, ...[...missing].map(([name, value]) => assignment(name, value))].join("\n")}\n`;
}

/** Readable for `loadEnvFile` and a shell alike. @throws RangeError for a value with a quote or a line break */
function assignment(name: string, value: string): string {
  if (/^[\w+/=:.,@~-]*$/.test(value)) return `${name}=${value}`;
  if (/['\n\r]/.test(value)) throw new RangeError(`${name} contains a quote or a line break`);
  return `${name}='${value}'`;
}

/** Writes values into the file, readable for its owner only, and into this process's environment. @returns the file's path */
export async function writeEnvFile(values: Readonly<Record<string, string>>): Promise<string> {
  const file = envFile() ?? join(project, ".env");
  const text = existsSync(file) ? await readFile(file, "utf8") : "";
  await replaceFile(file, withValues(text, values), 0o600);
  await chmod(file, 0o600);
  Object.assign(process.env, values);
  return file;
}
