import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { measure } from "../../../commands/capacity/measure.ts";
import { readOptions } from "../../../commands/capacity/options.ts";
import { findTarget } from "../../../commands/capacity/target.ts";
import { type ModelServerOptions, startModelServer } from "../../../sandbox/model/server.ts";

const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function emulator(options: Partial<ModelServerOptions>) {
  const server = await startModelServer({ port: 0, log: () => {}, tokensPerSecond: 25, firstTokenMs: 80, ...options });
  ends.push(() => server.close());
  return server.url;
}

const short = ["--seconds", "1.5", "--answers", "10", "--prompt", "60", "--minutes", "4", "--most", "8"];
const never = new AbortController().signal;

describe("capacity on a server whose slots and speed are known", () => {
  it.each([
    [1, "openai"],
    [3, "ollama"],
  ] as const)("finds %i slots, to one, by its %s API", { timeout: 120_000 }, async (slots, api) => {
    const options = readOptions([...short, "--api", api]);
    const target = await findTarget(new URL(await emulator({ slots })), {}, options);
    expect(target).toMatchObject({ api, model: "slm-ko:latest" });
    const found = await measure(target, options, never);
    const { knee } = found.deciding!.sweep;
    expect(knee!.atOnce).toBeLessThanOrEqual(slots); // what waits is never written at the same time
    expect(knee!.atOnce).toBeGreaterThanOrEqual(slots === 1 ? 1 : slots - 1);
    // One at a time: 80 ms and then 25 tokens a second. Load on this machine can only make it slower.
    const [one] = found.deciding!.sweep.levels;
    expect(one!.ttft.p50).toBeGreaterThanOrEqual(75);
    expect(one!.perAnswer).toBeLessThan(28);
    expect(one!.perAnswer).toBeGreaterThan(12);
    expect(found.vectors).toMatchObject({ isReproducible: true });
    expect(found.endedBy).toBeUndefined();
  });

  it("tells a warm prompt from a cold one", { timeout: 120_000 }, async () => {
    for (const [promptPool, state] of [
      [true, "warm"],
      [false, "cold"],
    ] as const) {
      const url = await emulator({ slots: 2, promptTokensPerSecond: 1500, promptPool });
      const options = readOptions([...short, "--most", "1"]);
      const found = await measure(await findTarget(new URL(url), {}, options), options, never);
      expect(found.warm?.state).toBe(state);
    }
  });

  it("ends when its tokens are used up, and says so", { timeout: 60_000 }, async () => {
    const options = readOptions([...short, "--tokens", "100"]);
    const found = await measure(await findTarget(new URL(await emulator({ slots: 2 })), {}, options), options, never);
    expect(found.endedBy).toBe("tokens");
    expect(found.outputTokens).toBeLessThan(400);
  });
});

describe("the command", () => {
  it("reports what there is when Ctrl-C ends it, as JSON and as a page", { timeout: 120_000 }, async () => {
    const url = await emulator({ slots: 2 });
    const folder = await mkdtemp(join(tmpdir(), "slm-capacity-"));
    ends.push(() => rm(folder, { recursive: true }));
    const html = join(folder, "page.html");
    const program = join(import.meta.dirname, "../../../commands/capacity/main.ts");
    const child = spawn(process.execPath, [program, "--url", url, ...short, "--json", "--lang", "ko", "--html", html]);
    let [out, shown] = ["", ""];
    child.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => {
      shown += chunk.toString();
      // The first level is known when the second one begins.
      if (/ 2 at once/.test(shown)) child.kill("SIGINT");
    });
    const [code] = (await once(child, "exit")) as [number];
    expect(code).toBe(1);
    const json = z.looseObject({ endedBy: z.string(), sentences: z.array(z.string()) }).parse(JSON.parse(out));
    expect(json).toMatchObject({ endedBy: "user" });
    expect(json.sentences[0]).toMatch(/^동시에 \d건까지/);
    expect(await readFile(html, "utf8")).toContain("동시에");
  });

  it("says what is at an address that speaks neither API", async () => {
    const server = createServer((_, response) => response.writeHead(404).end("no")).listen(0, "127.0.0.1");
    await once(server, "listening");
    ends.push(async () => server.close());
    const address = server.address();
    const url = new URL(`http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`);
    await expect(findTarget(url, {}, {})).rejects.toThrow(/speaks OpenAI's or Ollama's API \(\/v1\/models answers 404/);
    await expect(findTarget(new URL(await emulator({})), {}, { model: "gpt" })).rejects.toThrow(
      /"gpt" is not at .*slm-ko/,
    );
  });
});
