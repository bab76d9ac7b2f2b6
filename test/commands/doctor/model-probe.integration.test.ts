/** The doctor's probe of the model server: its command run as on the Mac, against the emulator and servers with a fault. */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { promisify } from "node:util";
import { describe, expect, it, onTestFinished } from "vitest";
import type { Answer } from "../../../commands/doctor/check.ts";
import { modelProbe, repeatedPrompts, reproducibleVectors } from "../../../commands/doctor/checks/model-probe.ts";
import { modelSlots } from "../../../commands/doctor/checks/model-slots.ts";
import { limitsSchema } from "../../../runtime/limits-config.ts";
import { type ModelServerOptions, startModelServer } from "../../../sandbox/model/server.ts";
import { evaluate } from "./evaluate.ts";

const run = promisify(execFile);
const limits = limitsSchema.parse({ chat: 2 });

async function emulator(options: Partial<ModelServerOptions>): Promise<string> {
  const server = await startModelServer({
    port: 0,
    log: () => {},
    slots: 2,
    tokensPerSecond: 500,
    firstTokenMs: 5,
    ...options,
  });
  onTestFinished(() => server.close());
  return server.url;
}

const concluded = (probe: Answer) => ({
  prompts: evaluate(repeatedPrompts, { probe }),
  vectors: evaluate(reproducibleVectors, { probe }),
});

/** What the doctor finds by its command, run by a shell as on the Mac. */
async function found(url: string, embeddingModel = "bge-m3:latest") {
  const command = modelProbe(`'${process.execPath}'`, { model: { kind: "ollama", url, embeddingModel }, limits });
  const { stdout, stderr } = await run("/bin/sh", ["-c", command]);
  const answer: Answer = { exitCode: 0, stdout, stderr };
  return concluded(answer);
}

describe("the probe of the model server", () => {
  it("tells whether a repeated prompt is warm", { timeout: 60_000 }, async () => {
    const slow = { promptTokensPerSecond: 3000 };
    expect((await found(await emulator({ ...slow, promptPool: true }))).prompts).toMatchObject({
      level: "ok",
      found: /from the cache/,
    });
    const { prompts } = await found(await emulator({ ...slow, promptPool: false }));
    expect(prompts).toMatchObject({ level: "warn", found: /computed again/, todo: /--cache-ram/ });
    // llama-server says it, whatever the times.
    const told = await found(
      await emulator({ plays: "llama-server", promptPool: true, promptTokensPerSecond: 1e6 }),
      "slm-ko:latest",
    );
    expect(told.prompts.found).toMatch(/from the cache/);
  });

  it("tells whether vectors can be reproduced", { timeout: 60_000 }, async () => {
    expect((await found(await emulator({}))).vectors).toMatchObject({ level: "ok", found: /cosine 1\.0000/ });
    // A server whose vectors depend on how many it has made.
    let made = 0;
    const server = createServer((request, response) => {
      request.resume().on("end", () => {
        made += 1;
        const data = [{ embedding: [1, made, 0] }];
        response.setHeader("content-type", "application/json").end(JSON.stringify({ data }));
      });
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    onTestFinished(() => void server.close());
    const { vectors } = await found(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    expect(vectors).toMatchObject({ level: "warn", todo: /embedding model proper/ });
  });

  it("says that it is not known, and why, when the server does not answer", async () => {
    const { prompts, vectors } = await found("http://127.0.0.1:1");
    expect(prompts).toMatchObject({ level: "ok", found: /unknown \(fetch failed/ });
    expect(vectors).toMatchObject({ level: "ok", found: /unknown/ });
    const gone = concluded({ exitCode: 127, stdout: "", stderr: "sh: node: not found" });
    expect([gone.prompts.level, gone.vectors.level]).toEqual(["warn", "warn"]);
  });

  it("compares llama-server's own slots with what the relay sends", async () => {
    const url = await emulator({ plays: "llama-server", slots: 2 });
    const props = await (await fetch(`${url}/props`)).text();
    const model = { kind: "openai", url, embeddingModel: "m" } as const;
    const answers = { props: { exitCode: 0, stdout: props, stderr: "" } };
    expect(evaluate(modelSlots, answers, { model, limits })).toMatchObject({ level: "ok", found: /works on 2/ });
    expect(evaluate(modelSlots, answers, { model, limits: { ...limits, chat: 5 } })).toMatchObject({
      level: "warn",
      todo: /--parallel 5/,
    });
  });
});
