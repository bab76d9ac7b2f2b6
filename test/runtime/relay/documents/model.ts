/** A model server for documents: deterministic vectors, and an account of every text it was asked to embed. */
import { createHash } from "node:crypto";
import { onTestFinished } from "vitest";
import { z } from "zod";
import { type Model, startModel } from "../harness.ts";

export const DIMENSIONS = 8;

/** The vector the model has for a text; another `digest` is another model. */
export function vectorOf(text: string, digest = "one", dimensions = DIMENSIONS): number[] {
  const bytes = createHash("sha512").update(`${digest} ${text}`).digest();
  const vector = Array.from({ length: dimensions }, (_, i) => (bytes[i % 64] ?? 0) - 127.5);
  const length = Math.hypot(...vector);
  return [...new Float32Array(vector.map((value) => value / length))];
}

export interface EmbeddingModel extends Model {
  /** Inputs of each call that embeds. */
  readonly calls: string[][];
  digest: string;
  /** White space that each answer with vectors begins with. */
  pad: number;
  /** Answers with vectors of `DIMENSIONS` whatever is asked for. */
  ignoresDimensions: boolean;
  /** Called before a call is answered; may wait, or throw to make it fail with 400. */
  before: (inputs: readonly string[]) => void | Promise<void>;
}

const bodySchema = z.looseObject({ input: z.union([z.string(), z.array(z.string())]), dimensions: z.int().optional() });

export async function startEmbeddingModel(port = 0): Promise<EmbeddingModel> {
  const calls: string[][] = [];
  const state: Pick<EmbeddingModel, "digest" | "pad" | "before" | "ignoresDimensions"> = {
    digest: "one",
    pad: 0,
    before: () => {},
    ignoresDimensions: false,
  };
  const model = await startModel(({ url, body }, res) => {
    const json = (value: unknown, status = 200) =>
      void res
        .writeHead(status, { "Content-Type": "application/json" })
        .end(
          Buffer.concat([Buffer.alloc(url === "/api/tags" ? 0 : state.pad, " "), Buffer.from(JSON.stringify(value))]),
        );
    if (url === "/api/tags") return json({ models: [{ name: "embed:latest", digest: state.digest }] });
    const { input, dimensions } = bodySchema.parse(JSON.parse(body.toString()));
    const inputs = typeof input === "string" ? [input] : input;
    calls.push(inputs);
    const { digest } = state;
    void (async () => {
      try {
        await state.before(inputs);
      } catch (cause) {
        return json({ error: String(cause) }, 400);
      }
      const vectors = inputs.map((text) => vectorOf(text, digest, state.ignoresDimensions ? DIMENSIONS : dimensions));
      if (url === "/api/embed") return json({ embeddings: vectors, prompt_eval_count: inputs.length });
      const data = vectors.map((embedding, index) => ({ object: "embedding", index, embedding }));
      json({ object: "list", data, usage: { prompt_tokens: inputs.length } });
    })();
  }, port);
  onTestFinished(() => model.close());
  return Object.assign(state, model, { calls });
}
