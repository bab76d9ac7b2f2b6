/** Fields that both stores keep under the same names and types; times are each store's own. */
import { z } from "zod";

/** Validates records, since they may have been edited by hand. */
export const storedNames = z.object({
  company: z.string(),
  title: z.string(),
  version: z.string().nullable(),
  fingerprint: z.string(),
  model: z.string(),
  dimensions: z.int(),
  textHash: z.string().nullable(),
  revision: z.string(),
  chunkCount: z.int(),
  bytes: z.int(),
});
