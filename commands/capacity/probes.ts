/** What an owner would not look for: is a repeated prompt warm, and can the server's vectors be reproduced? */
import { type Dispatcher, request } from "undici";
import { serverOfApi } from "../../runtime/model-servers.ts";
import { type Call, call } from "./call.ts";
import { textOf } from "./prompts.ts";
import { reason, type Target } from "./target.ts";

/** Is a prompt that came before still in the server's cache, after others have come? */
export interface WarmProbe {
  /** `unknown`: the time to the first token does not depend on the prompt's length here, and nothing else tells. */
  readonly state: "warm" | "cold" | "unknown";
  /** Time to the first token of a prompt the first time, and again; ms. */
  readonly firstMs: number;
  readonly againMs: number;
  /** Tokens of the repeated prompt that came from the cache, where the server says so. */
  readonly cachedTokens: number | undefined;
  readonly promptTokens: number | undefined;
}

/** Prompts in between, beyond the server's slots: so many that no slot can still hold the first one. */
const BETWEEN = 2;
/** Tokens of the probe's prompt. */
const PROBE_TOKENS = 700;
/** A repeated prompt that takes less than this part of its first time was warm. */
const WARM_PART = 0.6;

const ttft = ({ startedAt, pieces: [first], endedAt }: Call): number => (first ?? endedAt) - startedAt;

/**
 * Sends a prompt, then others in as many slots as the server has (and two more), then the first one again.
 * @param slots that the server has; a guess too many only takes longer
 * @returns undefined when a call did not end well
 */
export async function probeWarm(
  target: Target,
  slots: number,
  signal: AbortSignal,
  dispatcher: Dispatcher,
): Promise<WarmProbe | undefined> {
  const run = Date.now();
  const ask = async (text: string): Promise<Call | undefined> => {
    const one = await call(target, { prompt: `${text} Answer briefly.`, answerTokens: 2 }, signal, dispatcher);
    return one.outcome === "done" ? one : undefined;
  };
  const prompt = (i: number) => `(${run}-${i}) ${textOf(PROBE_TOKENS * 4, run + i)}`;
  await ask(`(${run}) wake up`); // a model that was unloaded is loaded here
  const short = await ask(`(${run}) hello`);
  const first = await ask(prompt(0));
  for (let i = 1; i <= slots + BETWEEN; i += 1) if (!(await ask(prompt(i)))) return undefined;
  const again = await ask(prompt(0));
  if (!short || !first || !again) return undefined;
  const [shortMs, firstMs, againMs] = [ttft(short), ttft(first), ttft(again)];
  const { cachedTokens, promptTokens } = again;
  return { state: warmState(shortMs, firstMs, againMs, again), firstMs, againMs, cachedTokens, promptTokens };
}

/** Judges by what the server says, else by the times. Pure. */
export function warmState(
  shortMs: number,
  firstMs: number,
  againMs: number,
  { cachedTokens, promptTokens }: Pick<Call, "cachedTokens" | "promptTokens">,
): WarmProbe["state"] {
  if (cachedTokens !== undefined && promptTokens !== undefined) {
    // Templates begin all prompts alike: a few tokens are always shared.
    if (cachedTokens >= promptTokens / 2) return "warm";
    if (cachedTokens > 0) return "cold";
  }
  if (firstMs < 1.5 * shortMs) return "unknown";
  return againMs < WARM_PART * firstMs ? "warm" : "cold";
}

/** Does the same text give the same vector, whatever was computed before? */
export interface VectorProbe {
  readonly model: string;
  /** Least cosine between the vectors of one text. */
  readonly cosine: number;
  readonly isReproducible: boolean;
}

/** Below this cosine two vectors of one text are not the same. */
export const SAME_VECTOR = 0.999;

/** Cosine of two vectors; 0 when their lengths differ. */
export function cosine(a: readonly number[], b: readonly number[]): number {
  if (a.length !== b.length) return 0;
  let [dot, left, right] = [0, 0, 0];
  for (const [i, value] of a.entries()) {
    const other = b[i] ?? 0;
    dot += value * other;
    left += value * value;
    right += other * other;
  }
  return left === 0 || right === 0 ? 0 : dot / Math.sqrt(left * right);
}

/**
 * Embeds a probe text alone, then a text with the same beginning, then the probe again; three times with other texts.
 * @returns why it cannot be told, as text, when the server makes no vectors
 */
export async function probeVectors(
  target: Target,
  model: string,
  signal: AbortSignal,
  dispatcher: Dispatcher,
): Promise<VectorProbe | string> {
  const run = Date.now();
  let least = 1;
  try {
    for (let i = 0; i < 3; i += 1) {
      const beginning = `(${run + i}) ${textOf(400, run + i)}`;
      const probe = `${beginning} ${textOf(200, run + 10 + i)}`;
      const alone = await embed(target, model, probe, signal, dispatcher);
      await embed(target, model, `${beginning} ${textOf(900, run + 20 + i)}`, signal, dispatcher);
      least = Math.min(least, cosine(alone, await embed(target, model, probe, signal, dispatcher)));
    }
  } catch (error) {
    return reason(error);
  }
  return { model, cosine: least, isReproducible: least >= SAME_VECTOR };
}

async function embed(
  { url, api, headers }: Target,
  model: string,
  input: string,
  signal: AbortSignal,
  dispatcher: Dispatcher,
): Promise<readonly number[]> {
  const { path, options, read } = serverOfApi(api).embeddings;
  const answer = await request(url + path, {
    method: "POST",
    headers: { ...headers, "content-type": "application/json" },
    body: JSON.stringify({ model, input: [input], ...options }),
    signal,
    dispatcher,
  });
  const text = await answer.body.text();
  if (answer.statusCode !== 200) throw new Error(`${answer.statusCode} ${text.slice(0, 200)}`);
  const vector = read(JSON.parse(text))?.rows[0];
  if (vector === undefined) throw new Error(`${path} answers without vectors`);
  return vector;
}
