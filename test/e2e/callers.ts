/** Has what the callers in the README need (Python, npm and Maven packages), and runs their code as it is printed. */
import { createHash } from "node:crypto";
import { access, cp, mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { cacheFolder } from "../../sandbox/tools/tools.ts";
import { type Ran, run } from "./harness.ts";

const manifests = join(import.meta.dirname, "callers");
const mavenPlugin = "org.apache.maven.plugins:maven-dependency-plugin:3.11.0";

/** How each kind of caller gets its packages; run in a folder that holds the manifests. */
const kinds = {
  python: {
    manifest: ["requirements.txt"],
    steps: [
      ["python3", "-m", "venv", "venv"],
      ["venv/bin/python", "-m", "pip", "install", "--quiet", "--requirement", "requirements.txt"],
    ],
    advice: "Python 3.10 or later with venv and pip is needed (Debian: apt-get install python3-venv)",
  },
  js: {
    manifest: ["package.json", "package-lock.json"],
    steps: [["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"]],
    advice: "npm is needed; it comes with Node",
  },
  java: {
    manifest: ["pom.xml"],
    steps: [["mvn", "--quiet", "--batch-mode", `${mavenPlugin}:copy-dependencies`, "-DoutputDirectory=lib"]],
    advice: "a JDK of 17 or later and Maven are needed (Debian: apt-get install openjdk-17-jdk-headless maven)",
  },
} as const;

type Kind = keyof typeof kinds;

/** The program, its arguments and the packages for a file, by the end of its name. */
const runners: Record<string, { kind?: Kind; command: (folder: string, file: string) => string[] }> = {
  sh: { command: (_, file) => ["sh", file] },
  py: { kind: "python", command: (_, file) => [join("venv", "bin", "python"), file] },
  mjs: { kind: "js", command: (_, file) => [process.execPath, file] },
  java: { kind: "java", command: (_, file) => ["java", "-cp", join("lib", "*"), file] },
};

/** @returns the text of each fenced block that is marked with a file name (```sh file=chat.sh), by that name */
export function printedFiles(markdown: string): Map<string, string> {
  const fence = /^```\S+ file=(\S+)\n(.*?)^```$/gms;
  return new Map([...markdown.matchAll(fence)].map(([, file = "", text = ""]) => [file, text]));
}

/**
 * Installs the packages of one kind of caller into the folder that all checkouts share, once for each state of its manifest.
 * @returns that folder. @throws with what is missing on this machine, or what the installer said
 */
async function installed(kind: Kind): Promise<string> {
  const { manifest, steps, advice } = kinds[kind];
  const hash = createHash("sha256").update(JSON.stringify(steps));
  for (const file of manifest) hash.update(await readFile(join(manifests, file)));
  const folder = join(cacheFolder(), "callers", `${kind}-${hash.digest("hex").slice(0, 12)}`);
  if (await exists(folder)) return folder;
  await mkdir(dirname(folder), { recursive: true });
  const work = await mkdtemp(join(dirname(folder), `.${kind}-`));
  try {
    for (const file of manifest) await cp(join(manifests, file), join(work, file));
    for (const step of steps) {
      const [command = "", ...args] = step;
      const ran = await run(command, args, {}, work).catch((error: Error) => {
        throw new Error(`${step[0]} cannot be run (${error.message}): ${advice}`);
      });
      if (ran.code !== 0)
        throw new Error(`${step.join(" ")} ended with ${ran.code}: ${advice}\n${ran.stdout}${ran.stderr}`);
    }
    // Another run may have been faster; its folder is the same.
    await rename(work, folder).catch(async (error: unknown) => {
      if (!(await exists(folder))) throw error;
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return folder;
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/** Puts the printed files into `folder`, with the packages that they import beside them. */
export async function writeCallers(files: ReadonlyMap<string, string>, folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const [file, text] of files) await writeFile(join(folder, file), text);
  const wanted = new Set([...files.keys()].flatMap((file) => runnerOf(file).kind ?? []));
  const folders = await Promise.all([...wanted].map(async (kind) => [kind, await installed(kind)] as const));
  const parts: Record<Kind, string> = { python: "venv", js: "node_modules", java: "lib" };
  for (const [kind, from] of folders) await symlink(join(from, parts[kind]), join(folder, parts[kind]));
}

/** Runs one printed file to its end. */
export function runCaller(folder: string, file: string, environment: Record<string, string>): Promise<Ran> {
  const [command = "", ...args] = runnerOf(file).command(folder, file);
  return run(command, args, environment, folder);
}

function runnerOf(file: string) {
  const runner = runners[file.split(".").at(-1) ?? ""];
  if (!runner) throw new Error(`README.md: nothing here runs a file named ${file}`);
  return runner;
}
