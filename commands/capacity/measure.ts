/** A whole run: a sweep for each length of answers, warm against cold at the knee, and the probes. */
import { Agent, type Dispatcher } from "undici";
import { type Advice, type Assumptions, advise } from "./advice.ts";
import { type Call, call } from "./call.ts";
import { measureLevel } from "./level.ts";
import type { Options } from "./options.ts";
import { type Others, watchOthers } from "./others.ts";
import { probeVectors, probeWarm, type VectorProbe, type WarmProbe } from "./probes.ts";
import { CHARACTERS_PER_TOKEN, type Questions, questions } from "./prompts.ts";
import type { Level } from "./stats.ts";
import { type Sweep, sweep } from "./sweep.ts";
import type { Target } from "./target.ts";
import type { Question } from "./wire.ts";

/** A sweep for one length of answers. */
export interface Part {
  readonly answerTokens: number;
  readonly sweep: Sweep;
  /** The level at the knee again, with prompts that were seen before. */
  readonly warm: Level | undefined;
  readonly advice: Advice | undefined;
}

/** Everything that a run found. */
export interface Capacity {
  readonly target: Pick<Target, "url" | "api" | "model" | "server" | "slots">;
  readonly at: string;
  readonly promptTokens: number;
  /** Answers of the ledger that the lengths are taken from; undefined: they were given, or are the defaults. */
  readonly ledgerCalls?: number | undefined;
  readonly parts: readonly Part[];
  /** The part whose knee is the least: a fixed number must hold for all lengths. */
  readonly deciding: Part | undefined;
  readonly warm: WarmProbe | undefined;
  /** A text says why it is not known. */
  readonly vectors: VectorProbe | string | undefined;
  readonly relaySlots: number | undefined;
  readonly others: Others | undefined;
  /** Throughput with one at a time, at the end over the start; undefined when it was not measured. */
  readonly drift: number | undefined;
  readonly seconds: number;
  readonly outputTokens: number;
  /** Why it ended before it was done. */
  readonly endedBy: "user" | "time" | "tokens" | undefined;
}

/** Told while it runs. */
export interface Progress {
  /** Part of the time that is used, at most 1. */
  readonly used: number;
  readonly what: string;
  readonly atOnce: number;
  readonly last: Level | undefined;
}

type Wanted = Pick<
  Options,
  | "promptTokens"
  | "answers"
  | "most"
  | "ttftMs"
  | "withinMs"
  | "tokens"
  | "levelMs"
  | "questionsPerHour"
  | "pricePerMillion"
  | "currency"
  | "embeddingModel"
  | "admin"
> & { readonly ledgerCalls?: number | undefined };

/** Slots that the warm probe assumes where the server does not say how many it has. */
const GUESSED_SLOTS = 4;
/** Part of the time that the probes at the end have for themselves. */
const FOR_PROBES = 0.85;

/**
 * Measures. Ends early, with what there is, when `user` fires, or the time or the tokens are used up. Never rejects for what
 * the server answers: a level says why its requests failed.
 */
export async function measure(
  target: Target,
  options: Wanted,
  user: AbortSignal,
  onProgress: (progress: Progress) => void = () => {},
): Promise<Capacity> {
  const started = performance.now();
  const budget = new AbortController();
  let endedBy: Capacity["endedBy"];
  const end = (why: Capacity["endedBy"]) => {
    endedBy ??= why;
    budget.abort();
  };
  const signal = AbortSignal.any([user, budget.signal]);
  user.addEventListener("abort", () => end("user"), { once: true });
  const timer = setTimeout(() => end("time"), options.withinMs);
  const dispatcher = new Agent({ connections: 1024, pipelining: 1, keepAliveTimeout: 4000 });
  const state = { outputTokens: 0, open: 0 };
  const send = async (question: Question, until: AbortSignal): Promise<Call> => {
    state.open += 1;
    try {
      const one = await call(target, question, until, dispatcher);
      state.outputTokens += Math.max(one.pieces.length, one.outcome === "done" ? one.outputTokens : 0);
      if (state.outputTokens >= options.tokens) end("tokens");
      return one;
    } finally {
      state.open -= 1;
    }
  };
  const watch = watchOthers(target, options.admin, () => state.open);
  const used = () => Math.min(1, (performance.now() - started) / options.withinMs);
  const perToken = await calibrate(send, options.promptTokens, signal);
  const parts: Part[] = [];
  try {
    for (const [i, answerTokens] of options.answers.entries()) {
      // Each length has its part of the time that is left, so that a slow server shows something of both.
      const left = options.withinMs * FOR_PROBES - (performance.now() - started);
      const share = AbortSignal.timeout(Math.round(Math.max(1000, left / (options.answers.length - i))));
      const context = {
        answerTokens,
        send,
        perToken,
        signal: AbortSignal.any([signal, share]),
        options,
        slots: target.slots,
        onProgress,
        used,
      };
      parts.push(await part(context, options));
    }
    const first = parts[0]?.sweep.levels[0];
    const probes = await probeAll(target, options, first, parts, { signal, dispatcher, send, perToken });
    return {
      target: { url: target.url, api: target.api, model: target.model, server: target.server, slots: target.slots },
      at: new Date().toISOString(),
      promptTokens: options.promptTokens,
      ledgerCalls: options.ledgerCalls,
      parts,
      deciding: deciding(parts),
      ...probes,
      relaySlots: watch.relaySlots(),
      others: watch.others(),
      seconds: Math.round((performance.now() - started) / 1000),
      outputTokens: state.outputTokens,
      endedBy: endedBy ?? (parts.some(({ sweep: { isComplete } }) => !isComplete) ? "time" : undefined),
    };
  } finally {
    clearTimeout(timer);
    watch.stop();
    await dispatcher.destroy();
  }
}

