/** One streamed chat: when its tokens came, and what it says it used. */
import { type Dispatcher, request } from "undici";
import type { Target } from "./target.ts";
import { reason } from "./target.ts";

/** What is asked. */
export interface Question {
  readonly prompt: string;
  /** Most tokens of the answer. */
  readonly answerTokens: number;
}

/** What came of one call. Times are of `performance.now()`, in ms. */
export interface Call {
  readonly startedAt: number;
  /** Of each piece with text. */
  readonly pieces: readonly number[];
  readonly endedAt: number;
  /** As the server says, else the number of pieces. */
  readonly outputTokens: number;
  readonly promptTokens: number | undefined;
  /** Prompt tokens that the server took from its cache, where it says so. */
  readonly cachedTokens: number | undefined;
  /** `cut`: we ended it. `refused`: 429 or 503. */
  readonly outcome: "done" | "cut" | "refused" | "failed";
  /** Why it was refused or failed. */
  readonly why?: string;
}

interface Counts {
  output?: number | undefined;
  prompt?: number | undefined;
  cached?: number | undefined;
}

/** The body of the request in the server's own API. */
export function bodyOf({ api, model }: Pick<Target, "api" | "model">, { prompt, answerTokens }: Question): object {
  const messages = [{ role: "user", content: prompt }];
  // Fixed, so that two runs of a real model give the same answers.
  if (api === "ollama")
    return { model, messages, stream: true, options: { num_predict: answerTokens, temperature: 0, seed: 1 } };
  return {
    model,
    messages,
    stream: true,
    stream_options: { include_usage: true },
    max_tokens: answerTokens,
    temperature: 0,
    seed: 1,
  };
}

/** A kept connection that the server closed just when the request was sent: it never saw the request. */
const CLOSED = /other side closed|ECONNRESET|EPIPE|socket hang up/i;

/** Sends one question and reads its answer to the end, or until `signal`. Never rejects. */
export async function call(
  target: Target,
  question: Question,
  signal: AbortSignal,
  dispatcher: Dispatcher,
): Promise<Call> {
  const first = await tryCall(target, question, signal, dispatcher);
  const isClosed = first.outcome === "failed" && first.pieces.length === 0 && CLOSED.test(first.why ?? "");
  return isClosed ? tryCall(target, question, signal, dispatcher) : first;
}

async function tryCall(target: Target, question: Question, signal: AbortSignal, dispatcher: Dispatcher): Promise<Call> {
  const startedAt = performance.now();
  const pieces: number[] = [];
  const counts: Counts = {};
  const end = (outcome: Call["outcome"], why?: string): Call => ({
    startedAt,
    pieces,
    endedAt: performance.now(),
    outputTokens: counts.output ?? pieces.length,
    promptTokens: counts.prompt,
    cachedTokens: counts.cached,
    outcome,
    ...(why !== undefined && { why }),
  });
  try {
    const answer = await request(target.url + (target.api === "ollama" ? "/api/chat" : "/v1/chat/completions"), {
      method: "POST",
      headers: { ...target.headers, "content-type": "application/json" },
      body: JSON.stringify(bodyOf(target, question)),
      signal,
      dispatcher,
      headersTimeout: 0, // bounded by the signal
      bodyTimeout: 0,
    });
    if (answer.statusCode !== 200) {
      const text = (await answer.body.text()).slice(0, 200);
      const refused = answer.statusCode === 429 || answer.statusCode === 503;
      return end(refused ? "refused" : "failed", `${answer.statusCode} ${text}`);
    }
    let rest = "";
    for await (const chunk of answer.body as AsyncIterable<Buffer>) {
      const lines = (rest + chunk.toString("latin1")).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) if (readLine(line, target.api, counts)) pieces.push(performance.now());
    }
    if (rest !== "" && readLine(rest, target.api, counts)) pieces.push(performance.now());
    return end("done");
  } catch (error) {
    return signal.aborted ? end("cut") : end("failed", reason(error));
  }
}

interface OpenaiChunk {
  choices?: { delta?: Record<string, unknown> }[];
  usage?: {
    prompt_tokens?: number;
    completion_tokens?: number;
    prompt_tokens_details?: { cached_tokens?: number };
  } | null;
  error?: unknown;
}

interface OllamaChunk {
  message?: { content?: string; thinking?: string };
  prompt_eval_count?: number;
  eval_count?: number;
  prompt_eval_cached_count?: number;
  error?: unknown;
}

/** @returns whether the line brought text. @throws Error when it is an error of the server's */
export function readLine(line: string, api: Target["api"], counts: Counts): boolean {
  const text = api === "ollama" ? line.trim() : line.startsWith("data:") ? line.slice(5).trim() : "";
  if (text === "" || text === "[DONE]") return false; // an SSE comment is a heartbeat
  const chunk = JSON.parse(text) as OpenaiChunk & OllamaChunk;
  if (chunk.error !== undefined) throw new Error(JSON.stringify(chunk.error).slice(0, 200));
  if (api === "ollama") {
    counts.output = chunk.eval_count ?? counts.output;
    counts.prompt = chunk.prompt_eval_count ?? counts.prompt;
    counts.cached = chunk.prompt_eval_cached_count ?? counts.cached;
    return Boolean(chunk.message?.content || chunk.message?.thinking);
  }
  if (chunk.usage) {
    counts.output = chunk.usage.completion_tokens;
    counts.prompt = chunk.usage.prompt_tokens;
    counts.cached = chunk.usage.prompt_tokens_details?.cached_tokens;
  }
  const delta = chunk.choices?.[0]?.delta;
  return ["content", "reasoning_content", "reasoning"].some((field) => Boolean(delta?.[field]));
}
