/**
 * Where the tools come from and in which version: data only, no I/O.
 *
 * Hashes of cloudflared are those of its release notes, https://github.com/cloudflare/cloudflared/releases/tag/2026.7.2.
 * Pulumi publishes its own beside the archives (`pulumi-<version>-checksums.txt`).
 */

/** A file on the vendor's own site. */
export interface Download {
  url: string;
  /** sha256 in hex, or the address of a list `<hex>  <file name>`. */
  sha256: string | { list: string };
  /** `raw` is the program itself; a `tgz` holds it (and its companions) somewhere inside. */
  kind: "raw" | "tgz";
}

/** A Go program, built from its module by the Go toolchain. */
export interface GoBuild {
  /** Module and version that is required. */
  module: string;
  version: string;
  /** Further modules that must be of a certain version. */
  alsoRequire: readonly string[];
  /** `go.mod` replacements; `go install` ignores those of the program's own module, so they are repeated here. */
  replace: readonly string[];
  /** Package of the program. */
  package: string;
  /** Variable that takes the version, for `-ldflags -X`. */
  versionVariable: string;
  /** Least Go version. */
  go: string;
  /** Files of the module that are copied beside the program. */
  copy?: readonly string[];
}

const pulumiVersion = "3.259.0";
const cloudflaredVersion = "2026.7.2";

/** How one tool is had. */
export interface Recipe {
  name: "pulumi" | "pulumi-language-nodejs" | "cloudflared";
  version: string;
  /** Least version that will do when it is found on PATH. */
  atLeast: string;
  versionArgs: readonly string[];
  download(platform: NodeJS.Platform, arch: string): Download | undefined;
  build: GoBuild;
  /** What a person should do when nothing of it works. */
  advice: string;
}

const goArch = (arch: string) => (arch === "x64" ? "amd64" : arch);

export const pulumi: Recipe = {
  name: "pulumi",
  version: pulumiVersion,
  atLeast: pulumiVersion, // an older one may not start the policy pack
  versionArgs: ["version"],
  download: (platform, arch) => {
    if (!["linux", "darwin"].includes(platform) || !["x64", "arm64"].includes(arch)) return undefined;
    return {
      url: `https://get.pulumi.com/releases/sdk/pulumi-v${pulumiVersion}-${platform}-${arch}.tar.gz`,
      sha256: { list: `https://get.pulumi.com/releases/sdk/pulumi-${pulumiVersion}-checksums.txt` },
      kind: "tgz",
    };
  },
  build: {
    module: "github.com/pulumi/pulumi/pkg/v3",
    version: `v${pulumiVersion}`,
    alsoRequire: [`github.com/pulumi/pulumi/sdk/v3 v${pulumiVersion}`],
    replace: ["github.com/atotto/clipboard => github.com/tgummerer/clipboard v0.0.0-20241001131231-d02d263e614e"],
    package: "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
    versionVariable: "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version",
    go: "1.25.11",
  },
  advice: "install the Pulumi CLI (https://www.pulumi.com/docs/install/) or Go 1.25.11 or later (https://go.dev/dl/)",
};

/**
 * Pulumi's host for Node programs. The official archive of the CLI brings it along; as a Go module it can be built up to
 * version 3.66, after which it left the SDK's module. The old host runs the current engine and the current SDK.
 */
export const languageHost: Recipe = {
  name: "pulumi-language-nodejs",
  version: "3.60.0",
  atLeast: "0.0.0",
  versionArgs: [],
  download: () => undefined,
  build: {
    module: "github.com/pulumi/pulumi/sdk/v3",
    version: "v3.60.0",
    alsoRequire: [],
    replace: [],
    package: "github.com/pulumi/pulumi/sdk/v3/nodejs/cmd/pulumi-language-nodejs",
    versionVariable: "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version",
    go: "1.21",
    copy: ["nodejs/dist/pulumi-resource-pulumi-nodejs", "nodejs/dist/pulumi-analyzer-policy"],
  },
  advice: pulumi.advice,
};

export const cloudflared: Recipe = {
  name: "cloudflared",
  version: cloudflaredVersion,
  atLeast: "2025.4.0", // the first with --token-file
  versionArgs: ["version", "--short"],
  download: (platform, arch) => {
    const hashes: Record<string, string> = {
      "darwin-arm64": "2086e51c61d6565781d84117a5007d0c826d03ffdc74acb91c08c167f9f8cd7c",
      "darwin-x64": "4ee0d3b48a990a2f9b5faec5838f73ec1f400aa8e0a4864be576adfafec406cb",
      "linux-arm64": "405df476437e027fc6d18729a5a77155c0a33a6082aeee60a799a688f3052e66",
      "linux-x64": "ec905ea7b7e327ff8abdde8cb64697a2152de74dbcdbf6aec9db8364eb3886cd",
    };
    const sha256 = hashes[`${platform}-${arch}`];
    if (!sha256) return undefined;
    const kind = platform === "darwin" ? "tgz" : "raw";
    return {
      url: `https://github.com/cloudflare/cloudflared/releases/download/${cloudflaredVersion}/cloudflared-${platform}-${goArch(arch)}${kind === "tgz" ? ".tgz" : ""}`,
      sha256,
      kind,
    };
  },
  build: {
    module: "github.com/cloudflare/cloudflared",
    version: "v0.0.0-20260713102814-2601f87b5728",
    alsoRequire: [],
    replace: [
      "github.com/urfave/cli/v2 => github.com/ipostelnik/cli/v2 v2.3.1-0.20210324024421-b6ea8234fe3d",
      "github.com/prometheus/golang_client => github.com/prometheus/golang_client v1.12.1",
      "gopkg.in/yaml.v3 => gopkg.in/yaml.v3 v3.0.1",
      "github.com/quic-go/quic-go => github.com/chungthuang/quic-go v0.45.1-0.20250428085412-43229ad201fd",
    ],
    package: "github.com/cloudflare/cloudflared/cmd/cloudflared",
    versionVariable: "main.Version",
    go: "1.24",
  },
  advice:
    "install cloudflared (https://developers.cloudflare.com/cloudflare-one/connections/connect-networks/downloads/) or Go 1.24 or later (https://go.dev/dl/)",
};

/** The `go.mod` of the throw-away module in which a recipe is built. */
export function goMod(build: GoBuild): string {
  const required = [`${build.module} ${build.version}`, ...build.alsoRequire];
  return [
    "module slm-network.local/tools",
    `go ${build.go}`,
    ...required.map((line) => `require ${line}`),
    ...build.replace.map((line) => `replace ${line}`),
    "",
  ].join("\n\n");
}

/** @returns whether dotted version `a` is at least `b`; what is not a number counts as 0 */
export function isAtLeast(a: string, b: string): boolean {
  const parts = (version: string) => version.split(".").map((part) => Number.parseInt(part, 10) || 0);
  const [left, right] = [parts(a), parts(b)];
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return true;
}
