/** Threads of the relay: in the release each is a program of its own, which the code names by its file. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { sources } from "../../runtime/build.ts";

it("every file that the code starts is built", async () => {
  const folder = join(import.meta.dirname, "../../runtime");
  const files = (await readdir(folder, { recursive: true })).filter((file) => file.endsWith(".ts"));
  const started: string[] = [];
  for (const file of files) {
    const text = await readFile(join(folder, file), "utf8");
    for (const [, name = ""] of text.matchAll(/new URL\("\.\/([\w-]+)\.mjs"/g)) started.push(name);
  }
  expect(started.toSorted()).toEqual(
    Object.keys(sources)
      .filter((name) => name.endsWith("-worker"))
      .toSorted(),
  );
});
