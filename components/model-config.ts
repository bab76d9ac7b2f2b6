/** The part of the stack's config about the model server, and the one that may stand in for it: `model` and `fallback`. */
import { z } from "zod";
import { fallbackSchema, modelSchema } from "../runtime/config.ts";
import { because } from "./config-words.ts";

/** `model` of the stack's config. */
export const modelConfigSchema = z
  .object({
    kind: modelSchema.shape.kind.default("ollama"),
    url: z
      .url({ protocol: /^https?$/, error: "is no http(s) address, e.g. http://127.0.0.1:11434" })
      .default("http://127.0.0.1:11434"),
    embeddingModel: z
      .string(because("is missing: the embedding model's name on the model server, e.g. bge-m3"))
      .min(1, because("is empty: e.g. bge-m3")),
    allowed: modelSchema.shape.allowed,
    timeouts: modelSchema.shape.timeouts,
  })
  .strict();

/** `fallback` of the stack's config. */
export const fallbackConfigSchema = fallbackSchema.extend({
  url: z
    .url({ protocol: /^https?$/, error: "is no http(s) address, e.g. https://api.openai.com" })
    .refine(
      (url) => !/\/v1\/*$/.test(url),
      because("ends with /v1: leave that out, the relay adds it, e.g. https://api.openai.com"),
    ),
  companies: z
    .array(
      z.string().min(1, because("a company's name is empty: take it out or name it")),
      because("is missing: list the companies that agreed that their requests leave the house"),
    )
    .min(1, because("is empty: list the companies that agreed, or take the whole of `fallback` out")),
});
