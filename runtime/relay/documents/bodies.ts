/** What callers send about documents: queries and bodies, checked. Pure. */
import { z } from "zod";
import { type DocumentKey, readName } from "../access/names.ts";
import { RelayError } from "../errors.ts";
import type { Source } from "./pieces.ts";
import { floatsOf } from "./vectors.ts";

const versionSchema = z
  .string()
  .min(1)
  .max(500)
  .refine((text) => text.isWellFormed(), "is not UTF-8");

/** A field that may be left out. Clients in typed languages send null for what they leave out. */
const optional = <T extends z.ZodType>(schema: T) => schema.nullish().transform((value) => value ?? undefined);

/** Body of `PUT /v1/documents`. */
export const putSchema = z
  .strictObject({
    text: optional(z.string()),
    chunks: optional(z.array(z.string().min(1)).min(1).max(100_000)),
    version: optional(versionSchema),
  })
  .refine(({ text, chunks }) => (text === undefined) !== (chunks === undefined), 'give either "text" or "chunks"')
  .refine(
    ({ text, chunks }) => [text ?? "", ...(chunks ?? [])].every((one) => one.isWellFormed()),
    "the text holds half a character",
  );

/** Most dimensions of a vector. */
const LONGEST_VECTOR = 16_384;
/** Its length is checked first: the expression for base64 takes a frame for each four letters. */
const base64Schema = z
  .string()
  .min(1)
  .max(Math.ceil((LONGEST_VECTOR * 4) / 3) * 4, { abort: true })
  .check(z.base64());

/** A name: checked by `readName`, whose errors say more. */
const nameSchema = z.unknown().meta({ type: "string", description: "Trimmed and in Unicode NFC" });

/** Chunks that a search with `rerank` has reranked. */
export const RERANKED = 50;

/** Body of `POST /v1/documents/search`. */
export const searchSchema = z
  .strictObject({
    company: nameSchema.optional(),
    title: optional(nameSchema),
    titles: optional(z.array(nameSchema).min(1).max(100)),
    query: optional(z.string().min(1).max(100_000)),
    vector: optional(z.union([z.array(z.number()).min(1).max(LONGEST_VECTOR), base64Schema])),
    k: z
      .int()
      .min(1)
      .max(1000)
      .nullish()
      .transform((k) => k ?? 5),
    rerank: z
      .boolean()
      .nullish()
      .transform((rerank) => rerank ?? false),
  })
  .refine(({ title, titles }) => (title === undefined) !== (titles === undefined), 'give either "title" or "titles"')
  .refine(({ query, vector }) => (query === undefined) !== (vector === undefined), 'give either "query" or "vector"')
  .refine(({ rerank, query }) => !rerank || query !== undefined, {
    path: ["rerank"],
    error: 'true needs "query": a reranker compares texts',
  })
  .refine(({ rerank, k }) => !rerank || k <= RERANKED, {
    path: ["k"],
    error: `at most ${RERANKED} with "rerank": the nearest ${RERANKED} chunks are reranked`,
  });

const embeddingsSchema = z.object({
  model: z.string().min(1),
  input: z.union([z.string().min(1), z.array(z.string().min(1)).min(1).max(2048)]),
  dimensions: optional(z.int().min(1).max(LONGEST_VECTOR)),
  encoding_format: optional(z.enum(["float", "base64"])),
});

/** Body of `PUT /v1/documents`. */
export interface PutBody {
  readonly version: string | undefined;
  readonly source: Source;
}

/** @throws RelayError `body_not_json`, `document_invalid` */
export const readPut = (body: Buffer): PutBody => {
  const { text, chunks, version } = read(putSchema, body);
  return { version, source: text !== undefined ? { text } : { chunks: chunks ?? [] } };
};

/** Body of `POST /v1/documents/search`. */
export interface SearchBody {
  readonly company: string;
  readonly titles: readonly string[];
  readonly query: { readonly text: string } | { readonly vector: Float32Array };
  readonly k: number;
  readonly rerank: boolean;
}

/** @throws RelayError `body_not_json`, `document_invalid`, `document_name_invalid` */
export const readSearch = (body: Buffer): SearchBody => {
  const { company, title, titles, query, vector, k, rerank } = read(searchSchema, body);
  return {
    company: readName("company", company),
    titles: (titles ?? [title]).map((one) => readName("title", one)),
    query: query !== undefined ? { text: query } : { vector: vectorOf(vector ?? []) },
    k,
    rerank,
  };
};

