import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const folder = join(import.meta.dirname, "../../../../runtime/relay/admission");

test("no file of admission imports, in the end, itself", () => {
  const imports = new Map(
    readdirSync(folder).map((file) => {
      const text = readFileSync(join(folder, file), "utf8");
      return [file, [...text.matchAll(/from "\.\/([\w-]+\.ts)"/g)].map(([, name]) => name!)];
    }),
  );
  const reached = (file: string, seen = new Set<string>()): Set<string> => {
    for (const next of imports.get(file) ?? []) {
      if (seen.has(next)) continue;
      seen.add(next);
      reached(next, seen);
    }
    return seen;
  };
  expect(imports.get("admission.ts")).toContain("lane.ts");
  expect([...imports.keys()].filter((file) => reached(file).has(file))).toEqual([]);
});
