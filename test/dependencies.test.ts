/** Every package has its reason and a permissive licence in docs/dependencies.md, and its version is exact. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { z } from "zod";

const project = join(import.meta.dirname, "..");
const read = (path: string) => readFile(join(project, path), "utf8");
const versions = z.record(z.string(), z.string());
const { dependencies, devDependencies } = z
  .object({ dependencies: versions, devDependencies: versions })
  .parse(JSON.parse(await read("package.json")));
const packages = { ...dependencies, ...devDependencies };
const rows = [...(await read("docs/dependencies.md")).matchAll(/^\| `([^`]+)` \| ([^|]+?) \| ([^|]+?) \|$/gm)];

const licenceSchema = z.object({
  license: z.string().optional(),
  licenses: z.array(z.object({ type: z.string() })).optional(),
});

it("lists every package once, with a reason", () => {
  expect(rows.map(([, name]) => name).sort()).toEqual(Object.keys(packages).sort());
  for (const [, name, , reason] of rows) expect(reason, name).toMatch(/\w{3}/);
});

it("names the licence that the package itself names", async () => {
  for (const [, name, licence] of rows) {
    const found = licenceSchema.parse(JSON.parse(await read(`node_modules/${name}/package.json`)));
    expect(licence, name).toBe(found.license ?? found.licenses?.map(({ type }) => type).join(" OR "));
    // Only in tests, unchanged: see the table's last sentence.
    if (name === "axe-core") expect(Object.keys(devDependencies)).toContain(name);
    else expect(licence, name).toMatch(/MIT|Apache-2\.0|ISC|BSD-3-Clause|BlueOak-1\.0\.0/);
  }
});

it("pins exact versions", () => {
  for (const [name, version] of Object.entries(packages))
    expect(version, name).toMatch(/^(?:npm:@?[\w./-]+@)?\d+\.\d+\.\d+$/);
});
