/** Asks the model server for vectors, through the lane for embeddings. */
import { z } from "zod";
import type { Caller, ModelConfig } from "../../config.ts";
import type { Admission } from "../admission/admission.ts";
import { RelayError } from "../errors.ts";
import type { Breaker } from "../model/breaker.ts";
import { failure, openPool } from "../model/upstream.ts";
import type { BodyWorker } from "./body-worker.ts";
import type { ModelIdentity } from "./fingerprint.ts";
import { lengthOf, rowOf } from "./vectors.ts";

/** At most this many texts and characters in one call: a lane's slot is held for the length of one. */
const BATCH_INPUTS = 32;
const BATCH_CHARACTERS = 32_000;
/** Longest answers that are read, in bytes: of vectors, of a list of models; and what is read of a refusal. */
const LONGEST_ANSWER = 64 * 1024 * 1024;
const LONGEST_LIST = 1024 * 1024;
const LONGEST_REFUSAL = 64 * 1024;
const LOOK_MS = 3_000;
/** A look-up may trust the model's name and digest for this long. */
const TRUST_MS = 1_000;

/** The request that embedding work is done for; the work can outlive it. */
export interface Client {
  /** Nobody waits for the answer any more. */
  readonly hasLeft: boolean;
  /** A byte of the answer has been sent, so its status is fixed. */
  readonly isAnswered: boolean;
}

/** What is to be embedded. */
export interface EmbedTask {
  readonly model: string;
  readonly inputs: readonly string[];
  /** Asks the model for this many; absent means its own. */
  readonly dimensions: number | undefined;
  readonly normalize: boolean;
  readonly caller: Caller;
  /** Whose share the work is part of, within the caller's. */
  readonly company: string;
  /** Absent: somebody waits for it to the end. */
  readonly client?: Client | undefined;
  readonly signal: AbortSignal;
  /** Told after each call; may throw to stop. */
  readonly onProgress: (done: number, total: number, dimensions: number) => void;
}

/** Vectors row after row, in the order of the inputs, all from one state of the model. */
export interface Embedded {
  readonly vectors: Float32Array;
  readonly dimensions: number;
  readonly identity: ModelIdentity;
  /** As the model server counts them; estimated when it does not. */
  readonly tokens: number;
}

export interface Embedder {
  /**
   * Embeds all inputs or none. The first call waits in the lane as any request does (and may be turned away) while its client
   * is there; the others, and all once the client has left, are background work and wait as long as it takes. When the model changes meanwhile, all is done once more.
   * @throws RelayError `embedding_refused`, `model_down`, `model_unreachable`, `model_broke_off`, `model_timeout`, what
   * admission throws
   */
  embed(task: EmbedTask): Promise<Embedded>;
  /**
   * The model as the server has it: at most 1 s old, or with `fresh` asked for now. While the server does not answer, what
   * was last known. @throws RelayError `embedding_refused` when the server has no such model, `model_down`,
   * `model_unreachable`, `model_broke_off`, `model_timeout`
   */
  identity(model: string, fresh?: boolean): Promise<ModelIdentity>;
  close(): Promise<void>;
}

const tagsSchema = z.object({ models: z.array(z.object({ name: z.string(), digest: z.string() })) });
/** Tokens of a text, roughly and not too few: Korean has about one in three bytes. */
export function estimateTextTokens(texts: readonly string[]): number {
  return texts.reduce((sum, text) => sum + Math.ceil(Buffer.byteLength(text) / 3), 0);
}

/**
 * Opens no connection yet. @param revision stands for the digest where the server has none
 * @param breaker the one of all calls to the model server: what fails here is known there, and the other way round
 * @param onUsage told of the tokens of each call
 */
