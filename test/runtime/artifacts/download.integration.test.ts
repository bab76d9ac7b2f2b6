import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { download, unreachable } from "../../../runtime/artifacts/download.ts";
import { claimPort } from "../../../sandbox/machine/ports.ts";
import { cut } from "../../sandbox/vendors.ts";

const body = Buffer.alloc(200_000, "an archive ");
const sha256 = createHash("sha256").update(body).digest("hex");
let folder: string;
let asked: number;
let answer: (response: ServerResponse, times: number) => void;
const server = createServer((request, response) => {
  if (request.method === "HEAD") return void response.writeHead(302, { location: "http://127.0.0.1:1/" }).end();
  asked += 1;
  answer(response, asked);
});
let url: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "slm-download-"));
  for (const name of ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"]) {
    vi.stubEnv(name, undefined);
  }
  asked = 0;
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/archive.tgz`;
});
afterEach(async () => {
  vi.unstubAllEnvs();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await rm(folder, { recursive: true, force: true });
});

const quick = { pauseMs: 1 };
const get = (bounds = {}) => download(url, join(folder, "file"), { ...quick, ...bounds });

describe("a download", () => {
  it("tries again when the transfer is cut, and has the whole file then", async () => {
    answer = (response, times) => (times < 3 ? cut(response, body) : void response.end(body));
    const seen: (number | undefined)[] = [];
    expect(await get({ onProgress: (received: number, total?: number) => seen.push(received, total) })).toBe(sha256);
    expect(await readFile(join(folder, "file"))).toEqual(body);
    expect(asked).toBe(3);
    expect(seen).toContain(body.length);
  });

  it("tries again when the server is overloaded, but not for a file that is not there", async () => {
    answer = (response, times) => void (times < 2 ? response.writeHead(503).end() : response.end(body));
    expect(await get()).toBe(sha256);
    answer = (response) => void response.writeHead(404).end();
    asked = 0;
    await expect(get()).rejects.toThrow(/^HTTP 404$/);
    expect(asked).toBe(1);
  });

  it("gives up after three tries, and says why", async () => {
    answer = (response) => cut(response, body);
    await expect(get()).rejects.toThrow(/^(?!terminated).*; tried 3 times$/);
    expect(asked).toBe(3);
  });

  it("gives up on silence, and on a transfer that never ends", async () => {
    answer = (response) => {
      response.writeHead(200, { "content-length": body.length });
      response.write("an ");
    };
    await expect(get({ idleMs: 300, attempts: 2 })).rejects.toThrow(/tried 2 times$/);
    expect(asked).toBe(2);
    answer = (response) => {
      const drip = setInterval(() => response.write("an "), 20);
      response.once("close", () => clearInterval(drip));
    };
    await expect(get({ withinMs: 1_000 })).rejects.toThrow("not complete within 1 s");
  });
});

describe("a proxy", () => {
  it("of the environment is asked for what NO_PROXY does not name", async () => {
    answer = (response) => void response.end(body);
    const dialled: string[] = [];
    const proxy = createServer((request, response) => {
      dialled.push(request.url ?? "");
      response.end(body);
    });
    proxy.on("connect", (request, socket) => {
      dialled.push(request.url ?? "");
      socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    try {
      vi.stubEnv("HTTP_PROXY", `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`);
      await get({ attempts: 1 }).catch(() => {});
      expect(dialled).toHaveLength(1);
      vi.stubEnv("NO_PROXY", "localhost,127.0.0.1");
      expect(await get()).toBe(sha256);
      expect(dialled).toHaveLength(1);
    } finally {
      proxy.closeAllConnections();
      await new Promise((resolve) => proxy.close(resolve));
    }
  });
});

it("a site is reachable when it answers at all; otherwise the reason is told", async () => {
  expect(await unreachable(url)).toBeUndefined();
  expect(await unreachable(`http://127.0.0.1:${await claimPort()}/x`)).toMatch(/ECONNREFUSED/);
  expect(await unreachable("http://no-such-host.invalid/x")).toMatch(/ENOTFOUND|EAI_AGAIN|no answer within/);
});
