/** Real answers of the relay, held to the schemas that `/openapi.json` is made from. */
import { describe, expect, it } from "vitest";
import type { z } from "zod";
import * as answers from "../../../../runtime/relay/openapi/answers.ts";
import { startEmbeddingModel } from "../documents/model.ts";
import { at, call, startDocumentsRelay } from "../documents/relays.ts";
import { asServer, post, startModel, startTestRelay } from "../harness.ts";

const fits = (schema: z.ZodType, value: unknown) => expect(schema.safeParse(value).error?.issues ?? []).toEqual([]);

describe("answers are as they are described", () => {
  it("of documents", async () => {
    const relay = await startDocumentsRelay((await startEmbeddingModel()).url);
    fits(answers.documentPut, (await call(relay, "PUT", at("국민", "a"), { text: "가", version: "1" })).body);
    fits(answers.document, (await call(relay, "GET", at("국민", "a", { include: "chunks,vectors" }))).body);
    fits(answers.document, (await call(relay, "GET", at("국민", "a", { include: "vectors", encoding: "float" }))).body);
    fits(answers.documentList, (await call(relay, "GET", "/v1/documents?limit=1")).body);
    const wanted = { company: "국민", titles: ["a", "b"], query: "가" };
    fits(answers.searchResult, (await call(relay, "POST", "/v1/documents/search", wanted)).body);
    fits(answers.documentDeleted, (await call(relay, "DELETE", at("국민", "a"))).body);
    fits(answers.errorAnswer, (await call(relay, "GET", at("국민", "a"))).body);
  });

  it("of jobs, and the description itself, which needs a token", async () => {
    const model = await startModel(({ body }, res) => void res.writeHead(body.includes("bad") ? 400 : 200).end("{}"));
    const relay = await startTestRelay(model.url);
    const ask = async (path: string, init: RequestInit = {}): Promise<unknown> =>
      (await fetch(relay.url + path, { ...init, headers: { ...asServer, Prefer: "wait=20" } })).json();
    const ids: string[] = [];
    for (const text of ["good", "bad"]) {
      const made = await post(
        relay,
        "/v1/chat/completions",
        { text, metadata: { k: "값" } },
        { headers: { Prefer: "respond-async" } },
      );
      const job = (await made.json()) as { id: string };
      fits(answers.job, job);
      fits(answers.job, await ask(`/v1/jobs/${job.id}`));
      ids.push(job.id);
    }
    fits(answers.jobList, await ask("/v1/jobs"));
    fits(answers.jobDeleted, await ask(`/v1/jobs/${ids[0]}`, { method: "DELETE" }));
    fits(answers.errorAnswer, await ask("/v1/jobs?limit=0"));

    expect(await ask("/openapi.json")).toMatchObject({
      openapi: "3.1.0",
      servers: [{ url: "https://slm.example.com" }],
    });
    expect((await fetch(`${relay.url}/openapi.json`)).status).toBe(403);
  });
});
