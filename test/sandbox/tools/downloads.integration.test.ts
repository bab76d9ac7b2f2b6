/** The tools from their vendors' sites: real addresses and archive layouts, with stubs for programs, on loopback. */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { create } from "tar";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { obtain } from "../../../sandbox/tools/obtain.ts";
import { cloudflared, pulumi } from "../../../sandbox/tools/recipes.ts";
import { cut, startVendors, type Vendors } from "../vendors.ts";

const source = pulumi.download(process.platform, process.arch);
const hosts = ["get.pulumi.com", "github.com"];
const sum = (content: Buffer) => createHash("sha256").update(content).digest("hex");
let folder: string;
let archive: Buffer;
let vendors: Vendors;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "slm-vendors-"));
  // As Pulumi packs it: the CLI, its language hosts and shims in one folder `pulumi`.
  for (const name of ["pulumi", "pulumi-language-nodejs", "pulumi-resource-pulumi-nodejs", "pulumi-analyzer-policy"]) {
    await program(join(folder, "pack/pulumi", name), `echo ${name} of the archive`);
  }
  await create({ file: join(folder, "pulumi.tgz"), cwd: join(folder, "pack"), gzip: true }, ["pulumi"]);
  archive = await readFile(join(folder, "pulumi.tgz"));
  await program(cached("cloudflared", cloudflared.version), "echo cached");
}, 60_000);
afterEach(async () => {
  await vendors?.close();
  await rm(folder, { recursive: true, force: true });
});

async function program(path: string, command: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, `#!/bin/sh\n${command}\n`);
  await chmod(path, 0o755);
}
const cached = (name: string, version: string) => join(folder, "cache/tools", `${name}-${version}`, name);

/** The sites, with the archive and its hash in the vendor's list. */
async function serve(options: { cuts?: number; hash?: string } = {}): Promise<void> {
  vendors = await startVendors(join(folder, "tls"), hosts, ({ url, times }, response) => {
    if (url === source?.url) return times <= (options.cuts ?? 0) ? cut(response, archive) : void response.end(archive);
    const list = `${"0".repeat(64)}  pulumi-v0.0.0-plan9-mips.tar.gz\n${options.hash ?? sum(archive)}  ${basename(source?.url ?? "")}\n`;
    if (typeof source?.sha256 === "object" && url === source.sha256.list) return void response.end(list);
    response.writeHead(404).end();
  });
}

interface Ran {
  code: number;
  lines: string[];
  error: string;
  tools?: { pulumi: string; cloudflared: string; path: string[] };
}

/** `ensureTools` in a process of its own, with nothing on PATH and the proxy in its environment. */
function ensureTools(environment: Record<string, string> = {}): Promise<Ran> {
  const code = `import { ensureTools } from ${JSON.stringify(resolve(import.meta.dirname, "../../../sandbox/tools/tools.ts"))};
    const tools = await ensureTools((line) => console.error("log: " + line)).catch((error) => {
      console.error("error: " + error.name + ": " + error.message);
      process.exit(3);
    });
    console.log(JSON.stringify(tools));`;
  const env = {
    PATH: "/nowhere",
    HOME: folder,
    SLM_NETWORK_CACHE: join(folder, "cache"),
    ...vendors.environment,
    ...environment,
  };
  return new Promise((done) => {
    execFile(process.execPath, ["--input-type=module", "-e", code], { env }, (error, stdout, stderr) => {
      const lines = stderr.split("\n");
      done({
        code: typeof error?.code === "number" ? error.code : 0,
        lines: lines.filter((line) => line.startsWith("log: ")),
        error: lines.filter((line) => line.startsWith("error: ")).join("\n"),
        ...(stdout ? { tools: JSON.parse(stdout) as NonNullable<Ran["tools"]> } : {}),
      });
    });
  });
}

