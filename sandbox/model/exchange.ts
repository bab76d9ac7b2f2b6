/** One request to the model server: its body, its answer, the slot it holds, what is known of it afterwards. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { setTimeout as wait } from "node:timers/promises";
import type { z } from "zod";
import { answerTo, tokenize } from "./answers.ts";
import type { Model, Models } from "./models.ts";
import type { PromptCache } from "./prompt-cache.ts";
import type { Slots } from "./slots.ts";

const MAX_BODY_BYTES = 256 * 1024 * 1024;

/** A refusal, told in the form of the API that was called. */
export class ModelError extends Error {
  readonly status: number;
  /** Found behind the reading of the request: Ollama's OpenAI paths then tell it in another way (`openaiError`). */
  readonly isLate: boolean;

  constructor(status: number, message: string, { isLate = false } = {}) {
    super(message);
    this.status = status;
    this.isLate = isLate;
  }
}

/** No such path, or not with this method: told as plain text, whatever the API. */
export class NoRoute extends Error {
  readonly status: 404 | 405;
  /** The methods that the path takes. */
  readonly allow: string | undefined;

  constructor(allow?: string) {
    super(allow === undefined ? "404 page not found" : "405 method not allowed");
    this.status = allow === undefined ? 404 : 405;
    this.allow = allow;
  }
}

/** Go sends a body up to this size with its length, a longer one in chunks. */
const GO_BUFFER = 2048;

/** What `/sandbox/requests` tells of one request. */
export interface RequestRecord {
  path: string;
  state: "waiting" | "active" | "finished" | "cancelled" | "failed";
  /** Bytes of the request's body and of the answer so far. */
  requestBytes: number;
  bytes: number;
  /** Tokens generated so far. */
  tokens: number;
  /** Names of the request's headers, so that a test can see what was let through; never their values. */
  headerNames: string[];
}

/** How fast the model is. */
export interface Speed {
  tokensPerSecond: number;
  firstTokenMs: number;
  /** Prompt tokens that are computed per second, besides `firstTokenMs`; absent: a prompt takes no time. */
  promptTokensPerSecond?: number | undefined;
}

/** A finished generation. */
export interface Generated {
  text: string;
  promptTokens: number;
  /** Of them, what a cache held. */
  cachedTokens: number;
  tokens: number;
  reason: "stop" | "length";
  /** Nanoseconds, as Ollama counts. */
  promptNs: number;
  evalNs: number;
  totalNs: number;
}

/** One request and its answer. */
export interface Exchange {
  readonly path: string;
  readonly method: string;
  readonly models: Models;
  readonly embeddingDimensions: number;
  readonly slots: Slots;
  readonly record: RequestRecord;
  /** Aborted when the client is gone. */
  readonly signal: AbortSignal;
  /** The body as JSON of that shape. @throws ModelError 400. */
  body<T>(schema: z.ZodType<T>): Promise<T>;
  /** The model of that name, loaded if it was not. @throws ModelError 404, or 400 when it is to talk and only embeds. */
  model(name: string, use: "talk" | "embed"): Model;
  /** The model of that name, loaded or not. @throws ModelError 404. */
  known(name: string): Model;
  /** Generates at the model's speed, in a slot; `onToken` is called for each token. Rejects when the client goes. */
  generate(
    prompt: string,
    maxTokens: number | undefined,
    onToken?: (token: string) => Promise<void>,
  ): Promise<Generated>;
  /** Takes a slot for as long as embedding that many texts takes, and counts them. */
  embedding(inputs: number): Promise<void>;
  json(status: number, value: unknown, contentType?: string): void;
  /** Plain text, with further headers. */
  text(status: number, text: string, headers?: Record<string, string>): void;
  /** Sends a piece of a streamed answer, waiting when the client reads slowly. */
  write(contentType: string, piece: string, headers?: Record<string, string>): Promise<void>;
  end(): void;
}

