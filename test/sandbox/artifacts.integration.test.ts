/** The archives that an emulated Mac downloads, packed by several sandboxes at the same time. */
import { createHash } from "node:crypto";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as tar from "tar";
import { expect, it, onTestFinished, vi } from "vitest";
import { type Artifact, serveArtifacts } from "../../sandbox/artifacts.ts";

it("serves what has the announced hash, whoever packed it", async () => {
  const folder = await mkdtemp(join(tmpdir(), "slm-artifacts-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  vi.stubEnv("SLM_NETWORK_CACHE", join(folder, "cache"));
  onTestFinished(() => void vi.unstubAllEnvs());
  const program = join(folder, "program");
  await writeFile(program, Buffer.alloc(4 * 1024 * 1024, "program"));
  const start = () => serveArtifacts({ port: 0, node: program, cloudflared: program, log: () => {} });
  const all = await Promise.all([start(), start(), start()]);
  onTestFinished(async () => void (await Promise.all(all.map((one) => one.close()))));
  const served = async ({ url }: Artifact) =>
    createHash("sha256")
      .update(Buffer.from(await (await fetch(url)).arrayBuffer()))
      .digest("hex");
  for (const { node, cloudflared } of all) {
    expect(await served(node)).toBe(node.sha256);
    expect(await served(cloudflared)).toBe(cloudflared.sha256);
  }
  // Nothing in an archive depends on when it was packed, so whoever packs it has the same bytes.
  const packed = join(folder, "cache/artifacts");
  for (const file of await readdir(packed)) {
    const times: number[] = [];
    await tar.list({ file: join(packed, file), onReadEntry: ({ mtime }) => times.push(mtime?.getTime() ?? 0) });
    expect(new Set(times)).toEqual(new Set([0]));
  }
});
