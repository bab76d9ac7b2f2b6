/**
 * What the relay's own endpoints answer, as schemas: `/openapi.json` is made from them, and tests hold real answers to them.
 * Objects are strict: a field that an answer has and its schema does not fails a test.
 */
import { z } from "zod";
import { ERRORS } from "../errors.ts";

const time = z.iso.datetime().describe("RFC 3339, UTC");
const jobId = z.string().regex(/^job_[0-9a-f]{32}$/);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const state = z.enum(["queued", "in_progress", "completed", "failed", "cancelled"]);

export const errorAnswer = z.strictObject({
  error: z.strictObject({
    message: z.string().describe("What was wrong and what to do"),
    type: z.enum(["invalid_request_error", "permission_error", "rate_limit_error", "server_error"]),
    code: z.string().describe(`Stable; of the relay: ${Object.keys(ERRORS).join(", ")}`),
    param: z.null(),
  }),
});

export const job = z.strictObject({
  id: jobId,
  object: z.literal("job"),
  state,
  path: z.string().describe("The path that was called"),
  created_at: time,
  started_at: time.nullable(),
  finished_at: time.nullable(),
  expires_at: time.describe("When it is removed, finished or not"),
  place: z.int().min(1).nullable().describe("In the queue; null unless it waits"),
  expected_wait_seconds: z.number().nullable(),
  received_bytes: z.int().nullable().describe("Of the answer, while it runs"),
  attempts_used: z.int(),
  attempts_max: z.int(),
  attempts: z.array(
    z.strictObject({
      id: z.string(),
      started_at: time,
      ended_at: time.nullable(),
      outcome: z.string().nullable(),
      detail: z.string().nullable(),
      counted: z.boolean().describe("Whether it counts against attempts_max"),
    }),
  ),
  metadata: z.record(z.string().max(64), z.string().max(512)).describe("As the request's body had it"),
  error: z.strictObject({ code: z.string(), message: z.string() }).nullable(),
  result: z
    .strictObject({ href: z.string(), status: z.int(), bytes: z.int(), sha256 })
    .nullable()
    .describe("Null while there is none"),
  events: z.string().describe("Path of its events"),
});

export const jobList = z.strictObject({
  object: z.literal("list"),
  data: z.array(job),
  first_id: jobId.nullable(),
  last_id: jobId.nullable().describe("Goes into `after` for the next page"),
  has_more: z.boolean(),
});

export const jobDeleted = z.strictObject({ id: jobId, object: z.literal("job.deleted"), deleted: z.literal(true) });

const deprecated = <T extends z.ZodType>(schema: T) => schema.meta({ deprecated: true });

const documentFields = {
  object: z.literal("document"),
  company: z.string(),
  title: z.string(),
  version: z.string().nullable(),
  fingerprint: z.string().describe("Of model and settings that made the vectors"),
  model: z.string(),
  dimensions: z.int(),
  chunk_count: z.int(),
  bytes: z.int(),
  created_at: time,
  last_accessed_at: time,
  expires_at: time,
  chunkCount: deprecated(z.int()),
  createdAt: deprecated(time),
  lastAccessedAt: deprecated(time),
  expiresAt: deprecated(time),
};

const documentData = z
  .array(
    z.strictObject({
      index: z.int(),
      text: z.string().optional(),
      vector: z.union([z.string(), z.array(z.number())]).optional(),
    }),
  )
  .optional()
  .describe("With `include`; vectors are base64 of little-endian float32, or lists with `encoding=float`");

export const document = z.strictObject({ ...documentFields, data: documentData });

export const documentPut = z.strictObject({
  ...documentFields,
  created: z.boolean(),
  embedded: z.int().describe("Chunks that were embedded"),
  reused: z.int().describe("Chunks whose vectors were stored already"),
  stored: z.boolean().describe("False: the store is unavailable, or a removal came in between"),
  data: documentData,
});

export const documentList = z.strictObject({
  object: z.literal("list"),
  data: z.array(z.strictObject(documentFields)),
  next: z.string().nullable().describe("Goes into `after` for the next page"),
});

export const documentDeleted = z.strictObject({
  object: z.literal("document.deleted"),
  company: z.string(),
  deleted: z.int(),
});

const usageSums = {
  calls: z.int().describe("Calls, runs of jobs and requests for documents that ended"),
  errors: z.int().describe("Of them, those that failed"),
  refused: z.int().describe("Of them, those refused with 429"),
  tokens_in: z.int().describe("Of prompts, those of the model server's cache included"),
  tokens_cached: z.int().describe("Of tokens_in, those that the model server said came from its cache"),
  tokens_out: z.int(),
  tokens_embedded: z.int().describe("Read by an embedding model or a reranker; not in tokens_in"),
  embedding_calls: z.int().describe("Calls to the embedding model for documents and searches"),
  cache_hits: z.int().describe("Requests answered with what was stored"),
  seconds_spared: z.number().describe("What embedding the reused texts would have taken"),
  seconds: z.number().describe("Duration of all of them together"),
};

export const usage = z.strictObject({
  object: z.literal("usage"),
  from: time,
  to: time.describe("The range ends before it"),
  time_zone: z.string().describe("Where days and months begin"),
  by: z.enum(["company", "caller", "model", "day"]).nullable(),
  data: z.array(
    z.strictObject({
      company: z.string().nullable().optional().describe("With `by=company`; null for requests that name none"),
      caller: z.string().nullable().optional(),
      model: z.string().nullable().optional(),
      day: z.iso.date().nullable().optional(),
      ...usageSums,
    }),
  ),
  total: z.strictObject(usageSums),
});

export const searchResult = z.strictObject({
  object: z.literal("list"),
  data: z.array(
    z.strictObject({
      title: z.string(),
      index: z.int().describe("Place of the chunk in its document"),
      score: z.number().describe("Cosine, -1 to 1"),
      relevance_score: z.number().optional().describe("The reranker's, with `rerank`"),
      text: z.string(),
    }),
  ),
  missing: z.array(z.string()).describe("Titles that are not stored"),
  usage: z.strictObject({ prompt_tokens: z.int(), total_tokens: z.int() }),
});
