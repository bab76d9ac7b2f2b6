/**
 * `limits.chat: auto` under load: its trace, and its throughput beside every fixed number, in one run. Before a real model server,
 * or before the emulator whose number of slots changes meanwhile.
 */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { Agent } from "undici";
import { z } from "zod";
import { type Call, call } from "../../../commands/capacity/call.ts";
import { questions } from "../../../commands/capacity/prompts.ts";
import { tokensBetween } from "../../../commands/capacity/stats.ts";
import type { Target as Asked } from "../../../commands/capacity/target.ts";
import { buildRelay } from "../../built-relay.ts";
import { createAccess } from "../access.ts";
import { startRelay } from "../targets.ts";

/** What is measured. */
export interface AutoPlan {
  readonly model: { readonly url: string; readonly name: string };
  /** Bounds of `auto`; each number between them is also measured as a fixed one. */
  readonly bounds: { readonly min: number; readonly max: number };
  /** Requests that are always open. */
  readonly callers: number;
  readonly promptTokens: number;
  readonly answerTokens: number;
  /** Seconds until auto's throughput counts: it begins at `min`. */
  readonly climbSeconds: number;
  /** Rounds of auto and every fixed number in turn, and the seconds of each. */
  readonly rounds: number;
  readonly seconds: number;
  /** Called between the climb and the rounds; the model may change then. */
  readonly change?: () => void;
  readonly log: (line: string) => void;
}

/** What was found. Rates in output tokens per second of the whole server. */
export interface AutoResult {
  readonly trace: readonly { readonly seconds: number; readonly slots: number; readonly why: string }[];
  /** Numbers that were in force during auto's windows. */
  readonly slots: readonly number[];
  readonly auto: number;
  /** Medians by fixed number. */
  readonly fixed: Readonly<Record<number, number>>;
  readonly bestFixed: number;
  /** `auto` over the throughput of `bestFixed`: median of the rounds' own ratios, since the machine changes between rounds. */
  readonly ratio: number;
}

const stateSchema = z.object({
  slots: z.int(),
  history: z.array(z.object({ at: z.number(), to: z.int(), reason: z.string() })),
});

const middle = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[Math.floor((sorted.length - 1) / 2)]! + sorted[Math.floor(sorted.length / 2)]!) / 2;
};

/** A relay with a number of slots, under load for as long as it is asked. */
class Loaded {
  readonly #asked: Asked;
  readonly #plan: AutoPlan;
  readonly #next: ReturnType<typeof questions>["cold"];
  readonly #token: () => string;

  constructor(url: string, plan: AutoPlan, token: () => string) {
    this.#asked = { url, api: "openai", model: plan.model.name, headers: {}, slots: undefined, server: "relay" };
    this.#plan = plan;
    this.#token = token;
    this.#next = questions(plan).cold;
  }

  /** @returns output tokens per second within `seconds`, after all callers have begun */
  async throughput(seconds: number): Promise<number> {
    const over = new AbortController();
    const dispatcher = new Agent({ connections: 256, pipelining: 1 });
    const calls: Call[] = [];
    const caller = async (): Promise<void> => {
      while (!over.signal.aborted) {
        const headers = { "cf-access-jwt-assertion": this.#token() };
        const one = await call({ ...this.#asked, headers }, this.#next(), over.signal, dispatcher);
        if (one.outcome === "failed") throw new Error(`a caller got ${one.why}`);
        calls.push(one);
      }
    };
    const callers = Array.from({ length: this.#plan.callers }, caller);
    await Promise.race([wait(Math.min(6000, seconds * 300)), ...callers]);
    const from = performance.now();
    await Promise.race([wait(seconds * 1000), ...callers]);
    const to = performance.now();
    over.abort();
    await Promise.all(callers);
    await dispatcher.destroy();
    return calls.reduce((sum, one) => sum + tokensBetween(one, from, to), 0) / ((to - from) / 1000);
  }
}

/** Measures. @throws Error when a request fails */
export async function measureAuto(plan: AutoPlan): Promise<AutoResult> {
  const { bounds, log } = plan;
  const folder = await mkdtemp(join(tmpdir(), "slm-auto-"));
  const access = createAccess(6000);
  const program = await buildRelay(folder);
  const token = () => access.token();
  const relays = new Map<number | "auto", Awaited<ReturnType<typeof startRelay>>>();
  try {
    const start = async (slots: number | "auto") => {
      const chat = slots === "auto" ? bounds : slots;
      const relay = await startRelay(folder, program, plan.model.url, access, chat, 75);
      relays.set(slots, relay);
      return new Loaded(relay.url, plan, token);
    };
    const auto = await start("auto");
    const fixed: (readonly [number, Loaded])[] = [];
    for (let n = bounds.min; n <= bounds.max; n += 1) fixed.push([n, await start(n)]);
    const state = async () =>
      stateSchema.parse(JSON.parse(await readFile(join(folder, "data-auto/chat-slots.json"), "utf8")));
    const began = Date.now();
    log(`auto climbs for ${plan.climbSeconds} s`);
    await auto.throughput(plan.climbSeconds);
    log(`at ${(await state()).slots}`);
    if (plan.change) {
      plan.change();
      log(`the model has changed; auto has another ${plan.climbSeconds} s`);
      await auto.throughput(plan.climbSeconds);
    }
    const [ofAuto, slots] = [[] as number[], [] as number[]];
    const ofFixed = new Map<number, number[]>();
    for (let round = 0; round < plan.rounds; round += 1) {
      ofAuto.push(await auto.throughput(plan.seconds));
      slots.push((await state()).slots);
      for (const [at] of fixed.entries()) {
        const [n, loaded] = fixed[(at + round) % fixed.length]!;
        ofFixed.set(n, [...(ofFixed.get(n) ?? []), await loaded.throughput(plan.seconds)]);
      }
      log(`round ${round + 1} of ${plan.rounds}: auto ${ofAuto.at(-1)?.toFixed(1)} tokens/s at ${slots.at(-1)}`);
    }
    const medians = Object.fromEntries([...ofFixed].map(([n, all]) => [n, middle(all)]));
    const bestFixed = [...ofFixed.keys()].reduce((best, n) => (medians[n]! > medians[best]! ? n : best));
    const ratio = middle(ofAuto.map((one, round) => one / ofFixed.get(bestFixed)![round]!));
    const trace = (await state()).history.map(({ at, to, reason }) => ({
      seconds: Math.round((at - began) / 1000),
      slots: to,
      why: reason,
    }));
    return { trace, slots, auto: middle(ofAuto), fixed: medians, bestFixed, ratio };
  } finally {
    await Promise.all([...relays.values()].map((relay) => relay.stop()));
    await rm(folder, { recursive: true, force: true });
  }
}
