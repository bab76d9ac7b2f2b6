/** The program's entry on a Node that is too old for TypeScript, as a plain `pulumi` would start it. */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { parse } from "yaml";

const project = join(import.meta.dirname, "../..");
const run = promisify(execFile);

/** Loads the entry in a process that says it is of that version. */
async function loadedBy(version: string): Promise<{ code: number; stderr: string }> {
  const folder = await mkdtemp(join(tmpdir(), "slm-entry-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const pretend = join(folder, "pretend.mjs");
  const versions = `{ ...process.versions, node: ${JSON.stringify(version)} }`;
  await writeFile(pretend, `Object.defineProperty(process, "versions", { value: ${versions} });\n`);
  return run(process.execPath, ["--import", pretend, join(project, "program.mjs")]).then(
    ({ stderr }) => ({ code: 0, stderr }),
    ({ code, stderr }: { code: number; stderr: string }) => ({ code, stderr }),
  );
}

test.each(["18.20.0", "20.20.2", "22.12.0", "22.17.9"])(
  "Node %s: one sentence that names it and the way on",
  async (version) => {
    const { code, stderr } = await loadedBy(version);
    expect(code).toBe(1);
    expect(stderr.trim().split("\n")).toHaveLength(1);
    expect(stderr).toMatch(
      new RegExp(`^Node ${version.replaceAll(".", "\\.")} cannot run this program's TypeScript.*npm run pulumi --`),
    );
  },
);

test.each(["22.18.0", "24.0.0", "26.1.0"])("Node %s: the program is left to it", async (version) => {
  expect(await loadedBy(version)).toEqual({ code: 0, stderr: "" });
});

test("the engine starts that entry, and its text is JavaScript that an old Node reads", async () => {
  const settings = parse(await readFile(join(project, "Pulumi.yaml"), "utf8")) as { main: string };
  expect(settings.main).toBe("program.mjs");
  // A static import of a .ts file would fail before the first line runs.
  expect(await readFile(join(project, settings.main), "utf8")).not.toMatch(/^import /m);
});