export function createEmbedder(
  config: Pick<ModelConfig, "kind" | "url" | "timeouts">,
  revision: string | undefined,
  admission: Admission,
  breaker: Breaker,
  heavy: BodyWorker,
  onUsage: (caller: string, tokens: number) => void = () => {},
): Embedder {
  const url = new URL(config.url);
  const base = url.pathname.replace(/\/+$/, "");
  const pool = openPool(url, config.timeouts);
  const known = new Map<string, { identity: Promise<ModelIdentity>; at: number; last: ModelIdentity | undefined }>();

  /** @returns the bytes of an answer with status 200 */
  const request = async (method: "GET" | "POST", path: string, body: Uint8Array | null, signal: AbortSignal) => {
    breaker.check();
    let begun = false;
    const answer = await pool
      .request({
        method,
        path: base + path,
        headers: body === null ? {} : { "content-type": "application/json" },
        body,
        signal,
      })
      .then(async ({ statusCode, body: stream }) => {
        begun = true;
        // A list of models says nothing about whether the server can embed.
        if (method === "POST") breaker.succeeded();
        return { status: statusCode, bytes: await wholeOf(stream) };
      })
      .catch((cause: unknown) => {
        if (signal.aborted) throw signal.reason;
        if (cause instanceof RelayError) throw cause;
        if (!begun) breaker.failed();
        throw failure(cause instanceof Error ? cause : new Error(String(cause)), begun);
      });
    if (answer.status === 200) return answer.bytes;
    const text = answer.bytes.toString("utf8", 0, LONGEST_REFUSAL);
    if (answer.status >= 500) {
      throw new RelayError("model_broke_off", `The model server failed with ${answer.status} on an embedding.`, {
        detail: text.slice(0, 500),
      });
    }
    throw new RelayError("embedding_refused", `The model server refused to embed: ${wordsOf(text)}`);
  };

  const look = async (model: string): Promise<ModelIdentity> => {
    if (config.kind === "openai") return { name: model, digest: revision ?? "" };
    const bytes = await request("GET", "/api/tags", null, AbortSignal.timeout(LOOK_MS)).catch((cause: unknown) => {
      if (cause instanceof RelayError) throw cause;
      breaker.failed(); // nothing in time
      throw unreachable(cause);
    });
    const answer = tagsSchema.safeParse(bytes.length > LONGEST_LIST ? undefined : parsed(bytes.toString("utf8")));
    if (!answer.success) throw unreachable(new Error("/api/tags is not a list of models"));
    const full = model.slice(model.lastIndexOf("/") + 1).includes(":") ? model : `${model}:latest`;
    const found = answer.data.models.find(({ name }) => name === model || name === full);
    if (found === undefined) {
      throw new RelayError("embedding_refused", `The model server has no model ${JSON.stringify(model)}.`);
    }
    return { name: full, digest: found.digest };
  };

  const identity = async (model: string, fresh = false): Promise<ModelIdentity> => {
    const before = known.get(model);
    if (!fresh && before !== undefined && performance.now() - before.at < TRUST_MS) return before.identity;
    const asked = look(model);
    const trusted = asked.then(
      (found) => {
        entry.last = found;
        return found;
      },
      (cause: unknown) => {
        // A hit needs no model: what is stored is right for the model that was there.
        if (before?.last !== undefined && isAway(cause)) return before.last;
        throw cause;
      },
    );
    trusted.catch(() => {}); // with `fresh` nobody may ask for it
    const entry = { identity: trusted, at: performance.now(), last: before?.last };
    if (known.size > 100) known.clear(); // names come from callers
    known.set(model, entry);
    return fresh ? asked : trusted;
  };

  const embedBatch = async (task: EmbedTask, inputs: readonly string[], isFirst: boolean) => {
    const estimatedTokens = estimateTextTokens(inputs);
    const bytes = inputs.reduce((sum, input) => sum + Buffer.byteLength(input), 0);
    const { caller, company, client, signal } = task;
    breaker.check(); // nobody waits for a slot in vain
    const slot = await admission.acquire({
      queue: "embeddings",
      caller,
      company,
      estimatedTokens,
      bytes,
      signal,
      background: !isFirst || client?.hasLeft === true,
      evictable: () => client?.isAnswered !== true,
    });
    let used: number | undefined;
    let notSent = false;
    try {
      const { model, dimensions } = task;
      const ollama = config.kind === "ollama";
      // Ollama would cut a text that is too long without a word.
      const form = ollama ? { truncate: false as const } : { encoding_format: "float" as const };
      const asked = { model, input: inputs, ...(dimensions === undefined ? {} : { dimensions }), ...form };
      const body = await heavy.run(caller.name, bytes, "request", asked);
      const answer = await request("POST", ollama ? "/api/embed" : "/v1/embeddings", body, signal);
      const found = await heavy.run(caller.name, answer.length, "vectors", answer, config.kind);
      if (found === undefined || found.rows !== inputs.length) throw noVectors();
      used = found.tokens ?? estimatedTokens;
      onUsage(caller.name, used);
      return { ...found, tokens: used };
    } catch (cause) {
      notSent = cause instanceof RelayError && (cause.code === "model_down" || cause.code === "model_unreachable");
      throw cause;
    } finally {
      // What the model server was asked in vain costs the time it took.
      if (used !== undefined || notSent) slot.release(used ?? 0);
      else slot.abandon();
    }
  };

  const embedAll = async (task: EmbedTask): Promise<Omit<Embedded, "identity">> => {
    let all: Float32Array | undefined;
    let [dimensions, done, tokens] = [0, 0, 0];
    for (const inputs of batches(task.inputs)) {
      const batch = await embedBatch(task, inputs, done === 0);
      dimensions ||= batch.dimensions;
      if (batch.dimensions !== dimensions) throw noVectors();
      all ??= new Float32Array(task.inputs.length * dimensions);
      all.set(batch.vectors, done * dimensions);
      for (let row = done; row < done + inputs.length; row++) {
        if (!makeUsable(rowOf(all, dimensions, row), task.normalize)) throw noVectors();
      }
      done += inputs.length;
      tokens += batch.tokens;
      task.onProgress(done, task.inputs.length, dimensions);
    }
    return { vectors: all ?? new Float32Array(0), dimensions, tokens };
  };

  return {
    identity,
    async embed(task) {
      for (let again = false; ; again = true) {
        const before = await identity(task.model, true);
        const embedded = await embedAll(task);
        const after = await identity(task.model, true);
        if (before.digest === after.digest) return { ...embedded, identity: after };
        if (again) {
          throw new RelayError("model_broke_off", "The embedding model was changed while it embedded. Try again.");
        }
      }
    },
    close: () => pool.destroy(),
  };
}