describe.runIf(source)("the engine", { timeout: 120_000 }, () => {
  it("comes from its site through the proxy, with its language host beside it, and is kept", async () => {
    await serve({ cuts: 1 });
    const first = await ensureTools();
    expect(first.error).toBe("");
    const cli = cached("pulumi", pulumi.version);
    expect(first.tools).toEqual({
      pulumi: cli,
      cloudflared: cached("cloudflared", cloudflared.version),
      path: [dirname(cli)],
    });
    expect(await readFile(join(dirname(cli), "pulumi-language-nodejs"), "utf8")).toContain("of the archive");
    expect(first.lines[0]).toMatch(/^log: first run: pulumi 3\.\d+\.\d+: downloaded once, for all checkouts/);
    expect(vendors.asked.filter(({ url }) => url === source?.url)).toHaveLength(2); // the first one was cut
    expect(vendors.dialled.every((host) => host === "get.pulumi.com:443")).toBe(true);

    const before = vendors.asked.length;
    expect((await ensureTools()).tools).toEqual(first.tools);
    expect(vendors.asked).toHaveLength(before);
    expect((await readdir(join(folder, "cache/tools"))).sort()).toEqual([
      `cloudflared-${cloudflared.version}`,
      `pulumi-${pulumi.version}`,
    ]);
  });

  it("is refused when its hash is not the one of the vendor's list; nothing of it is kept", async () => {
    await serve({ hash: "1".repeat(64) });
    const ran = await ensureTools();
    expect(ran.code).toBe(3);
    expect(ran.error).toContain(
      `error: MissingTool: ${source?.url} has sha256 ${sum(archive)}, expected ${"1".repeat(64)}: not used. Does a proxy or a mirror change it?`,
    );
    expect(await readdir(join(folder, "cache/tools"))).toEqual([`cloudflared-${cloudflared.version}`]);
  });

  it("is downloaded once when two processes need it at the same time", async () => {
    await serve();
    const both = await Promise.all([ensureTools(), ensureTools()]);
    expect(both.map(({ error, tools }) => [error, tools?.pulumi])).toEqual([
      ["", cached("pulumi", pulumi.version)],
      ["", cached("pulumi", pulumi.version)],
    ]);
    expect(vendors.asked.filter(({ url }) => url === source?.url)).toHaveLength(1);
  });

  it("is built where its site cannot be reached: said at once, with the reason; without Go, that is said at once", async () => {
    vendors = await startVendors(join(folder, "tls"), [], (_, response) => void response.end());
    const ran = await ensureTools();
    expect(ran.error).toMatch(
      /^error: MissingTool: pulumi is not on PATH, could not be downloaded, and building it needs Go/,
    );

    // A Go that says its version and builds nothing.
    await program(join(folder, "bin/go"), '[ "$1" = env ] && echo go1.99.0 || { echo no network >&2; exit 1; }');
    const built = await ensureTools({ PATH: `${join(folder, "bin")}:/usr/bin:/bin` });
    expect(built.lines[0]).toMatch(
      /^log: first run: pulumi \S+: built from source once, for all checkouts, because get\.pulumi\.com cannot be reached \(.*403.*\)\. This takes about seven minutes on two cores/,
    );
    expect(built.error).toMatch(/pulumi could not be built \(go mod ended with 1: no network\)/);
    const offline = await ensureTools({ PATH: `${join(folder, "bin")}:/usr/bin:/bin`, SANDBOX_OFFLINE: "1" });
    expect(offline.lines[0]).toContain("because SANDBOX_OFFLINE is 1");
  });
});

describe("cloudflared", { timeout: 60_000 }, () => {
  it("is refused when it is not the release whose hash is pinned", async () => {
    await rm(dirname(cached("cloudflared", cloudflared.version)), { recursive: true });
    await program(cached("pulumi", pulumi.version), "echo v0");
    await program(join(dirname(cached("pulumi", pulumi.version)), "pulumi-language-nodejs"), "");
    vendors = await startVendors(join(folder, "tls"), hosts, (_, response) => void response.end("another program"));
    const ran = await ensureTools();
    const pinned = cloudflared.download(process.platform, process.arch);
    expect(ran.error).toContain(
      `${pinned?.url} has sha256 ${sum(Buffer.from("another program"))}, expected ${pinned?.sha256 as string}: not used`,
    );
  });

  it.each(["raw", "tgz"] as const)("is unpacked from what its releases are: %s", async (kind) => {
    const file = join(folder, "pack/cloudflared");
    await program(file, "echo cloudflared");
    await create({ file: join(folder, "cloudflared.tgz"), cwd: join(folder, "pack"), gzip: true }, ["cloudflared"]);
    const content = await readFile(kind === "raw" ? file : join(folder, "cloudflared.tgz"));
    vendors = await startVendors(join(folder, "tls"), [], () => {});
    const { createServer } = await import("node:http");
    const server = createServer((_request, response) => void response.end(content));
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
    const address = server.address();
    const url = `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}/cloudflared`;
    const work = join(folder, "work");
    await mkdir(work);
    try {
      expect(await obtain(cloudflared, { url, sha256: sum(content), kind }, work, "", () => {})).toBeUndefined();
      expect(await readdir(work)).toEqual(["cloudflared"]);
      expect(await readFile(join(work, "cloudflared"), "utf8")).toBe("#!/bin/sh\necho cloudflared\n");
    } finally {
      await new Promise((closed) => server.close(closed));
    }
  });
});
