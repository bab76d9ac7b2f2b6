/** What real model servers do and emulated ones did not: found by the recordings, mended in the relay. */
import { describe, expect, it, onTestFinished } from "vitest";
import { type ModelServerOptions, startModelServer } from "../../../../sandbox/model/server.ts";
import { asServer, post, startTestRelay } from "../harness.ts";

async function relayBefore(plays: ModelServerOptions["plays"] & string) {
  const server = await startModelServer({ port: 0, log: () => {}, plays, tokensPerSecond: 500, firstTokenMs: 1 });
  onTestFinished(() => server.close());
  const kind = plays === "ollama" ? "ollama" : "openai";
  return startTestRelay(server.url, { model: { kind, url: server.url, embeddingModel: "bge-m3" } });
}

describe("the relay before a model server of the real form", () => {
  it.each(["ollama", "llama-server"] as const)("answers HEAD where %s answers GET only", async (plays) => {
    const relay = await relayBefore(plays);
    const paths = ["/v1/models", ...(plays === "ollama" ? ["/v1/models/slm-ko:latest", "/api/ps", "/api/tags"] : [])];
    for (const path of paths) {
      const answer = await fetch(relay.url + path, { method: "HEAD", headers: asServer });
      expect([path, answer.status, await answer.text()]).toEqual([path, 200, ""]);
      expect(answer.headers.get("content-type")).toMatch(/^application\/json/);
    }
  });

  it("counts the tokens of llama-server's stream whose caller did not ask for usage", async () => {
    const relay = await relayBefore("llama-server");
    const messages = [{ role: "user", content: "하나 둘 셋 넷 다섯 여섯 일곱 여덟" }];
    const answer = await post(relay, "/v1/chat/completions", { model: "m", messages, max_tokens: 5, stream: true });
    expect(await answer.text()).toContain('"predicted_n":5');
    const counted = /slm_tokens_total\{[^}]*kind="output"[^}]*\} (\d+)/;
    const metrics = async () => counted.exec(await (await fetch(`${relay.admin}/metrics`)).text())?.[1];
    await expect.poll(metrics).toBe("5");
  });
});
