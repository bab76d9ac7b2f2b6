/** Documents through edge, Access, cloudflared, relay and the sandbox's MongoDB. */
import { beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import type { Ready } from "../../../sandbox/ready.ts";
import { openai, ready, tokenHeaders } from "../harness.ts";

let here: Ready;
const embedded = async () =>
  z.object({ embeddedInputs: z.int() }).parse(await (await fetch(`${here.model}/sandbox/requests`)).json())
    .embeddedInputs;
const at = (title: string, more = "") =>
  `${here.url}/v1/documents?company=${encodeURIComponent("가나상사")}&title=${encodeURIComponent(title)}${more}`;
const call = (method: string, url: string, body?: unknown) =>
  fetch(url, {
    method,
    headers: { ...tokenHeaders(here), "content-type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
const text = "계약은 2026년에 시작한다. 대금은 매월 말일에 지급한다.";

/** Registers the tests of documents. */
export function documents(): void {
  beforeAll(async () => {
    here = await ready();
  });

  describe("a document through the whole network", () => {
    it("is embedded once, and found by its name from then on", async () => {
      const before = await embedded();
      expect((await call("GET", at("계약서.hwp"))).status).toBe(404);
      expect((await call("PUT", at("계약서.hwp"), { text })).status).toBe(201);
      const found = await call("GET", at("계약서.hwp".normalize("NFD"), "&include=vectors"));
      expect(found.status).toBe(200);
      expect(await found.json()).toMatchObject({ chunkCount: 1, dimensions: 1024, data: [{ index: 0 }] });
      const again = await call("PUT", at("계약서.hwp"), { text });
      expect(await again.json()).toMatchObject({ embedded: 0, stored: true });
      expect(await embedded()).toBe(before + 1);
    });

    it("is never kept by Cloudflare's cache, though its title ends in .pdf", async () => {
      // A miss that was cached would hide the document for minutes, a hit would hide uses and answer other callers.
      const missed = await call("GET", at("보고서.pdf"));
      expect([missed.status, missed.headers.get("cf-cache-status")]).toEqual([404, "DYNAMIC"]);
      await call("PUT", at("보고서.pdf"), { text });
      for (let i = 0; i < 3; i++) {
        const found = await call("GET", at("보고서.pdf"));
        expect(found.status).toBe(200);
        expect(found.headers.get("cache-control")).toBe("no-store, no-transform");
        expect(found.headers.get("cf-cache-status")).not.toBe("HIT");
      }
      await call("DELETE", at("보고서.pdf"));
      expect((await call("GET", at("보고서.pdf"))).status).toBe(404);
      // The edge does cache by the path's extension when it may: in the path, a title would be at its mercy.
      const inPath = await call("GET", `${here.url}/v1/documents/${encodeURIComponent("보고서.pdf")}`);
      expect([inPath.status, inPath.headers.get("cf-cache-status")]).not.toContain("HIT");
      expect(inPath.status).toBe(404);
      expect(await inPath.text()).toContain("not_found");
    });

    it("is taken by OpenAI's client with two headers, batch by batch", async () => {
      const client = openai(here).withOptions({
        defaultHeaders: {
          ...tokenHeaders(here),
          "Slm-Company": encodeURIComponent("가나상사"),
          "Slm-Document": encodeURIComponent("회의록 😀.docx"),
        },
      });
      const embed = async (input: string[]) =>
        (await client.embeddings.create({ model: here.embeddingModel, input })).data.map((one) => one.embedding);
      const before = await embedded();
      const [first, second] = await embed(["하나", "둘"]);
      expect(await embed(["둘", "셋", "하나"])).toEqual([second, expect.any(Array), first]);
      expect(await embedded()).toBe(before + 3);
    });

    it("is searched", async () => {
      await call("PUT", at("조항"), { chunks: ["대금은 말일에", "기간은 일 년", "해지는 서면으로"] });
      const found = await call("POST", `${here.url}/v1/documents/search`, {
        company: "가나상사",
        title: "조항",
        query: "해지는 서면으로",
        k: 2,
      });
      expect(await found.json()).toMatchObject({ data: [{ index: 2, text: "해지는 서면으로" }, {}], missing: [] });
    });
  });
}
