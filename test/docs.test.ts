/** What the READMEs and docs/ name is there: files, headings, npm scripts. */
import { globSync } from "node:fs";
import { access, readdir, readFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { describe, expect, it } from "vitest";
import { z } from "zod";

const project = join(import.meta.dirname, "..");
const pages = [
  "README.md",
  "README.ko.md",
  "CONTRIBUTING.md",
  "docs/monitoring/README.md",
  ...(await readdir(join(project, "docs"))).filter((name) => name.endsWith(".md")).map((name) => `docs/${name}`),
];
const { scripts } = z
  .object({ scripts: z.record(z.string(), z.string()) })
  .parse(JSON.parse(await readFile(join(project, "package.json"), "utf8")));
const text = (page: string) => readFile(join(project, page), "utf8");

/** As GitHub makes them of headings. */
const anchors = (markdown: string): string[] =>
  [...markdown.matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
      .replaceAll(/\s/g, "-"),
  );

describe.each(pages)("%s", (page) => {
  it("links to pages and headings that are there", async () => {
    const missing: string[] = [];
    for (const [, target = ""] of (await text(page)).matchAll(/\]\((?!https?:)([^)\s]+)\)/g)) {
      const [file = "", anchor] = target.split("#");
      const path = file === "" ? page : relative(project, join(project, dirname(page), file));
      const linked = await text(path).catch(() => undefined);
      const isThere = linked !== undefined && (anchor === undefined || anchors(linked).includes(anchor));
      if (!isThere) missing.push(target);
    }
    expect(missing).toEqual([]);
  });

  it("names npm scripts that are there", async () => {
    const named = [...(await text(page)).matchAll(/npm run (?:-s )?([a-z][a-z:-]*)/g)].map(([, name = ""]) => name);
    expect(named.filter((name) => !(name in scripts))).toEqual([]);
  });
});

describe("README.ko.md", () => {
  /** What a reader could look for in vain: linked pages, commands, variables, settings. */
  const named = (markdown: string): string[] =>
    [
      /docs\/[a-z-]+\.md/g,
      /npm run (?:-s )?[a-z][a-z:-]*/g,
      /\b[A-Z]{3,}_[A-Z_]+\b/g,
      /`[a-z]+(?:\[\d\])?\.[a-zA-Z.]+`/g,
      /file=[\w.-]+/g,
    ].flatMap((pattern) => [...markdown.matchAll(pattern)].map(([found]) => found.replace(" -s ", " ")));

  it("names whatever README.md names, but for the examples that it refers to there", async () => {
    const there = new Set(named(await text("README.ko.md")));
    const langchain = ["file=with_langchain.py", "file=with-langchain.mjs"];
    expect([...new Set(named(await text("README.md")))].filter((one) => !there.has(one))).toEqual(langchain);
  });
});

/** A folder's README names files from its own folder, from the folder above, from a folder below, or from the project's. */
const isThere = (page: string, name: string): boolean =>
  [dirname(page), dirname(dirname(page)), join(dirname(page), "*"), ""].some(
    (base) => globSync(join(base, name), { cwd: project }).length > 0,
  );

const readmes = globSync("{accounts,commands,components,config,policy,runtime,sandbox,ssh,test}/**/README.md", {
  cwd: project,
}).filter((page) => !page.includes("node_modules"));

describe.each(["CONTRIBUTING.md", ...readmes])("%s", (page) => {
  it("names files and folders that exist", async () => {
    const names = [...(await text(page)).matchAll(/`([\w./*-]+(?:\.(?:ts|mjs|json|yaml|md)|\/))`/g)].map(
      ([, name = ""]) => name,
    );
    expect(names.filter((name) => !isThere(page, name))).toEqual([]);
  });
});

it("every folder with a README is checked", () => {
  expect(readmes).toEqual(expect.arrayContaining(["accounts/README.md", "runtime/relay/documents/README.md"]));
});

it("docs/threat-model.md names an existing test for each threat", async () => {
  const rows = [...(await text("docs/threat-model.md")).matchAll(/^\|(?! *(?:-|who attacks)).*$/gm)].map(
    ([row]) => row,
  );
  const tests = rows.map((row) =>
    [...(row.split("|").at(-2) ?? "").matchAll(/`([^`]+\.test\.ts)`/g)].map(([, name = ""]) => name),
  );
  expect(tests.length).toBeGreaterThan(10);
  expect(rows.filter((_row, index) => tests[index]!.length === 0)).toEqual([]);
  const missing: string[] = [];
  for (const name of tests.flat()) {
    if (
      !(await access(join(project, name)).then(
        () => true,
        () => false,
      ))
    )
      missing.push(name);
  }
  expect(missing).toEqual([]);
});