/** What an exchange needs of the server. */
export interface ExchangeContext {
  models: Models;
  slots: Slots;
  prompts: PromptCache;
  speed: Speed;
  embeddingDimensions: number;
  plays: "ollama" | "llama-server";
  countEmbedded(inputs: number): void;
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) throw new ModelError(413, `request body is larger than ${MAX_BODY_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function parseJson(text: string): unknown {
  if (text.trim() === "") throw new ModelError(400, "missing request body");
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ModelError(
      400,
      `invalid JSON in the request body: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

const sinceNs = (start: bigint): number => Number(process.hrtime.bigint() - start);

/** Makes an exchange of a request as node:http gives it. */
export function openExchange(context: ExchangeContext, request: IncomingMessage, response: ServerResponse): Exchange {
  const { models, slots, speed } = context;
  const path = new URL(request.url ?? "/", "http://model").pathname;
  const record: RequestRecord = {
    path,
    state: "waiting",
    requestBytes: 0,
    bytes: 0,
    tokens: 0,
    headerNames: Object.keys(request.headers),
  };
  const gone = new AbortController();
  response.on("close", () => {
    if (!response.writableFinished) gone.abort(new Error("the client closed the connection"));
  });
  const { signal } = gone;

  const inSlot = async <T>(work: () => Promise<T>): Promise<T> => {
    const release = await slots.acquire(signal);
    signal.addEventListener("abort", release, { once: true }); // free at once, not at the next token
    record.state = "active";
    try {
      return await work();
    } finally {
      release();
      signal.removeEventListener("abort", release);
    }
  };

  /** What a cache holds of a prompt, in tokens, and the time that the rest takes. */
  const readPrompt = (prompt: string): { promptTokens: number; cachedTokens: number; ms: number } => {
    const held = context.prompts.reuse(prompt);
    const promptTokens = tokenize(prompt).length;
    const missing = tokenize(prompt.slice(held)).length;
    const rate = speed.promptTokensPerSecond;
    return { promptTokens, cachedTokens: promptTokens - missing, ms: rate === undefined ? 0 : (missing * 1000) / rate };
  };

  const exchange: Exchange = {
    path,
    method: request.method ?? "GET",
    models,
    embeddingDimensions: context.embeddingDimensions,
    slots,
    record,
    signal,
    body: async (schema) => {
      const text = await readBody(request);
      record.requestBytes = Buffer.byteLength(text);
      const parsed = schema.safeParse(parseJson(text));
      if (parsed.success) return parsed.data;
      const [issue] = parsed.error.issues;
      throw new ModelError(400, `invalid request: ${issue?.path.join(".") ?? ""} ${issue?.message ?? ""}`);
    },
    model: (name, use) => {
      const model = exchange.known(name);
      if (use === "talk" && model.kind === "embedding") {
        throw new ModelError(400, `"${name}" does not support chat`, { isLate: true });
      }
      models.load(model);
      return model;
    },
    known: (name) => {
      if (name === "") throw new ModelError(400, "model is required", { isLate: true });
      const model = models.find(name);
      if (model === undefined) throw new ModelError(404, `model "${name}" not found`, { isLate: true });
      return model;
    },
    generate: (prompt, maxTokens, onToken) => {
      const start = process.hrtime.bigint();
      return inSlot(async () => {
        const begun = process.hrtime.bigint();
        const all = tokenize(answerTo(prompt));
        const tokens = maxTokens === undefined || maxTokens < 0 ? all : all.slice(0, maxTokens);
        const { promptTokens, cachedTokens, ms } = readPrompt(prompt);
        await wait(speed.firstTokenMs + ms, undefined, { signal });
        const promptNs = sinceNs(begun);
        const first = performance.now();
        for (const [i, token] of tokens.entries()) {
          // Against the clock, so that late timers do not add up.
          const due = first + (i * 1000) / speed.tokensPerSecond - performance.now();
          if (due > 0) await wait(due, undefined, { signal });
          signal.throwIfAborted();
          record.tokens += 1;
          await onToken?.(token);
        }
        return {
          text: tokens.join(""),
          promptTokens,
          cachedTokens,
          tokens: tokens.length,
          reason: tokens.length < all.length ? "length" : "stop",
          promptNs,
          evalNs: sinceNs(begun) - promptNs,
          totalNs: sinceNs(start),
        };
      });
    },
    embedding: (inputs) =>
      inSlot(async () => {
        await wait(speed.firstTokenMs / 4 + 2 * inputs, undefined, { signal });
        context.countEmbedded(inputs);
      }),
    json: (status, value, contentType = "application/json; charset=utf-8") => {
      const bytes = Buffer.from(JSON.stringify(value));
      record.bytes += bytes.length;
      if (bytes.length <= GO_BUFFER || context.plays === "llama-server")
        response.setHeader("content-length", bytes.length);
      response.writeHead(status, { "content-type": contentType }).end(bytes);
    },
    text: (status, text, headers = {}) => {
      const bytes = Buffer.from(text);
      record.bytes += bytes.length;
      response
        .writeHead(status, { "content-type": "text/plain", "content-length": bytes.length, ...headers })
        .end(bytes);
    },
    write: async (contentType, piece, headers = {}) => {
      signal.throwIfAborted();
      if (!response.headersSent) response.writeHead(200, { "content-type": contentType, ...headers });
      record.bytes += Buffer.byteLength(piece);
      if (response.write(piece)) return;
      await new Promise<void>((resolve) => {
        const go = (): void => {
          response.off("drain", go);
          signal.removeEventListener("abort", go);
          resolve();
        };
        response.once("drain", go);
        signal.addEventListener("abort", go, { once: true });
      });
    },
    end: () => void response.end(),
  };
  return exchange;
}
