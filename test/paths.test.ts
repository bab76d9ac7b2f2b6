/** The checkout may lie in any folder: paths with blanks and Korean letters are tried by hand, their usual traps here. */
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, it } from "vitest";

const project = join(import.meta.dirname, "..");
const sources = globSync(
  ["*.ts", "{accounts,commands,components,config,policy,runtime,sandbox,ssh,test}/**/*.{ts,mjs}"],
  { cwd: project },
);

it.each([
  ["a file's path is taken from its URL, where a blank is %20", /import\.meta\.url\s*\)\s*\.pathname/],
  ["a shebang names this node, whose path may have a blank", /["'`]#!\$\{/],
  ["a shell gets a path without quotes", /\bsh \$\{join\(/],
])("nowhere %s", (_, trap) => {
  expect(sources.length).toBeGreaterThan(300);
  const caught = sources.filter(
    (file) => file !== "test/paths.test.ts" && trap.test(readFileSync(join(project, file), "utf8")),
  );
  expect(caught).toEqual([]);
});

it("nowhere a path from a file's own folder leads out of the checkout, as after a file was moved", () => {
  const wrong = sources.flatMap((file) =>
    [...readFileSync(join(project, file), "utf8").matchAll(/\(import\.meta\.dirname, "(\.\.[^"]*)"/g)].flatMap(
      ([, path = ""]) => {
        const target = join(dirname(file), path);
        const isThere = target.startsWith("dist/") || existsSync(join(project, target)); // dist/ is made when it is needed
        return target.startsWith("..") || !isThere ? [`${file}: ${path}`] : [];
      },
    ),
  );
  expect(wrong).toEqual([]);
});
