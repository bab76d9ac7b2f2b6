import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { beforeEach, expect, it, onTestFinished } from "vitest";
import { archivePath, type Build } from "../../runtime/build.ts";
import { currentRelease } from "../../runtime/current-release.ts";

const project = join(import.meta.dirname, "../..");
let folder: string;
let source: string;
let builds: number;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "slm-release-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  source = join(folder, "source.ts");
  builds = 0;
  await write("first");
});

/** As written long before the build. */
async function write(text: string): Promise<void> {
  await writeFile(source, text);
  await utimes(source, new Date(0), new Date(0));
}

/** A build whose archive is its one source. */
async function copy(outDir: string): Promise<Build> {
  builds++;
  const text = await readFile(source);
  const sha256 = createHash("sha256").update(text).digest("hex");
  const path = archivePath(outDir, sha256);
  await writeFile(path, text);
  return { path, sha256, inputs: [relative(project, source)] };
}
const current = () => currentRelease(folder, copy);

it("builds once, as long as nothing has changed", async () => {
  const first = await current();
  expect(await current()).toEqual(first);
  expect(builds).toBe(1);
});

it("builds again when a source has changed, whatever its time", async () => {
  const first = await current();
  await write("second");
  const second = await current();
  expect(second).not.toEqual(first);
  expect(await readFile(second.path, "utf8")).toBe("second");
  await write("first");
  expect(await current()).toEqual(first);
  expect(builds).toBe(3);
});

it.each([
  ["is gone", (path: string) => rm(path)],
  ["is another", (path: string) => writeFile(path, "fir")],
])("builds again when the archive %s", async (_, change) => {
  const { path } = await current();
  await change(path);
  await current();
  expect(await readFile(path, "utf8")).toBe("first");
  expect(builds).toBe(2);
});

it("builds again when a source was written during the build", async () => {
  const during = async (outDir: string) => {
    const built = await copy(outDir);
    await writeFile(source, "second");
    return built;
  };
  await currentRelease(folder, during);
  const { path } = await current();
  expect(await readFile(path, "utf8")).toBe("second");
});

it("builds every time when a file that it depends on is not there", async () => {
  const without = async (outDir: string) => ({
    ...(await copy(outDir)),
    inputs: [relative(project, `${source}.gone`)],
  });
  await currentRelease(folder, without);
  await currentRelease(folder, without);
  expect(builds).toBe(2);
});

it("builds again when the note of the last build cannot be read", async () => {
  await current();
  await writeFile(join(folder, "release.json"), "{");
  await current();
  expect(builds).toBe(2);
});
