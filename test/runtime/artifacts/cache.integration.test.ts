import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { cachedArtifact } from "../../../runtime/artifacts/cache.ts";

const archive = Buffer.from("an archive");
const sha256 = createHash("sha256").update(archive).digest("hex");
let asked = 0;
const server = createServer((request, response) => {
  asked++;
  if (request.url === "/archive.tgz") response.end(archive);
  else response.writeHead(404).end();
});
let folder: string;
const url = (path: string) => `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "slm-artifacts-"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});
afterAll(async () => {
  await new Promise((resolve) => server.close(resolve));
  await rm(folder, { recursive: true, force: true });
});

it("downloads once, and again when what it has is not what it was", async () => {
  const path = await cachedArtifact(folder, { url: url("/archive.tgz"), sha256 });
  expect(await readFile(path)).toEqual(archive);
  expect(await cachedArtifact(folder, { url: url("/archive.tgz"), sha256 })).toBe(path);
  expect(asked).toBe(1);
  await writeFile(path, "damaged");
  await cachedArtifact(folder, { url: url("/archive.tgz"), sha256 });
  expect(await readFile(path)).toEqual(archive);
  expect(await readdir(folder)).toEqual([`${sha256}.tgz`]);
});

it("keeps nothing that is not what it should be, and says what went wrong", async () => {
  const other = "0".repeat(64);
  await expect(cachedArtifact(folder, { url: url("/archive.tgz"), sha256: other })).rejects.toThrow(
    `has sha256 ${sha256}, not ${other}: not used`,
  );
  await expect(cachedArtifact(folder, { url: url("/none"), sha256: other })).rejects.toThrow(
    /cannot get .*\/none \(HTTP 404\): is it on the internet/,
  );
  expect(await readdir(folder)).toEqual([`${sha256}.tgz`]);
});
