/** The official plugins as `auto` takes them: real engine, real addresses and archive layout, stubs for programs. */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { create } from "tar";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { providerNames } from "../../../sandbox/providers/install.ts";
import { pinnedVersion } from "../../../sandbox/providers/pinned.ts";
import { ensureTools } from "../../../sandbox/tools/tools.ts";
import { startVendors, type Vendors } from "../vendors.ts";

let pulumi: string;
let folder: string;
let vendors: Vendors;
const archives = new Map<string, Buffer>();
const arch = process.arch === "x64" ? "amd64" : process.arch;
const archiveOf = (name: string) =>
  `pulumi-resource-${name}-v${pinnedVersion(name)}-${process.platform}-${arch}.tar.gz`;

beforeAll(async () => {
  pulumi = (await ensureTools(() => {})).pulumi;
});
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "slm-plugins-"));
  for (const name of providerNames) {
    const pack = join(folder, name);
    await mkdir(pack);
    await writeFile(join(pack, `pulumi-resource-${name}`), `#!/bin/sh\necho official ${name}\n`);
    await chmod(join(pack, `pulumi-resource-${name}`), 0o755);
    await writeFile(join(pack, "LICENSE"), "Apache-2.0\n");
    const file = join(folder, archiveOf(name));
    await create({ file, cwd: pack, gzip: true }, ["LICENSE", `pulumi-resource-${name}`]);
    archives.set(archiveOf(name), await readFile(file));
  }
}, 60_000);
afterEach(async () => {
  await vendors?.close();
  await rm(folder, { recursive: true, force: true });
});

const sum = (content: Buffer) => createHash("sha256").update(content).digest("hex");

/** @param hash of the lists of checksums that the releases have; by default the right one, `none` for no list */
async function serve(hash?: string): Promise<void> {
  vendors = await startVendors(join(folder, "tls"), ["get.pulumi.com", "github.com"], ({ url, path }, response) => {
    const archive = archives.get(basename(path));
    if (archive) return void response.writeHead(200, { "content-length": archive.length }).end(archive);
    const name = providerNames.find((one) => url.endsWith(`/pulumi-${one}_${pinnedVersion(one)}_checksums.txt`));
    if (name && hash !== "none") {
      return void response.end(`${hash ?? sum(archives.get(archiveOf(name))!)}  ${archiveOf(name)}\n`);
    }
    response.writeHead(404).end();
  });
}

interface Ran {
  chosen: string;
  lines: string[];
}

/** `chooseProviders` in a process of its own, with the proxy in its environment. */
function choose(wanted: string): Promise<Ran> {
  const code = `import { chooseProviders } from ${JSON.stringify(resolve(import.meta.dirname, "../../../sandbox/providers/choice.ts"))};
    const options = { pulumi: process.argv[1], home: process.argv[2], environment: { PULUMI_HOME: process.argv[2], PULUMI_SKIP_UPDATE_CHECK: "1" } };
    console.log(await chooseProviders({ ...options, log: (line) => console.error(line) }).catch((error) => error.message));`;
  const args = ["--input-type=module", "-e", code, "--", pulumi, join(folder, "home")];
  const env = { PATH: process.env.PATH, HOME: folder, SANDBOX_PROVIDERS: wanted, ...vendors.environment };
  return new Promise((done) => {
    execFile(process.execPath, args, { env }, (_error, stdout, stderr) =>
      done({ chosen: stdout.trim(), lines: stderr.trim().split("\n") }),
    );
  });
}
const plugin = (name: string) =>
  join(folder, "home/plugins", `resource-${name}-v${pinnedVersion(name)}`, `pulumi-resource-${name}`);

// On macOS, Go asks the keychain, which does not know the tests' authority.
describe.runIf(process.platform === "linux")("the official plugins", { timeout: 180_000 }, () => {
  it("are downloaded through the proxy, checked against the releases' lists, and kept", async () => {
    await serve();
    const ran = await choose("auto");
    expect([ran.chosen, ran.lines.at(-1)]).toEqual(["official", "providers: the official plugins, downloaded"]);
    for (const name of providerNames) expect(await readFile(plugin(name), "utf8")).toContain(`official ${name}`);
    const before = vendors.asked.length;
    expect((await choose("auto")).chosen).toBe("official");
    expect(vendors.asked).toHaveLength(before);
    // Ours in their place, and back.
    expect((await choose("ours")).chosen).toBe("ours");
    expect(await readFile(plugin("command"), "utf8")).toContain("providers/command/main.ts");
    expect((await choose("official")).chosen).toBe("official");
    expect(await readFile(plugin("command"), "utf8")).toContain("official command");
  });

  it("are taken over TLS alone where a release has no list", async () => {
    await serve("none");
    const ran = await choose("official");
    expect(ran.chosen).toBe("official");
    expect(ran.lines.join("\n")).toMatch(/cloudflare \S+: its release lists no checksum; TLS vouches for it/);
  });

  it("are refused with another hash: ours are used with the reason logged, or it is an error if requested", async () => {
    await serve("2".repeat(64));
    const ran = await choose("auto");
    expect(ran.chosen).toBe("ours");
    expect(ran.lines.at(-1)).toMatch(
      /^providers: the sandbox's own plugins \(the official ones are not available: cloudflare 6\.\S+: \S+\.tar\.gz has sha256 [0-9a-f]{64}, its release lists 2{64}: not used\)$/,
    );
    expect((await choose("official")).chosen).toMatch(
      /^SANDBOX_PROVIDERS=official, and the official plugins are not available \(cloudflare 6\..*: not used\)\. .*SANDBOX_PROVIDERS=ours npm run sandbox$/,
    );
  });

  it("are done without, with the reason, where their site cannot be reached", async () => {
    vendors = await startVendors(join(folder, "tls"), [], (_, response) => void response.end());
    const ran = await choose("auto");
    expect(ran.chosen).toBe("ours");
    expect(ran.lines.at(-1)).toMatch(
      /own plugins \(the official ones are not available: get\.pulumi\.com cannot be reached \(.*403/,
    );
  });
});
