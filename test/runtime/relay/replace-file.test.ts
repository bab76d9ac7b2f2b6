import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { replaceFile } from "../../../runtime/relay/replace-file.ts";
import { temporaryFolder } from "./harness.ts";

it.each([true, false])("replaces a file whole, readable by its account only (synced: %s)", async (synced) => {
  const folder = await temporaryFolder();
  const path = join(folder, "jwks.json");
  // Left by a process that was killed, with another mode.
  await writeFile(`${path}.new`, "half", { mode: 0o644 });
  await replaceFile(path, "one", { synced });
  await replaceFile(path, "two", { synced });
  expect(await readFile(path, "utf8")).toBe("two");
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect(await readdir(folder)).toEqual(["jwks.json"]);
});

it("leaves nothing beside a file that it could not replace", async () => {
  const folder = await temporaryFolder();
  const path = join(folder, "outages.json");
  // A folder in its place: the content is written and cannot be put in place, as where a disk becomes full in between.
  await mkdir(path);
  await expect(replaceFile(path, "[]", { synced: true })).rejects.toThrow();
  expect(await readdir(folder)).toEqual(["outages.json"]);
});
