/** The workflows, checked by actionlint: from PATH, else built once into the tools' cache by Go. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { cacheFolder } from "../../sandbox/tools/tools.ts";

const version = "v1.7.10";
const folder = join(import.meta.dirname, "../../.github/workflows");

function actionlint(): string | undefined {
  try {
    execFileSync("actionlint", ["-version"], { stdio: "ignore" });
    return "actionlint";
  } catch {
    // not on PATH
  }
  const bin = join(cacheFolder(), "tools", `actionlint-${version}`);
  const file = join(bin, "actionlint");
  if (existsSync(file)) return file;
  try {
    const env = { ...process.env, GOBIN: bin, GOFLAGS: "-mod=mod" };
    const args = ["install", `github.com/rhysd/actionlint/cmd/actionlint@${version}`];
    execFileSync("go", args, { env, stdio: "ignore", timeout: 240_000 });
    return file;
  } catch {
    return undefined; // no Go, or no way to its module proxy
  }
}
const program = actionlint();

it.skipIf(program === undefined)("actionlint finds nothing in the workflows", async () => {
  const files = (await readdir(folder)).filter((name) => name.endsWith(".yml")).map((name) => join(folder, name));
  expect(files.length).toBeGreaterThan(3);
  // Without shellcheck and pyflakes, which may or may not be installed.
  const lint = () => execFileSync(program ?? "", ["-shellcheck=", "-pyflakes=", ...files], { encoding: "utf8" });
  expect(lint).not.toThrow();
  expect(lint()).toBe("");
});
