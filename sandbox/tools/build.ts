/** One tool from its source: a Go module, built by the Go toolchain. */
import { spawn, spawnSync } from "node:child_process";
import { chmod, copyFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Log } from "../log.ts";
import { MissingTool } from "./missing-tool.ts";
import { goMod, isAtLeast, type Recipe } from "./recipes.ts";

/** Time between two lines about how far a build is. */
const progressMs = 15_000;

/** @returns the version of the Go on PATH, or undefined */
export function goVersion(): string | undefined {
  const said = spawnSync("go", ["env", "GOVERSION"], { encoding: "utf8" }).stdout;
  return /go(\d+(\.\d+)+)/.exec(said ?? "")?.[1];
}

/** @throws MissingTool when no Go is here that could build the recipe */
export function requireGo({ name, build, advice }: Recipe): void {
  const have = goVersion();
  if (have && isAtLeast(have, build.go)) return;
  throw new MissingTool(
    `${name} is not on PATH, could not be downloaded, and building it needs Go ${build.go}${have ? ` (here is ${have})` : ""}: ${advice}.`,
  );
}

/**
 * Builds the program and its companions into `work`.
 * @throws MissingTool when Go is missing or too old, or the build fails
 */
export async function build(recipe: Recipe, work: string, step: string, log: Log): Promise<void> {
  requireGo(recipe);
  const { build } = recipe;
  const source = await mkdtemp(join(tmpdir(), "slm-network-go-"));
  try {
    await writeFile(join(source, "go.mod"), goMod(build));
    await writeFile(join(source, "tools.go"), `//go:build tools\n\npackage tools\n\nimport _ "${build.package}"\n`);
    log(`${step}${recipe.name} ${recipe.version}: fetching its Go modules …`);
    await go(["mod", "tidy"], source, (seconds, lines) => log(`  … ${lines} modules and packages seen, ${seconds} s`));
    const packages = count(source, build.package);
    log(`${step}${recipe.name} ${recipe.version}: building (minutes, once) …`);
    const flags = `-s -w -X ${build.versionVariable}=${recipe.name === "cloudflared" ? recipe.version : `v${recipe.version}`}`;
    const program = join(work, recipe.name);
    await go(["build", "-v", "-trimpath", "-ldflags", flags, "-o", program, build.package], source, (seconds, lines) =>
      log(`  … ${lines}${packages > 0 ? ` of at most ${packages}` : ""} packages compiled, ${seconds} s`),
    );
    if (build.copy) {
      const list = spawnSync("go", ["list", "-m", "-f", "{{.Dir}}", build.module], { cwd: source, encoding: "utf8" });
      for (const file of build.copy) {
        const target = join(work, file.slice(file.lastIndexOf("/") + 1));
        await copyFile(join(list.stdout.trim(), file), target);
        await chmod(target, 0o755);
      }
    }
  } catch (error) {
    throw new MissingTool(
      `${recipe.name} could not be built (${error instanceof Error ? error.message : String(error)}): ${recipe.advice}.`,
    );
  } finally {
    await rm(source, { recursive: true, force: true });
  }
}

/** How many packages the program consists of; those in Go's own cache are not compiled again. */
function count(source: string, program: string): number {
  const list = spawnSync("go", ["list", "-mod=mod", "-deps", program], {
    cwd: source,
    encoding: "utf8",
    maxBuffer: 64 << 20,
  });
  return list.status === 0 ? list.stdout.trim().split("\n").length : 0;
}

function go(args: string[], cwd: string, progress: (seconds: number, lines: number) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn("go", args, {
      cwd,
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, GOFLAGS: "-mod=mod" },
    });
    const started = Date.now();
    let tail = "";
    let lines = 0;
    const keep = (chunk: Buffer) => {
      const text = chunk.toString("utf8");
      lines += text.split("\n").length - 1;
      tail = (tail + text).slice(-2000);
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    const beat = setInterval(() => progress(Math.round((Date.now() - started) / 1000), lines), progressMs);
    child.on("error", (error) => {
      clearInterval(beat);
      reject(error);
    });
    child.on("close", (code) => {
      clearInterval(beat);
      if (code === 0) resolve();
      else reject(new Error(`go ${args[0]} ended with ${code}: ${tail.trim().split("\n").slice(-5).join(" | ")}`));
    });
  });
}
