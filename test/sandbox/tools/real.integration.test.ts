/** How real model servers are obtained: PATH, cache, the project's release, source; pinned, once, whoever needs them first. */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { delimiter, join } from "node:path";
import * as tar from "tar";
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { cachedFolder } from "../../../sandbox/tools/cached-folder.ts";
import { ensureServer, ensureWeights, obstacleTo, readyServer, versionOf } from "../../../sandbox/tools/real/ensure.ts";
import { fetchOfficial, publishedHash } from "../../../sandbox/tools/real/official.ts";
import {
  cmakeOptions,
  llamaFolder,
  llamaServer,
  llamaSource,
  ollama,
  weightsPackage,
} from "../../../sandbox/tools/real/recipes.ts";
import { ownCache, program, removeCache } from "./cache.ts";

let folder: string;
const lines: string[] = [];
const log = (line: string) => void lines.push(line);

beforeEach(() => {
  folder = ownCache();
  lines.length = 0;
});
afterEach(() => removeCache(folder));

describe("a real model server", () => {
  it("is taken from PATH in a usable version, else from the cache", async () => {
    const bin = join(folder, "bin");
    vi.stubEnv("PATH", [bin, "/usr/bin", "/bin"].join(delimiter));
    const old = program(join(bin, "llama-server"), "echo 'version: 4000 (abc)' >&2");
    const cached = program(join(folder, `cache/tools/llama-server-${llamaServer.version}/llama-server`), "");
    expect(await ensureServer("llama-server", log)).toBe(cached);
    expect(readyServer("llama-server")).toBe(cached);
    program(old, "echo 'version: 0.6.0-dev (build 11500, commit abc)' >&2");
    expect(await ensureServer("llama-server", log)).toBe(old);
    const newer = program(
      join(bin, "ollama"),
      "echo 'Warning: could not connect'; echo 'Warning: client version is 0.31.0'",
    );
    expect(await ensureServer("ollama", log)).toBe(newer);
  });

  it.each([
    ["version: 11434 (0abc)", "11434"],
    ["version: 0.6.0-dev (build 11434, commit unknown)", "11434"],
    ["ollama version is 0.17.4", "0.17.4"],
    ["Warning: client version is 0.17.4", "0.17.4"],
    ["nothing", undefined],
  ])("says its version as %j", (said, version) => {
    expect(versionOf(program(join(folder, "p"), `echo '${said}'`), llamaServer)).toBe(version);
  });

  it("ends in one sentence saying what is missing and what to install", async () => {
    vi.stubEnv("PATH", "/nonexistent");
    await expect(ensureServer("llama-server", log)).rejects.toThrow(
      /building it needs cmake and c\+\+ and python3: install llama\.cpp/,
    );
    await expect(ensureServer("ollama", log)).rejects.toThrow(
      /building it needs go and c\+\+ and python3: install Ollama/,
    );
    expect(obstacleTo("llama-server")).toMatch(/^llama-server cannot be built without cmake/);
    await expect(ensureWeights(log)).rejects.toThrow(/install python3 with pip/);
    expect(existsSync(join(folder, "cache/tools/llama-server-11434"))).toBe(false);
  });

  it("is pinned by version and hash, which pip is told to check", async () => {
    const bin = join(folder, "bin");
    const seen = join(folder, "seen");
    vi.stubEnv("PATH", [bin, "/usr/bin", "/bin"].join(delimiter));
    // Keeps what it was asked for; then fails as pip does on another hash.
    program(
      join(bin, "python3"),
      `echo "$@" > ${seen}; cat "$(echo "$@" | sed 's/.*--requirement //')" >> ${seen}; echo 'THESE PACKAGES DO NOT MATCH THE HASHES' >&2; exit 1`,
    );
    await expect(ensureWeights(log)).rejects.toThrow(/DO NOT MATCH THE HASHES/);
    const asked = readFileSync(seen, "utf8");
    expect(asked).toContain("--require-hashes");
    expect(asked).toContain(`${weightsPackage.name}==${weightsPackage.version} --hash=sha256:${weightsPackage.sha256}`);
    for (const { sha256 } of [weightsPackage, llamaSource]) expect(sha256).toMatch(/^[0-9a-f]{64}$/);
  });

  it.each(["linux", "darwin"] as const)("names the project's own archive for %s", (platform) => {
    for (const arch of ["x64", "arm64"]) {
      expect(llamaServer.official(platform, arch)?.url).toContain(`b${llamaServer.version}`);
    }
    expect(llamaServer.official(platform, "mips")).toBeUndefined();
    expect(ollama.official(platform, "arm64")?.url).toEqual(
      platform === "darwin" ? expect.stringContaining("v0.17.4") : undefined,
    );
  });
});

