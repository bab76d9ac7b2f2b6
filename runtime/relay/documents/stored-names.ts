/** What both stores keep of a document under the same names and types; times are each store's own. */
import { z } from "zod";

/** Checks what comes back from a store: somebody may have changed it by hand. */
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
