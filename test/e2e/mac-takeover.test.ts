/** A Mac that the version before installed, taken over by the real engine without a gap; a client calls all the while. */
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join, relative } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { parseDocument } from "yaml";
import { eventually, inFolder, project, ready, run, sandbox, strays } from "./harness.ts";
import { type Client, exists, fine, installationOn, MacNetwork, said } from "./mac-network.ts";

inFolder(".sandbox-takeover");
// Each test runs the engine several times; on a machine that is busy with other things that takes minutes.
vi.setConfig({ testTimeout: 900_000 });

/** The last version whose Mac was a `command:remote:Command`. */
const versionBefore = "df3d574";

let network: MacNetwork;
let before: string;
let later: string;
let client: Client;

const hasHistory = (await run("git", ["cat-file", "-e", `${versionBefore}^{commit}`])).code === 0;
if (!hasHistory) {
  console.warn(
    `skipped: the sources of the version before are needed, and git has no commit ${versionBefore} here. \`git fetch --unshallow\` brings it`,
  );
}

beforeAll(async () => {
  if (!hasHistory) return;
  await sandbox("--stop");
  before = await mkdtemp(join(tmpdir(), "slm-version-before-"));
  const archive = join(before, "sources.tar");
  await fine(run("git", ["archive", "--output", archive, versionBefore]));
  await fine(run("tar", ["-xf", archive, "-C", before]));
  await symlink(join(project, "node_modules"), join(before, "node_modules"));
  await fine(sandbox("--detach", "--no-up"));
  network = new MacNetwork(await ready());
  const { port } = network.ready.ssh;
  await network.configure([
    ["macs", 0, "sshThroughTunnel"],
    { hostname: "ssh.example.com", port, servers: ["backend"] },
  ]);
  // With all three uploads of that version.
  await network.configure([["artifacts", "push"], true]);
  // That version has no setting for operators, and refuses what it does not know.
  const stack = parseDocument(await readFile(network.stackFile, "utf8"));
  stack.deleteIn(["config", "slm-network:access", "people", "operators"]);
  await writeFile(join(before, basename(network.stackFile)), stack.toString());
});
afterAll(async () => {
  if (!hasHistory) return;
  await client?.stop();
  console.log("report:", JSON.stringify(network?.report, null, 1));
  const ran = await sandbox("--reset");
  for (const copy of [before, later]) await rm(copy, { recursive: true, force: true });
  expect(ran.code, said(ran)).toBe(0);
  expect(await strays()).toEqual([]);
});