function* batches(inputs: readonly string[]): Generator<readonly string[]> {
  let batch: string[] = [];
  let characters = 0;
  for (const input of inputs) {
    if (batch.length === BATCH_INPUTS || (batch.length > 0 && characters + input.length > BATCH_CHARACTERS)) {
      yield batch;
      batch = [];
      characters = 0;
    }
    batch.push(input);
    characters += input.length;
  }
  if (batch.length > 0) yield batch;
}

/** Brings the vector to length one if asked to; false for one of zeros or with a number that is none. */
function makeUsable(vector: Float32Array, normalize: boolean): boolean {
  const length = lengthOf(vector);
  if (!(length > 0 && Number.isFinite(length))) return false;
  if (normalize) for (let i = 0; i < vector.length; i++) vector[i]! /= length;
  return true;
}

const AWAY: ReadonlySet<string> = new Set(["model_down", "model_unreachable", "model_broke_off", "model_timeout"]);
const isAway = (cause: unknown): boolean => cause instanceof RelayError && AWAY.has(cause.code);

function unreachable(cause: unknown): RelayError {
  return new RelayError("model_unreachable", "The model server on the Mac does not answer.", {
    headers: { "Retry-After": "5" },
    detail: cause instanceof Error ? cause.message : String(cause),
    cause,
  });
}

function noVectors(): RelayError {
  return new RelayError("embedding_refused", "The model server answered with something that is no usable vector.");
}

/** @throws RelayError `model_broke_off` for an answer that no list of vectors is */
async function wholeOf(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream) {
    size += chunk.length;
    if (size > LONGEST_ANSWER) {
      throw new RelayError("model_broke_off", `The model server's answer is larger than ${LONGEST_ANSWER} bytes.`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What a refusal says: `{"error": "…"}` of Ollama, `{"error": {"message": "…"}}` of the others. */
function wordsOf(text: string): string {
  const schema = z.object({ error: z.union([z.string(), z.object({ message: z.string() })]) });
  const found = schema.safeParse(parsed(text)).data?.error;
  return (typeof found === "string" ? found : (found?.message ?? text)).slice(0, 300);
}
