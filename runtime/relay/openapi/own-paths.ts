/** The relay's own endpoints as path items of OpenAPI. Pure. Source: https://spec.openapis.org/oas/v3.1.1.html */
import { z } from "zod";
import { putSchema, searchSchema } from "../documents/bodies.ts";
import * as answers from "./answers.ts";

/** An object of the document. */
export type Json = Readonly<Record<string, unknown>>;

/** Schemas under `#/components/schemas`. */
export const SCHEMAS = {
  Error: answers.errorAnswer,
  Job: answers.job,
  JobList: answers.jobList,
  JobDeleted: answers.jobDeleted,
  Document: answers.document,
  DocumentStored: answers.documentPut,
  DocumentList: answers.documentList,
  DocumentsDeleted: answers.documentDeleted,
  DocumentContents: putSchema,
  Search: searchSchema,
  SearchResult: answers.searchResult,
  Usage: answers.usage,
} as const satisfies Record<string, z.ZodType>;

type SchemaName = keyof typeof SCHEMAS;

/** A schema as JSON Schema: what may be sent, before defaults are filled in. */
export function schemaOf(name: SchemaName): Json {
  const { $schema: _, ...schema } = z.toJSONSchema(SCHEMAS[name], { target: "draft-2020-12", io: "input" });
  return schema;
}

const ref = (name: SchemaName): Json => ({ $ref: `#/components/schemas/${name}` });
const content = (name: SchemaName, type = "application/json"): Json => ({ [type]: { schema: ref(name) } });

/** The answer to everything that goes wrong. */
export const ERROR = { default: { $ref: "#/components/responses/Error" } };

const ok = (description: string, name: SchemaName): Json => ({ description, content: content(name) });
const parameter = (name: string, where: "query" | "header", description: string, schema: Json, required = false) => ({
  name,
  in: where,
  required,
  description,
  schema,
});
const query = (name: string, description: string, schema: Json = { type: "string" }, required = false) =>
  parameter(name, "query", description, schema, required);

const jobId = {
  name: "id",
  in: "path",
  required: true,
  description: "The job's id",
  schema: { type: "string", pattern: "^job_[0-9a-f]{32}$" },
};
const wait = parameter("Prefer", "header", "`wait=20`: waits for the end, 60 s at most", { type: "string" });
const limit = (most: number, unset: number) =>
  query("limit", `At most so many; ${unset} if left out`, {
    type: "integer",
    minimum: 1,
    maximum: most,
    default: unset,
  });

const company = query("company", "Trimmed and in Unicode NFC; 200 characters at most", { type: "string" }, true);
const title = query("title", "The same; 2,000 characters and 4,000 bytes of UTF-8 at most");
const version = query("version", "Another stored version is a miss", { type: "string", maxLength: 500 });
const include = query("include", "`chunks`, `vectors`, or both with a comma");
const encoding = query("encoding", "How vectors are written", { type: "string", enum: ["base64", "float"] });
const respondAsync = parameter(
  "Prefer",
  "header",
  "`respond-async`: answers 202 with a job; with `wait=20` waits for its end, 60 s at most",
  { type: "string" },
);
const idempotencyKey = parameter("Idempotency-Key", "header", "A repetition gets the same answer, or the same job", {
  type: "string",
  maxLength: 255,
});
const anything = { "application/octet-stream": { schema: {} } };