describe("a build from source", () => {
  /** A pip that has the source, and a cmake whose first build ends half-way. @returns what they were asked, in order */
  async function tools(): Promise<() => string[]> {
    const bin = join(folder, "bin");
    vi.stubEnv("PATH", [bin, "/usr/bin", "/bin"].join(delimiter));
    const source = join(folder, "source", llamaFolder);
    mkdirSync(source, { recursive: true });
    writeFileSync(join(source, "CMakeLists.txt"), "");
    const archive = join(folder, "archive.tar.gz");
    await tar.create({ gzip: true, file: archive, cwd: join(folder, "source") }, [llamaFolder.split("/")[0]!]);
    const asked = join(folder, "asked");
    program(
      join(bin, "python3"),
      `echo fetch >> ${asked}; cp ${archive} "$(echo "$@" | sed 's/.*--dest \\([^ ]*\\).*/\\1/')/${llamaSource.file}"`,
    );
    program(join(bin, "c++"), "");
    program(
      join(bin, "cmake"),
      `if [ "$1" = -S ]; then echo configure >> ${asked}; mkdir -p "$4"; test -e "$2/CMakeLists.txt"; exit; fi
echo build >> ${asked}; cd "$2" || exit 1
if [ ! -e half ]; then touch half; echo 'the machine is switched off' >&2; exit 1; fi
mkdir -p bin; echo program > bin/llama-server`,
    );
    return () => readFileSync(asked, "utf8").trim().split("\n");
  }

  it("goes on from where it was interrupted, and leaves only the program", async () => {
    const asked = await tools();
    const cache = join(folder, "cache");
    await expect(ensureServer("llama-server", log)).rejects.toThrow(/the machine is switched off/);
    expect(readyServer("llama-server")).toBeUndefined();
    expect(readdirSync(join(cache, "tools"))).toEqual([]);
    expect(readdirSync(join(cache, "building"))).toEqual([`llama-server-${llamaServer.version}`]);

    const built = await ensureServer("llama-server", log);
    expect(readFileSync(built, "utf8")).toBe("program\n");
    expect(asked()).toEqual(["fetch", "configure", "build", "configure", "build"]);
    expect(readdirSync(join(cache, "building"))).toEqual([]);
    expect(readyServer("llama-server")).toBe(built);
  });

  it("compiles what computes for speed, and the rest for a short build", () => {
    const script = cmakeOptions.flatMap((option) => /_INCLUDE=(.*)$/.exec(option)?.[1] ?? []);
    expect(script).toHaveLength(2);
    for (const file of script)
      expect(readFileSync(file, "utf8")).toMatch(/"ggml"\)\s+set\(CMAKE_CXX_FLAGS_RELEASE "-O3/);
    expect(cmakeOptions).toContain("-DCMAKE_CXX_FLAGS_RELEASE=-O1 -DNDEBUG");
  });
});

describe("a project's own archive", () => {
  async function site(digest: (sha256: string) => string): Promise<{ url: string; into: string }> {
    const work = join(folder, "work/llama-b1");
    program(join(work, "llama-server"), "");
    writeFileSync(join(work, "libggml.so"), "library");
    const file = join(folder, "a.tar.gz");
    await tar.create({ gzip: true, file, cwd: join(folder, "work") }, ["llama-b1"]);
    const bytes = readFileSync(file);
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    const server = createServer((request, response) => {
      if (request.url === "/a.tar.gz") response.end(bytes);
      else response.end(JSON.stringify({ assets: [{ name: "a.tar.gz", digest: digest(sha256) }] }));
    }).listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    onTestFinished(() => void server.close());
    const into = join(folder, "into");
    mkdirSync(into);
    return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, into };
  }

  it("is unpacked, the program at the top with its libraries, when its hash is the published one", async () => {
    const { url, into } = await site((sha256) => `sha256:${sha256}`);
    await fetchOfficial({ url: `${url}/a.tar.gz`, published: { release: `${url}/release` } }, "llama-server", into);
    expect(readdirSync(into).sort()).toEqual(expect.arrayContaining(["libggml.so", "llama-server"]));
  });

  it("is not used with another hash, or with none", async () => {
    const { url, into } = await site(() => `sha256:${"0".repeat(64)}`);
    const archive = { url: `${url}/a.tar.gz`, published: { release: `${url}/release` } };
    await expect(fetchOfficial(archive, "llama-server", into)).rejects.toThrow(/published is 0000.*: not used/);
    expect(publishedHash('{"assets":[{"name":"b"}]}', "a", false)).toBeUndefined();
    expect(publishedHash("abc  ./ollama-darwin.tgz\ndef *other\n", "ollama-darwin.tgz", true)).toBe("abc");
  });
});

describe("a folder of the cache", () => {
  it("is filled once, whoever needs it at the same time, and leaves nothing half-made", async () => {
    let fills = 0;
    const one = (fill: (work: string) => Promise<void>) =>
      cachedFolder({ name: "thing", folder: join(folder, "cache/thing"), file: "it", fill }, log);
    const failing = one(async (work) => {
      writeFileSync(join(work, "half"), "");
      throw new Error("the disk is full");
    });
    await expect(failing).rejects.toThrow("the disk is full");
    await expect(one(async () => {})).rejects.toThrow(/holds no it/);
    expect(readdirSync(join(folder, "cache"))).toEqual([]);
    const fill = async (work: string) => {
      fills += 1;
      writeFileSync(join(work, "it"), "x");
    };
    const paths = await Promise.all([one(fill), one(fill), one(fill)]);
    expect([fills, new Set(paths).size]).toEqual([1, 1]);
    expect(readdirSync(join(folder, "cache"))).toEqual(["thing"]);
  });
});
