/** The chunks nearest to a query, by exact cosine over all vectors of the requested documents. */
import { setImmediate as breathe } from "node:timers/promises";
import type { Caller } from "../../config.ts";
import { RelayError } from "../errors.ts";
import type { Reserve } from "../memory/budget.ts";
import { RERANKED } from "./bodies.ts";
import { lengthsIn } from "./content-cache.ts";
import type { Embedder } from "./embedder.ts";
import { type Client, estimateTextTokens } from "./embedding-work.ts";
import type { EmbeddingSettings, ModelIdentity } from "./fingerprint.ts";
import type { DocumentMetrics } from "./metrics.ts";
import type { DocumentRepository } from "./repository.ts";
import { textBytes } from "./store.ts";
import { insert, nearest } from "./vectors.ts";

export interface SearchRequest {
  readonly company: string;
  readonly titles: readonly string[];
  readonly query: { readonly text: string } | { readonly vector: Float32Array };
  /** Most chunks to return. */
  readonly k: number;
  /** The nearest 50 are reranked by the model server; needs a query's text. */
  readonly rerank?: boolean;
  readonly caller: Caller;
  /** Absent: the result is always awaited. */
  readonly client?: Client | undefined;
  readonly signal: AbortSignal;
  /** Called before each document is loaded; they are loaded one by one. */
  readonly reserve?: Reserve;
}

/** A result; the best first. */
export interface Found {
  readonly title: string;
  /** Its index in the document. */
  readonly index: number;
  /** Cosine, from -1 to 1. */
  readonly score: number;
  /** The reranker's, by which the chunks are sorted then. */
  readonly relevance_score?: number;
  readonly text: string;
}

export interface SearchResult {
  readonly found: readonly Found[];
  /** Titles that are not stored, so were not searched. */
  readonly missing: readonly string[];
  readonly tokens: number;
}

/**
 * Counts as a use of every document searched. @throws RelayError `document_not_found` when none of the titles is stored,
 * `document_invalid` for a vector of other dimensions, and as embedding the query does
 */
export type Search = (request: SearchRequest) => Promise<SearchResult>;

interface SearchParts {
  readonly repository: DocumentRepository;
  readonly embedder: Embedder;
  readonly metrics: DocumentMetrics;
  readonly settings: EmbeddingSettings;
  readonly embeddingModel: string;
  readonly fingerprints: (identity: ModelIdentity) => { relay: string; caller: string };
}

export function createSearch(parts: SearchParts): Search {
  const { repository, embedder, metrics, settings, embeddingModel, fingerprints } = parts;

  const embedQuery = async (text: string, { company, caller, client, signal }: SearchRequest) => {
    const inputs = [settings.queryPrefix + text];
    const { dimensions, normalize } = settings;
    const onProgress = () => {};
    const task = {
      model: embeddingModel,
      inputs,
      dimensions,
      normalize,
      caller,
      company,
      client,
      signal,
      onProgress,
    };
    client?.usage?.reserve(estimateTextTokens(inputs));
    const { vectors, identity, tokens } = await embedder.embed(task);
    return { vector: vectors, identity, tokens };
  };

  const rerank = async (query: string, near: readonly Found[], request: SearchRequest) => {
    const { company, caller, client, signal, k } = request;
    const texts = near.map(({ text }) => text);
    request.reserve?.(4 * textBytes(texts));
    client?.usage?.reserve(estimateTextTokens([...texts, ...texts.map(() => query)]));
    const { scores, tokens } = await embedder.rerank({ query, texts, caller, company, client, signal });
    const found = near
      .map((one, index) => ({ ...one, relevance_score: scores[index] ?? Number.NEGATIVE_INFINITY }))
      .sort((a, b) => b.relevance_score - a.relevance_score)
      .slice(0, k);
    return { found, tokens };
  };

  return async (request) => {
    const { company, query } = request;
    const titles = [...new Set(request.titles)];
    const metas = await Promise.all(
      titles.map(async (title) => [title, await repository.find({ company, title })] as const),
    );
    if (metas.some(([, meta]) => meta === "store_away")) {
      throw new RelayError("documents_unavailable", "The document store does not answer; nothing can be searched.", {
        headers: { "Retry-After": "5" },
      });
    }
    if (metas.every(([, meta]) => typeof meta === "string")) throw noneThere(titles);
    const { vector, identity, tokens } =
      "text" in query
        ? await embedQuery(query.text, request)
        : { vector: query.vector, identity: await embedder.identity(embeddingModel), tokens: 0 };
    const prints = Object.values(fingerprints(identity));

    const nearby = request.rerank === true ? RERANKED : request.k;
    const found: Found[] = [];
    const missing: string[] = [];
    for (const [title, meta] of metas) {
      const fits = typeof meta !== "string" && prints.includes(meta.fingerprint);
      if (fits) request.reserve?.(meta.bytes);
      const content = fits ? await repository.content(meta) : undefined;
      if (!fits || content === undefined) {
        missing.push(title);
        continue;
      }
      const { dimensions } = meta;
      if (dimensions !== vector.length) {
        throw new RelayError(
          "document_invalid",
          `The vector has ${vector.length} dimensions, the document ${JSON.stringify(title)} has ${dimensions}. Embed the query with ${meta.model}, or send "query".`,
        );
      }
      const since = performance.now();
      const lengths = lengthsIn(content, dimensions);
      for (const { row, score } of nearest({ vectors: content.vectors, dimensions, lengths }, vector, nearby)) {
        insert(found, { title, index: row, score, text: content.chunks[row]?.text ?? "" }, nearby);
      }
      metrics.searched((performance.now() - since) / 1000, lengths.length);
      await repository.use(meta);
      await breathe(); // lets other requests proceed between two documents
    }
    if (missing.length === titles.length) throw noneThere(titles);
    if (request.rerank !== true || !("text" in query)) return { found, missing, tokens };
    const reranked = await rerank(query.text, found, request);
    return { found: reranked.found, missing, tokens: tokens + reranked.tokens };
  };
}

function noneThere(titles: readonly string[]): RelayError {
  const what = titles.length === 1 ? "The document is" : "None of the documents is";
  return new RelayError("document_not_found", `${what} not stored, or was embedded by another model. PUT it first.`);
}
