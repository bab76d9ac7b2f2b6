import { appendFile, readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { MOST_PER_CALLER, openResponseOwners } from "../../../../runtime/relay/model/response-owners.ts";
import { temporaryFolder } from "../harness.ts";

const log = { warn: () => {} };

test("ids survive a restart, deletions too, and a damaged line costs only itself", async () => {
  const file = join(await temporaryFolder(), "responses.jsonl");
  const first = await openResponseOwners(file, log);
  for (const id of ["a", "b", "c"]) first.add("backend", id);
  first.remove("backend", "b");
  await first.close();
  await appendFile(file, '["backend","d"');
  const second = await openResponseOwners(file, log);
  expect(["a", "b", "c", "d"].map((id) => second.owns("backend", id))).toEqual([true, false, true, false]);
  expect(second.owns("billing", "a")).toBe(false);
});

test("each caller's oldest ids are forgotten, and the file stays bounded", async () => {
  const file = join(await temporaryFolder(), "responses.jsonl");
  const owners = await openResponseOwners(file, log);
  owners.add("quiet", "mine");
  for (let n = 0; n < 3 * MOST_PER_CALLER; n += 1) {
    owners.add("busy", `r${n}`);
    if (n % 1000 === 0) await owners.close();
  }
  await owners.close();
  expect([owners.owns("quiet", "mine"), owners.owns("busy", "r0")]).toEqual([true, false]);
  expect(owners.owns("busy", `r${2 * MOST_PER_CALLER}`)).toBe(true);
  expect((await readFile(file, "utf8")).split("\n").length).toBeLessThan(3 * MOST_PER_CALLER);
  expect((await openResponseOwners(file, log)).owns("quiet", "mine")).toBe(true);
});
