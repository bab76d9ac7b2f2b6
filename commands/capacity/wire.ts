/** How a streamed chat is asked and read in each API of model servers. Pure. */
import type { ModelServerApi } from "../../runtime/model-servers.ts";

/** What is asked. */
export interface Question {
  readonly prompt: string;
  /** Most tokens of the answer. */
  readonly answerTokens: number;
}

/** What a stream has said about tokens so far. */
export interface Counts {
  output?: number | undefined;
  prompt?: number | undefined;
  /** Prompt tokens that the server took from its cache. */
  cached?: number | undefined;
}

/** One API. */
export interface Wire {
  readonly chatPath: string;
  /** Fixed seed and temperature, so that two runs of a real model give the same answers. */
  chatBody(model: string, question: Question): object;
  /** @returns the JSON of a line of the stream; empty for a line that has none (an SSE comment is a heartbeat) */
  jsonOf(line: string): string;
  /** Takes the counts of a chunk. @returns whether it brought text */
  read(chunk: Chunk, counts: Counts): boolean;
}

/** A parsed line; the members of either API. */
interface Chunk {
  readonly choices?: readonly { readonly delta?: Readonly<Record<string, unknown>> }[];
  readonly usage?: {
    readonly prompt_tokens?: number;
    readonly completion_tokens?: number;
    readonly prompt_tokens_details?: { readonly cached_tokens?: number };
  } | null;
  readonly message?: { readonly content?: string; readonly thinking?: string };
  readonly prompt_eval_count?: number;
  readonly eval_count?: number;
  readonly prompt_eval_cached_count?: number;
  readonly error?: unknown;
}

export const WIRES: Readonly<Record<ModelServerApi, Wire>> = {
  ollama: {
    chatPath: "/api/chat",
    chatBody: (model, { prompt, answerTokens }) => ({
      model,
      messages: [{ role: "user", content: prompt }],
      stream: true,
      options: { num_predict: answerTokens, temperature: 0, seed: 1 },
    }),
    jsonOf: (line) => line.trim(),
    read(chunk, counts) {
      counts.output = chunk.eval_count ?? counts.output;
      counts.prompt = chunk.prompt_eval_count ?? counts.prompt;
      counts.cached = chunk.prompt_eval_cached_count ?? counts.cached;
      return Boolean(chunk.message?.content || chunk.message?.thinking);
    },
  },
  openai: {
    chatPath: "/v1/chat/completions",
    chatBody: (model, { prompt, answerTokens }) => ({
      model,
      messages: [{ role: "user", content: prompt }],
      stream: true,
      stream_options: { include_usage: true },
      max_tokens: answerTokens,
      temperature: 0,
      seed: 1,
    }),
    jsonOf: (line) => (line.startsWith("data:") ? line.slice(5).trim() : ""),
    read({ usage, choices }, counts) {
      if (usage) {
        counts.output = usage.completion_tokens;
        counts.prompt = usage.prompt_tokens;
        counts.cached = usage.prompt_tokens_details?.cached_tokens;
      }
      const delta = choices?.[0]?.delta;
      return ["content", "reasoning_content", "reasoning"].some((field) => Boolean(delta?.[field]));
    },
  },
};

/** In the order in which they are tried. OpenAI's is preferred: all servers but the oldest have it. */
const PREFERENCE = { openai: 1, ollama: 2 } as const satisfies Readonly<Record<ModelServerApi, number>>;
export const APIS = (Object.keys(PREFERENCE) as ModelServerApi[]).sort((a, b) => PREFERENCE[a] - PREFERENCE[b]);

/** Reads one line of a stream. @returns whether it brought text. @throws Error when it is an error of the server's */
export function readLine(line: string, api: ModelServerApi, counts: Counts): boolean {
  const { jsonOf, read } = WIRES[api];
  const text = jsonOf(line);
  if (text === "" || text === "[DONE]") return false;
  const chunk = JSON.parse(text) as Chunk;
  if (chunk.error !== undefined) throw new Error(JSON.stringify(chunk.error).slice(0, 200));
  return read(chunk, counts);
}