/** Paths of the relay itself, by path. */
export const OWN_PATHS: Readonly<Record<string, Json>> = {
  "/v1/jobs": {
    get: {
      operationId: "listJobs",
      tags: ["jobs"],
      summary: "Lists the caller's own jobs, the newest first",
      parameters: [
        query("state", "Only jobs in this state", { $ref: "#/components/schemas/Job/properties/state" }),
        limit(100, 20),
        query("after", "The `last_id` of the page before"),
      ],
      responses: { 200: ok("A page", "JobList"), ...ERROR },
    },
  },
  "/v1/jobs/{id}": {
    parameters: [jobId],
    get: {
      operationId: "getJob",
      tags: ["jobs"],
      summary: "Shows a job",
      parameters: [wait],
      responses: { 200: ok("The job", "Job"), ...ERROR },
    },
    delete: {
      operationId: "deleteJob",
      tags: ["jobs"],
      summary: "Cancels a job that waits or runs; removes one that has ended, with its result",
      responses: {
        200: {
          description: "The cancelled job, or what was removed",
          content: { "application/json": { schema: { oneOf: [ref("Job"), ref("JobDeleted")] } } },
        },
        ...ERROR,
      },
    },
  },
  "/v1/jobs/{id}/result": {
    parameters: [jobId],
    get: {
      operationId: "getJobResult",
      tags: ["jobs"],
      summary: "Answers as the model server answered the job: status, headers, body",
      parameters: [wait],
      responses: { 200: { description: "The answer; its status may be another", content: anything }, ...ERROR },
    },
  },
  "/v1/jobs/{id}/events": {
    parameters: [jobId],
    get: {
      operationId: "followJob",
      tags: ["jobs"],
      summary: "Sends the job at once and at each change, until its end",
      responses: { 200: { description: "`event: job`", content: content("Job", "text/event-stream") }, ...ERROR },
    },
  },
  "/v1/documents": {
    get: {
      operationId: "getDocument",
      tags: ["documents"],
      summary: "Finds a document without its text; without `title` lists documents",
      parameters: [
        { ...company, required: false },
        title,
        version,
        include,
        encoding,
        limit(1000, 100),
        query("after", "The `next` of the page before"),
        parameter("If-None-Match", "header", "An `ETag`", { type: "string" }),
      ],
      responses: {
        200: {
          description: "The document, or a page of documents",
          content: { "application/json": { schema: { oneOf: [ref("Document"), ref("DocumentList")] } } },
        },
        304: { description: "As `If-None-Match` has it" },
        ...ERROR,
      },
    },
    put: {
      operationId: "putDocument",
      tags: ["documents"],
      summary: "Stores a document; embeds only what is not stored yet",
      description: "With `Accept: text/event-stream` its progress comes as events.",
      parameters: [company, { ...title, required: true }, version, include, encoding, respondAsync, idempotencyKey],
      requestBody: { required: true, content: content("DocumentContents") },
      responses: {
        200: ok("As it was, or replaced", "DocumentStored"),
        201: ok("Created", "DocumentStored"),
        202: ok("A job, for `Prefer: respond-async`", "Job"),
        ...ERROR,
      },
    },
    delete: {
      operationId: "deleteDocuments",
      tags: ["documents"],
      summary: "Removes a document, or with `all=true` all of a company",
      parameters: [
        company,
        title,
        query("all", "Instead of a title", { type: "string", const: "true" }),
        idempotencyKey,
      ],
      responses: { 200: ok("How many", "DocumentsDeleted"), ...ERROR },
    },
  },
  "/v1/documents/search": {
    post: {
      operationId: "searchDocuments",
      tags: ["documents"],
      summary: "Finds the chunks nearest to a query, reranked if asked for",
      parameters: [respondAsync, idempotencyKey],
      requestBody: { required: true, content: content("Search") },
      responses: {
        200: ok("The best first", "SearchResult"),
        202: ok("A job, for `Prefer: respond-async`", "Job"),
        ...ERROR,
      },
    },
  },
  "/v1/usage": {
    get: {
      operationId: "getUsage",
      tags: ["usage"],
      summary: "Sums the caller's own usage",
      parameters: [
        query("from", "A day, a month or an RFC 3339 timestamp; the start of this month if left out"),
        query("to", "The same; the range ends before it; now if left out"),
        query("by", "What it is summed by", { type: "string", enum: ["company", "caller", "model", "day"] }),
      ],
      responses: { 200: ok("The sums", "Usage"), ...ERROR },
    },
  },
  "/openapi.json": {
    get: {
      operationId: "getOpenApi",
      tags: ["description"],
      summary: "This description",
      responses: {
        200: { description: "OpenAPI 3.1", content: { "application/json": { schema: { type: "object" } } } },
        ...ERROR,
      },
    },
  },
};
