/** Embeds texts through the queue for embeddings, in batches. */
import { setTimeout as wait } from "node:timers/promises";
import type { Caller } from "../../config.ts";
import type { ModelConfig } from "../../model-config.ts";
import { modelServer } from "../../model-servers.ts";
import type { Admission } from "../admission/admission.ts";
import { RelayError } from "../errors.ts";
import type { Breaker } from "../model/breaker.ts";
import type { BodyWorker } from "./body-worker.ts";
import { createEmbeddingServer, type EmbeddingServer } from "./embedding-server.ts";
import { type Client, estimateTextTokens } from "./embedding-work.ts";
import type { ModelIdentity } from "./fingerprint.ts";
import type { ModelIdentities } from "./model-identities.ts";
import { createRerank, type Rerank } from "./reranker.ts";
import { lengthOf, rowOf } from "./vectors.ts";

/** Most texts and characters per call, since a slot is held for its length. */
const BATCH_INPUTS = 32;
const BATCH_CHARACTERS = 32_000;
/** How often, and after how long at most, a batch is retried when the model server is busy. */
const BUSY_TRIES = 4;
const MAX_BUSY_WAIT_MS = 10_000;

/** A request for embeddings. */
export interface EmbedTask {
  readonly model: string;
  readonly inputs: readonly string[];
  /** Dimensions requested of the model; absent means its default. */
  readonly dimensions: number | undefined;
  readonly normalize: boolean;
  readonly caller: Caller;
  /** The flow of the work, among the caller's. */
  readonly company: string;
  /** Absent: the result is always awaited. */
  readonly client?: Client | undefined;
  readonly signal: AbortSignal;
  /** Called after each batch; may throw to stop. */
  readonly onProgress: (done: number, total: number, dimensions: number) => void;
}

/** Vectors row after row, in the order of the inputs, all by the same model. */
export interface Embedded {
  readonly vectors: Float32Array;
  readonly dimensions: number;
  readonly identity: ModelIdentity;
  /** As counted by the model server, or estimated. */
  readonly tokens: number;
}

export interface Embedder {
  /**
   * Embeds all inputs or none. While its client is connected, the first batch queues as any request does, and may be refused;
   * the others, and all once the client has disconnected, are background work and wait without limit. If the model changes
   * meanwhile, everything is embedded once more. @throws RelayError `embedding_refused`, `model_busy`, `model_down`,
   * `model_unreachable`, `model_broke_off`, `model_timeout`, and as admission does
   */
  embed(task: EmbedTask): Promise<Embedded>;
  /**
   * The server's current model: at most 1 s old, or looked up now with `fresh`. If the server does not answer, and without
   * `fresh`, the last known one, also of an earlier run. @throws RelayError `embedding_refused` when the server has no such
   * model, `model_down`, `model_unreachable`, `model_broke_off`, `model_timeout`, `model_busy`
   */
  identity(model: string, fresh?: boolean): Promise<ModelIdentity>;
  /** See `Rerank`. */
  readonly rerank: Rerank;
  close(): Promise<void>;
}

export interface EmbedderOptions {
  /** Replaces the digest if the model server has none. */
  readonly revision: string | undefined;
  readonly admission: Admission;
  /** The breaker of all calls to the model server. */
  readonly breaker: Breaker;
  readonly bodyWorker: BodyWorker;
  readonly identities: ModelIdentities;
  /** Wraps the model server's embedding API. @default not at all */
  readonly observe?: ((server: EmbeddingServer) => EmbeddingServer) | undefined;
  /** Called with the tokens of each call, and the caller's name. */
  readonly onUsage?: ((caller: string, tokens: number) => void) | undefined;
}

/** Opens no connection yet. */
export function createEmbedder(
  config: Pick<ModelConfig, "kind" | "url" | "timeouts" | "rerankModel"> & { readonly key?: string | undefined },
  { revision, admission, breaker, bodyWorker, identities, observe, onUsage = () => {} }: EmbedderOptions,
): Embedder {
  const plain = createEmbeddingServer(config, revision, breaker, identities);
  const server = observe?.(plain) ?? plain;
  const { identity } = server;

  /** One call, in a slot of its own. */
  const tryBatch = async (task: EmbedTask, inputs: readonly string[], isFirst: boolean) => {
    const estimatedTokens = estimateTextTokens(inputs);
    const bytes = inputs.reduce((sum, input) => sum + Buffer.byteLength(input), 0);
    const { caller, company, client, signal } = task;
    breaker.check(); // before the wait for a slot
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
      const { path, options } = modelServer(config.kind).embeddings;
      const asked = { model, input: inputs, ...(dimensions === undefined ? {} : { dimensions }), ...options };
      const body = await bodyWorker.run(caller.name, bytes, "request", asked);
      const since = performance.now();
      const answer = await server.embed(path, body, signal);
      const ms = performance.now() - since;
      const found = await bodyWorker.run(caller.name, answer.length, "vectors", answer, config.kind);
      if (found === undefined || found.rows !== inputs.length) throw noVectors();
      // Several servers ignore `dimensions` (https://github.com/ggml-org/llama.cpp/issues/25210).
      if (dimensions !== undefined && found.dimensions !== dimensions)
        throw otherDimensions(dimensions, found.dimensions);
      used = found.tokens ?? estimatedTokens;
      onUsage(caller.name, used);
      client?.usage?.embedded(used, inputs.length, ms);
      return { ...found, tokens: used };
    } catch (cause) {
      notSent = cause instanceof RelayError && NOT_WORKED_ON.has(cause.code);
      throw cause;
    } finally {
      // A call without a usable answer is charged the time it took.
      if (used !== undefined || notSent) slot.release(used ?? 0);
      else slot.abandon();
    }
  };

  const embedBatch: typeof tryBatch = async (task, inputs, isFirst) => {
    for (let tries = 1; ; tries++) {
      try {
        return await tryBatch(task, inputs, isFirst);
      } catch (cause) {
        if (!(cause instanceof RelayError && cause.code === "model_busy") || tries === BUSY_TRIES) throw cause;
        const pauseMs = Math.min(Number(cause.headers["Retry-After"]) * 1000, MAX_BUSY_WAIT_MS);
        await wait(pauseMs, undefined, { signal: task.signal }).catch(() => task.signal.throwIfAborted());
      }
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
          throw new RelayError("model_broke_off", "The embedding model was changed during the embedding. Try again.");
        }
      }
    },
    rerank: createRerank(config, { server, admission, bodyWorker, onUsage }),
    close: () => server.close(),
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

function otherDimensions(asked: number, given: number): RelayError {
  return new RelayError(
    "embedding_refused",
    `dimensions: ${asked} was asked for, and the model server answered with vectors of ${given}. It ignores dimensions for this model: leave dimensions out, or ask for ${given}. Nothing was stored.`,
  );
}

/** Normalizes the vector if asked to. @returns false for a vector of zeros or with a number that is not finite */
function makeUsable(vector: Float32Array, normalize: boolean): boolean {
  const length = lengthOf(vector);
  if (!(length > 0 && Number.isFinite(length))) return false;
  if (normalize) for (let i = 0; i < vector.length; i++) vector[i]! /= length;
  return true;
}

/** Failures that cost the model server no work. */
const NOT_WORKED_ON: ReadonlySet<string> = new Set(["model_down", "model_unreachable", "model_busy"]);

function noVectors(): RelayError {
  return new RelayError("embedding_refused", "The model server's answer does not contain usable vectors.");
}