describe.skipIf(!hasHistory)("a Mac of the version before", () => {
  it("is taken over in place, under another name of the Mac, while callers go on", async () => {
    await fine(network.pulumiIn(before, {}, "up", "--yes", "--skip-preview"));
    client = await network.client();
    await eventually(() => client.answers(), 60_000);
    client.start();

    const former = await network.resources();
    await network.configure([["macs", 0, "name"], "studio-1"]);
    const preview = await fine(network.pulumi("preview", "--refresh"));
    expect(preview).toMatch(/the Mac: take the Mac over from command:remote:Command of the version before/);
    expect(preview).toMatch(/the Mac: upgrade the relay from release [0-9a-f]{12} to [0-9a-f]{12}/);
    expect(preview).not.toMatch(/to (delete|replace)/);
    // The only new resource: it waits at a destroy until Cloudflare counts no connection.
    expect(preview).toMatch(/\+ +\S+ slm-connections create/);
    expect(preview).toMatch(/\+ 1 to create/);
    await network.up();
    const now = (await network.resources()).filter(({ urn }) => !urn.endsWith("::slm-connections"));
    // The same things under other names: nothing was made or deleted but in the state.
    const ids = (of: typeof now) =>
      of.flatMap(({ id, type }) => (id === undefined || /^pulumi:providers:/.test(type) ? [] : [id])).sort();
    expect(ids(now)).toEqual(ids(former));
    expect(now.filter(({ urn }) => urn.includes("studio"))).toEqual([]);
    const installation = await installationOn(network.ready.macRoot);
    expect((await network.macState())?.outputs).toMatchObject({ installation, drift: [] });
    expect((await client.during("the takeover, with a new name")).failures).toEqual([]);
    await network.noDrift();
  });

  it("cannot be removed by the step that the former state held", async () => {
    const session = await network.session();
    // The text of that version's removal.
    const removal = `root=\${SLM_NETWORK_ROOT:-}; current=$root/usr/local/slm-network/current; "$current/bin/node" "$current/installer.mjs" remove --root "$root/"`;
    const ran = await session.run(["sudo", "-n", "/bin/sh", "-c", removal]);
    await session.close();
    expect(ran.exitCode).toBe(0);
    expect(ran.stdout + ran.stderr).toMatch(/nothing was removed/);
    expect(await exists(network.onMac("usr/local/slm-network/current"))).toBe(true);
  });

  it("stays installed under another name, and with --replace", async () => {
    await network.configure([["macs", 0, "name"], "studio-2"]);
    const former = await installationOn(network.ready.macRoot);
    const replaced = await network.up("--replace", network.installUrn);
    expect(replaced).toMatch(/nothing was removed: this Mac belongs to installation/);
    const installation = await installationOn(network.ready.macRoot);
    expect(installation).not.toBe(former);
    expect((await network.macState())?.outputs.installation).toBe(installation);
    expect((await client.during("a new name and --replace")).failures).toEqual([]);
    await network.noDrift();
  });

  it("is read, changed and removed by a version whose provider modules have moved", async () => {
    later = await mkdtemp(join(tmpdir(), "slm-version-later-"));
    for (const part of [
      "components",
      "policy",
      "runtime",
      "ssh",
      "accounts",
      "config",
      "program.mjs",
      "index.ts",
      "Pulumi.yaml",
      "package.json",
    ]) {
      await cp(join(project, part), join(later, part), { recursive: true });
    }
    await symlink(join(project, "node_modules"), join(later, "node_modules"));
    await cp(network.stackFile, join(later, basename(network.stackFile)));
    const at = (path: string) => join(later, "components", path);
    await mkdir(at("moved/mac"), { recursive: true });
    for (const [provider, user] of [
      ["mac/provider.ts", "mac/installation.ts"],
      ["ttl-collection-provider.ts", "ttl-collection.ts"],
    ] as const) {
      const text = await readFile(at(provider), "utf8");
      await writeFile(
        at(`moved/${provider}`),
        text.replaceAll(/(from |import |import\()"(\.\.?\/[^"]+)"/g, (_, before: string, path: string) => {
          const from = join("components", dirname(provider));
          return `${before}"${relative(join("components/moved", dirname(provider)), join(from, path))}"`;
        }),
      );
      // The old path, for one version.
      const now = relative(dirname(provider), join("moved", provider));
      await writeFile(at(provider), `export * from "${now.startsWith(".") ? now : `./${now}`}";\n`);
      const using = await readFile(at(user), "utf8");
      await writeFile(at(user), using.replaceAll(`/components/${provider}`, `/components/moved/${provider}`));
    }
    const inLater = (...args: string[]) => network.pulumiIn(later, {}, ...args);
    const preview = await fine(inLater("preview", "--refresh"));
    expect(preview).toMatch(/the Mac: note this version's provider in the state/);
    expect(preview).toMatch(/TtlCollection slm-documents update/);
    // A release built beside other node_modules has another hash, which is not tested here.
    expect(preview).not.toMatch(/to (create|delete|replace)/);
    await fine(inLater("up", "--yes", "--skip-preview"));
    // The version after that has no old path any more.
    for (const provider of ["mac/provider.ts", "ttl-collection-provider.ts"]) await rm(at(provider));
    await fine(inLater("preview", "--refresh", "--expect-no-changes"));
    expect((await client.during("a version whose provider modules have moved")).failures).toEqual([]);
  });

  it("is removed by destroy; only the data stays", async () => {
    await client.stop();
    await fine(network.pulumiIn(later, {}, "destroy", "--yes", "--skip-preview"));
    for (const path of [
      "usr/local/slm-network",
      "etc/slm-network",
      "Library/LaunchDaemons/local.slm-network.relay.plist",
    ]) {
      expect(await exists(network.onMac(path)), path).toBe(false);
    }
    expect(await exists(network.onMac("var/db/slm-network"))).toBe(true);
  });
});
