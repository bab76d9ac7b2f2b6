/** setup.mjs, which runs before every command, in a checkout of its own with an npm that only notes what it is asked. */
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { program } from "../sandbox/mac/fixture.ts";

const project = join(import.meta.dirname, "../..");
let folder: string;
const path = (...parts: string[]) => join(folder, ...parts);

/** @param version what node_modules/.bin/node says after the installation; without it there is none */
function checkout(version?: string, npmExit = 0): void {
  mkdirSync(path("commands"), { recursive: true });
  mkdirSync(path("node_modules/.bin"), { recursive: true });
  cpSync(join(project, "commands/setup.mjs"), path("commands/setup.mjs"));
  writeFileSync(path("package-lock.json"), "{}");
  writeFileSync(path("package.json"), '{"type":"module","allowScripts":{"node":true,"esbuild":true,"evil":false}}');
  const fake = (file: string, text: string) => {
    writeFileSync(file, `#!/bin/sh\n${text}\n`);
    chmodSync(file, 0o755);
  };
  fake(path("npm"), `echo "$*" >> ${path("npm.log")}; exit ${npmExit}`);
  if (version) fake(path("node_modules/.bin/node"), `echo ${version}`);
}
const setup = (more: NodeJS.ProcessEnv = {}, node = process.execPath) =>
  program(node, [path("commands/setup.mjs")], {
    env: { PATH: `${folder}:${process.env.PATH}`, HOME: folder, ...more },
  });
const calls = () => (existsSync(path("npm.log")) ? readFileSync(path("npm.log"), "utf8").trim().split("\n") : []);

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "slm-setup-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

it("installs once without install scripts, then runs those of the named packages", async () => {
  checkout("v24.21.0");
  expect(await setup()).toMatchObject({ code: 0, stdout: "" });
  expect(calls()).toEqual([
    "ci --ignore-scripts --no-audit --no-fund --loglevel=error",
    "rebuild node esbuild --ignore-scripts=false --loglevel=error",
  ]);
  expect(await setup()).toMatchObject({ code: 0, stderr: "" });
  expect(calls()).toHaveLength(2);
});

it("survives that `npm ci` deletes the Node in node_modules that runs it, as after an update of the lock file", async () => {
  checkout("v24.21.0");
  mkdirSync(path("node_modules/node"));
  const own = path("node_modules/node/node");
  cpSync(process.execPath, own);
  writeFileSync(
    path("npm.mjs"),
    `import { appendFileSync, rmSync } from "node:fs";
     appendFileSync(${JSON.stringify(path("npm.log"))}, process.argv.slice(2).join(" ") + "\\n");
     rmSync(${JSON.stringify(own)}, { force: true });`,
  );
  const npm = { npm_execpath: path("npm.mjs"), npm_node_execpath: process.execPath };
  expect(await setup(npm, own)).toMatchObject({ code: 0 });
  expect(calls().map((line) => line.split(" ")[0])).toEqual(["ci", "rebuild"]);
});

it.each(["v22.12.0", "v22.17.1", "v20.20.2"])("refuses Node %s in one clear sentence, each time", async (version) => {
  checkout(version);
  for (let time = 0; time < 2; time += 1) {
    const { code, stderr } = await setup();
    expect(code).toBe(1);
    const sentences = stderr.split("\n").filter((line) => line.includes("cannot run TypeScript"));
    expect(sentences).toHaveLength(1);
    expect(sentences[0]).toContain(`Node ${version} cannot run TypeScript, which needs 22.18 or later`);
  }
});

it("accepts Node 22.18, and this one where the package brought none", async () => {
  checkout("v22.18.0");
  expect((await setup()).code).toBe(0);
  rmSync(path("node_modules/.bin/node"));
  expect((await setup()).code).toBe(0);
});

it("says that the registry is needed when the installation fails, and tries again the next time", async () => {
  checkout("v24.21.0", 1);
  expect(await setup()).toMatchObject({ code: 1, stderr: expect.stringContaining("access to the npm registry") });
  expect((await setup()).code).toBe(1);
  expect(calls()).toHaveLength(2);
});