/** Body of `POST /v1/embeddings` that belongs to a document. */
export interface EmbeddingsBody {
  readonly model: string;
  readonly inputs: readonly string[];
  readonly dimensions: number | undefined;
  readonly base64: boolean;
}

/** @throws RelayError `body_not_json`, `document_invalid` */
export const readEmbeddings = (body: Buffer): EmbeddingsBody => {
  const { model, input, dimensions, encoding_format } = read(embeddingsSchema, body);
  return {
    model,
    inputs: typeof input === "string" ? [input] : input,
    dimensions,
    base64: encoding_format === "base64",
  };
};

function vectorOf(vector: readonly number[] | string): Float32Array {
  const floats = typeof vector === "string" ? floatsOf(Buffer.from(vector, "base64")) : Float32Array.from(vector);
  if (floats.length === 0 || !floats.every(Number.isFinite)) {
    throw new RelayError("document_invalid", "vector: is no list of numbers, nor base64 of little-endian float32.");
  }
  return floats;
}

function read<T>(schema: z.ZodType<T>, body: Buffer): T {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    throw new RelayError("body_not_json", "The body is not JSON in UTF-8. Send one JSON object.");
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues
    .slice(0, 5)
    .map(({ path, message }) => `${path.join(".") || "the body"}: ${message}`);
  throw new RelayError("document_invalid", `${faults.join("; ")}.`);
}

/** Query of `/v1/documents`. */
export interface DocumentQuery {
  readonly company: string | undefined;
  readonly title: string | undefined;
  readonly version: string | undefined;
  /** DELETE: all of the company. */
  readonly all: boolean;
  readonly include: { readonly chunks: boolean; readonly vectors: boolean };
  /** How vectors are written. */
  readonly base64: boolean;
  readonly limit: number;
  readonly after: DocumentKey | undefined;
}

const KNOWN = ["company", "title", "version", "all", "include", "encoding", "limit", "after"];

/** @throws RelayError `document_invalid`, `document_name_invalid` */
export function readQuery(query: string): DocumentQuery {
  const invalid = (text: string) => new RelayError("document_invalid", text);
  // URLSearchParams would put U+FFFD in the place of bytes that are not UTF-8: two broken names would be one.
  try {
    decodeURIComponent(query.replaceAll("+", "%20"));
  } catch {
    throw invalid("The query is not percent-encoded UTF-8.");
  }
  const params = new URLSearchParams(query);
  for (const name of params.keys()) {
    if (!KNOWN.includes(name)) throw invalid(`The query has ${JSON.stringify(name)}; known are ${KNOWN.join(", ")}.`);
    if (params.getAll(name).length > 1) throw invalid(`The query has ${name} more than once.`);
  }
  const company = params.get("company");
  const title = params.get("title");
  const version = params.get("version");
  if (version !== null && !versionSchema.safeParse(version).success) throw invalid("version has 1 to 500 characters.");
  const all = params.get("all");
  if (all !== null && all !== "true") throw invalid("all is either true or left out.");
  const include = params.get("include")?.split(",") ?? [];
  const odd = include.find((one) => one !== "chunks" && one !== "vectors");
  if (odd !== undefined) throw invalid(`include has ${JSON.stringify(odd)}; known are chunks and vectors.`);
  const encoding = params.get("encoding") ?? "base64";
  if (encoding !== "base64" && encoding !== "float") throw invalid("encoding is base64 or float.");
  const limit = Number(params.get("limit") ?? 100);
  if (!Number.isInteger(limit) || limit < 1 || limit > 1000) throw invalid("limit is a whole number from 1 to 1000.");
  const after = params.get("after");
  return {
    company: company === null ? undefined : readName("company", company),
    title: title === null ? undefined : readName("title", title),
    version: version ?? undefined,
    all: all === "true",
    include: { chunks: include.includes("chunks"), vectors: include.includes("vectors") },
    base64: encoding === "base64",
    limit,
    after: after === null ? undefined : readCursor(after),
  };
}

const cursorSchema = z.tuple([z.string(), z.string()]);

/** Where a listing goes on, as text for a query. */
export const cursorOf = ({ company, title }: DocumentKey): string =>
  Buffer.from(JSON.stringify([company, title])).toString("base64url");

function readCursor(text: string): DocumentKey {
  try {
    const [company, title] = cursorSchema.parse(JSON.parse(Buffer.from(text, "base64url").toString("utf8")));
    return { company, title };
  } catch {
    throw new RelayError("document_invalid", "after is not the `next` of an earlier answer.");
  }
}