/** The part with the least knee. */
export function deciding(parts: readonly Part[]): Part | undefined {
  const known = parts.filter(({ sweep: { knee } }) => knee !== undefined && knee.finished + knee.tokensPerSecond > 0);
  return known.reduce<Part | undefined>(
    (least, one) => (least === undefined || one.sweep.knee!.atOnce < least.sweep.knee!.atOnce ? one : least),
    undefined,
  );
}

type Send = (question: Question, signal: AbortSignal) => Promise<Call>;

/** One short answer loads the model, and shows how many characters a token has here. */
async function calibrate(send: Send, promptTokens: number, signal: AbortSignal): Promise<number> {
  const question = { ...questions({ promptTokens, answerTokens: 4 }).cold(), answerTokens: 4 };
  const { promptTokens: counted } = await send(question, signal);
  if (counted === undefined || counted < 8) return CHARACTERS_PER_TOKEN;
  return Math.min(8, Math.max(1, question.prompt.length / counted));
}

interface PartContext {
  readonly answerTokens: number;
  readonly send: Send;
  readonly perToken: number;
  readonly signal: AbortSignal;
  readonly options: Wanted;
  readonly slots: number | undefined;
  onProgress(progress: Progress): void;
  used(): number;
}

async function part(context: PartContext, assumptions: Assumptions): Promise<Part> {
  const { answerTokens, options, signal, perToken } = context;
  const asked = questions({ promptTokens: options.promptTokens, answerTokens }, perToken);
  let last: Level | undefined;
  const at = async (atOnce: number, next: () => Question): Promise<Level | undefined> => {
    context.onProgress({ used: context.used(), what: `answers of ${answerTokens}`, atOnce, last });
    const measured = await measureLevel({
      atOnce,
      next,
      send: context.send,
      leastMs: options.levelMs,
      mostMs: 4 * options.levelMs,
      warmUpMs: 4 * options.levelMs,
      signal,
    });
    last = measured?.level ?? last;
    return measured?.level;
  };
  const found = await sweep((atOnce) => at(atOnce, asked.cold), {
    most: options.most,
    ttftMs: options.ttftMs,
    slots: context.slots,
  });
  const { knee } = found;
  const warm = knee && !signal.aborted ? await at(knee.atOnce, warmOnes(asked, knee.atOnce)) : undefined;
  const advice = knee && advise(knee, answerTokens, assumptions);
  return { answerTokens, sweep: found, warm, advice };
}

/** As many prompts as there are requests at once: after the first round each of them was seen before. */
function warmOnes(asked: Questions, atOnce: number): () => Question {
  let i = 0;
  return () => asked.warm(i++ % atOnce);
}

async function probeAll(
  target: Target,
  options: Wanted,
  first: Level | undefined,
  parts: readonly Part[],
  { signal, dispatcher, send, perToken }: { signal: AbortSignal; dispatcher: Dispatcher; send: Send; perToken: number },
): Promise<Pick<Capacity, "warm" | "vectors" | "drift">> {
  if (signal.aborted) return { warm: undefined, vectors: undefined, drift: undefined };
  const warm = await probeWarm(target, target.slots ?? GUESSED_SLOTS, signal, dispatcher);
  const vectors = signal.aborted
    ? undefined
    : await probeVectors(target, options.embeddingModel ?? target.model, signal, dispatcher);
  if (signal.aborted || first === undefined) return { warm, vectors, drift: undefined };
  const answerTokens = parts[0]?.answerTokens ?? 32;
  const asked = questions({ promptTokens: options.promptTokens, answerTokens }, perToken);
  const times = { leastMs: options.levelMs, mostMs: 4 * options.levelMs, warmUpMs: 4 * options.levelMs };
  const again = await measureLevel({ atOnce: 1, next: asked.cold, send, signal, ...times });
  return { warm, vectors, drift: again && again.level.tokensPerSecond / Math.max(1e-9, first.tokensPerSecond) };
}
