/** Settings of the model server and of the fallback; part of `config.ts`. */
import { z } from "zod";
import { MODEL_SERVER_KINDS } from "./model-servers.ts";

const loadOptionRange = z.strictObject({ min: z.int().min(-1), max: z.int() });

/** Options that load the model again, so for all callers: which of them a caller may send, and from what to what. */
export const loadOptionsSchema = z.strictObject({
  num_ctx: loadOptionRange.optional(),
  num_batch: loadOptionRange.optional(),
  num_gpu: loadOptionRange.optional(),
  main_gpu: loadOptionRange.optional(),
  num_thread: loadOptionRange.optional(),
  use_mmap: z.literal(true).optional(),
  use_mlock: z.literal(true).optional(),
  /** Of LM Studio: seconds until an idle model is unloaded. */
  ttl: loadOptionRange.optional(),
});

/** The local model server. */
export const modelSchema = z.strictObject({
  kind: z.enum(MODEL_SERVER_KINDS),
  url: z.url({ protocol: /^https?$/ }),
  embeddingModel: z.string().min(1),
  /** Reranker for searches with `rerank`; absent: the name is left out, for a server that has one only. */
  rerankModel: z.string().min(1).optional(),
  /** Names of the models that may be called; absent means all that the server has. */
  allowed: z.array(z.string().min(1)).min(1).optional(),
  /** Load options that callers may send; absent means none. */
  options: loadOptionsSchema.optional(),
  /** In seconds. How long the relay waits for the model server before it gives a request up. */
  timeouts: z
    .strictObject({
      /** For the connection; 5 if it is not there. */
      connect: z.number().positive().max(60).optional(),
      /** For the answer's first byte, so for the whole of an answer that is not streamed; 900. */
      firstByte: z.number().positive().max(86_400).optional(),
      /** Between two pieces of an answer; 300. */
      silence: z.number().positive().max(86_400).optional(),
    })
    .optional(),
});

/** Another server that may take what would be turned away: any that speaks OpenAI's paths. */
export const fallbackSchema = z.strictObject({
  /** Without the /v1. */
  url: z.url({ protocol: /^https?$/ }),
  /** Takes the place of the model's name in the request; absent leaves the name as it is. */
  model: z.string().min(1).optional(),
  /** Companies that have agreed to have requests sent off-premises; `["*"]` is all. */
  companies: z.array(z.string().min(1)).min(1),
});

export type ModelConfig = z.infer<typeof modelSchema>;
export type FallbackConfig = z.infer<typeof fallbackSchema>;
