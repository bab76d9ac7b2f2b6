import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import { afterEach, describe, expect, it } from "vitest";
import { chooseModel } from "../../../sandbox/model/choose.ts";
import { startModelServer } from "../../../sandbox/model/server.ts";

const NOBODY = "http://127.0.0.1:1";
const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  ends.push(async () => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  return `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`;
}

async function choose(env: NodeJS.ProcessEnv, ollamaUrl = NOBODY) {
  const logged: string[] = [];
  const chosen = await chooseModel({ port: 0, log: (line) => logged.push(line), env, ollamaUrl });
  ends.push(() => chosen.close());
  return { ...chosen, logged };
}

describe("choosing a model server", () => {
  it("starts its own where there is none, and ends it", async () => {
    const chosen = await choose({});
    expect(chosen).toMatchObject({ kind: "ollama", chatModel: "slm-ko:latest", embeddingModel: "bge-m3:latest" });
    expect(chosen.logged).toHaveLength(1);
    expect((await fetch(`${chosen.url}/api/version`)).status).toBe(200);
    await chosen.close();
    await expect(fetch(`${chosen.url}/api/version`)).rejects.toThrow();
  });

  it("uses an Ollama that answers and has a model", async () => {
    const ollama = await startModelServer({ port: 0, log: () => {} });
    ends.push(() => ollama.close());
    const chosen = await choose({}, ollama.url);
    expect(chosen).toMatchObject({
      url: ollama.url,
      kind: "ollama",
      chatModel: "slm-ko:latest",
      embeddingModel: "bge-m3:latest",
    });
    await chosen.close();
    expect((await fetch(`${ollama.url}/api/version`)).status).toBe(200); // not ours to end
  });

  it("is the emulator when that is named, which says what it is and how to have a real one", async () => {
    const ollama = await startModelServer({ port: 0, log: () => {} });
    ends.push(() => ollama.close());
    const chosen = await choose({ SANDBOX_MODEL: "emulator" }, ollama.url);
    expect(chosen.url).not.toBe(ollama.url);
    expect(chosen.logged.join()).toMatch(/an emulator, which computes nothing.*--model real/);
  });

  it("refuses a word that is no choice", async () => {
    await expect(choose({ SANDBOX_MODEL: "gpt" })).rejects.toThrow(
      /SANDBOX_MODEL is "gpt": it must be one of auto, emulator, real/,
    );
  });

  it("passes over an Ollama without a model, and one that does not answer in time", async () => {
    const empty = await serve((request, response) => {
      response.setHeader("content-type", "application/json");
      response.end(request.url === "/api/version" ? '{"version":"0.13.0"}' : '{"models":[]}');
    });
    expect((await choose({}, empty)).url).not.toBe(empty);
    const silent = await serve(() => {});
    expect((await choose({}, silent)).url).not.toBe(silent);
  });

  it("uses what SANDBOX_MODEL_URL names, an OpenAI server too", async () => {
    const url = await serve((request, response) => {
      if (request.url !== "/v1/models") return void response.writeHead(404).end();
      response
        .setHeader("content-type", "application/json")
        .end('{"object":"list","data":[{"id":"text-embedding-e5"},{"id":"qwen"}]}');
    });
    expect(await choose({ SANDBOX_MODEL_URL: `${url}/` })).toMatchObject({
      url,
      kind: "openai",
      chatModel: "qwen",
      embeddingModel: "text-embedding-e5",
    });
    const named = await choose({ SANDBOX_MODEL_URL: url, SANDBOX_CHAT_MODEL: "a", SANDBOX_EMBEDDING_MODEL: "b" });
    expect(named).toMatchObject({ chatModel: "a", embeddingModel: "b" });
  });

  it("does not fall back quietly when SANDBOX_MODEL_URL does not answer", async () => {
    await expect(choose({ SANDBOX_MODEL_URL: NOBODY })).rejects.toThrow(
      /SANDBOX_MODEL_URL is http:\/\/127\.0\.0\.1:1, but no model server of a known kind answers/,
    );
  });
});
