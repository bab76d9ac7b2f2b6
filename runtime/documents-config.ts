/** Settings of document vectors; part of `config.ts`. */
import { z } from "zod";

/** `documents.ttlDays` of a stack that does not set it. */
export const DEFAULT_TTL_DAYS = 30;
/** Under a day documents expire before they are useful; over a year they are stale. */
export const MIN_TTL_DAYS = 1;
export const MAX_TTL_DAYS = 365;

/** Storage, lifetime and creation of document vectors. */
export const documentsSchema = z.strictObject({
  store: z.enum(["atlas", "embedded"]),
  /** Days after its last use when a document is forgotten. */
  ttlDays: z.int().min(MIN_TTL_DAYS).max(MAX_TTL_DAYS),
  database: z.string().min(1).optional(),
  collection: z.string().min(1).optional(),
  /** How the embedding model is asked. Another value of any of these makes every stored vector a miss. */
  embedding: z
    .strictObject({
      /** Names the model's state where the model server has no digest (kind `openai`): change it with the model. */
      revision: z.string().min(1).max(100).optional(),
      /** Asks the model for this many dimensions; absent means its own. */
      dimensions: z.int().min(1).max(16_384).optional(),
      /** Many models want "query: " before what is searched for and "passage: " before what is searched in. */
      queryPrefix: z.string().max(1000).optional(),
      documentPrefix: z.string().max(1000).optional(),
      /** Brings vectors to length one. On unless said otherwise. */
      normalize: z.boolean().optional(),
    })
    .optional(),
  /** How a text is cut; 1,000 characters with an overlap of 120 unless said otherwise. */
  chunk: z
    .strictObject({ characters: z.int().min(100).max(20_000), overlap: z.int().min(0).max(10_000) })
    .refine(({ characters, overlap }) => overlap <= characters / 2, {
      path: ["overlap"],
      error: "is over half of characters: most of a text would be embedded twice",
    })
    .optional(),
  /** Bound on the embedded store's file; 4096 if it is not there. */
  maxDiskMiB: z.int().min(64).max(1_048_576).optional(),
  /** The older name of `limits.companies.default.embeddingTokensPerDay`, which counts if both are set. */
  tokensPerCompanyPerDay: z.int().min(1).optional(),
});

export type DocumentsConfig = z.infer<typeof documentsSchema>;
