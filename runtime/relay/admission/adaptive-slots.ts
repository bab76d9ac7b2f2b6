/**
 * `limits.chat: auto` at work: feeds `adaptive.ts` with what the queue and the answers show, applies what it decides, and
 * keeps its state in a file, so that a restart begins where it was. A lost or damaged file only means that it begins again.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Counter, Gauge, type Registry } from "prom-client";
import { z } from "zod";
import type { Limits } from "../../limits-config.ts";
import { replaceFile } from "../replace-file.ts";
import type { Log } from "../telemetry/log.ts";
import {
  ADAPTIVE_TIMES,
  AdaptiveLimit,
  type AdaptiveState,
  type AdaptiveStep,
  type AdaptiveTimes,
} from "./adaptive.ts";
import type { Admission } from "./admission.ts";
import type { QueueMetrics } from "./metrics.ts";

/** How often the queue is looked at. */
const TICK_MS = 500;

const stepSchema = z.object({
  at: z.number(),
  from: z.int(),
  to: z.int(),
  reason: z.enum([
    "start",
    "bounds",
    "try_more",
    "more_pays",
    "more_does_not_pay",
    "try_fewer",
    "fewer_suffice",
    "fewer_cost",
    "first_token_late",
  ]),
  tokensPerSecond: z.object({ before: z.number().optional(), after: z.number().optional() }),
});
const stateSchema = z.object({ slots: z.int().min(1).max(256), history: z.array(stepSchema) });

/** What people see of it. */
export interface AdaptiveView {
  readonly slots: number;
  readonly min: number;
  readonly max: number;
  /** The newest first. */
  readonly history: readonly AdaptiveStep[];
}

export interface AdaptiveSlots {
  /** The limits with the number of chat slots that is in force now. */
  applied(limits: Limits): Limits;
  /** New limits: other bounds, or none any more. The caller applies what `applied` then gives. */
  update(limits: Limits): void;
  /** The same metrics; answers are noticed on the way. */
  observed(metrics: QueueMetrics): QueueMetrics;
  /** Undefined while `limits.chat` is a number. */
  view(): AdaptiveView | undefined;
  /** Writes the state. */
  close(): Promise<void>;
}

export interface AdaptiveSlotsOptions {
  readonly dataDir: string;
  readonly limits: Limits;
  readonly log: Log;
  readonly registry: Registry;
  /** Shorter times, for tests. */
  readonly times?: AdaptiveTimes | undefined;
}

/**
 * @param admission whose number of chat slots is changed, once it is there
 */
export async function openAdaptiveSlots(
  { dataDir, limits: first, log, registry, times = ADAPTIVE_TIMES }: AdaptiveSlotsOptions,
  admission: () => Admission,
): Promise<AdaptiveSlots> {
  const file = join(dataDir, "chat-slots.json");
  let limits = first;
  let limit: AdaptiveLimit | undefined;
  let timer: NodeJS.Timeout | undefined;
  let saved = "";
  let saving: Promise<void> = Promise.resolve();

  const save = (): Promise<void> => {
    if (limit === undefined) return saving;
    const text = `${JSON.stringify(limit.state)}\n`;
    if (text === saved) return saving;
    saved = text;
    saving = saving
      .then(() => replaceFile(file, text, { synced: false }))
      .catch((cause: unknown) => log.warn({ cause: String(cause) }, "the number of chat slots could not be saved"));
    return saving;
  };
  const applied = (wanted: Limits): Limits =>
    limit === undefined || wanted.chatAuto === undefined ? wanted : { ...wanted, chat: limit.slots };
  const apply = (): void => {
    admission().update(applied(limits));
    const step = limit?.state.history.at(-1);
    if (step) log.info({ from: step.from, to: step.to, reason: step.reason }, "slots for chat changed");
    void save();
  };
  let last = performance.now();
  const tick = (): void => {
    const now = performance.now();
    // A process that was suspended saw nothing meanwhile.
    const passed = Math.min(now - last, 4 * TICK_MS);
    last = now;
    const { running, slots, waiting, waitingBackground } = admission().snapshot().chat;
    if (limit?.passed(passed, running >= slots && waiting + waitingBackground > 0)) apply();
  };
  const start = (state: AdaptiveState | undefined): void => {
    if (limits.chatAuto === undefined) return;
    limit = new AdaptiveLimit(limits.chatAuto, state, times);
    last = performance.now();
    timer = setInterval(tick, TICK_MS);
    timer.unref();
    void save();
  };
  const stop = (): void => {
    clearInterval(timer);
    timer = undefined;
    limit = undefined;
  };

  start(await readState(file, log));
  createAdaptiveMetrics(registry, () => limit);
  return {
    applied,
    update(next) {
      limits = next;
      if (next.chatAuto === undefined) stop();
      else if (limit === undefined) start(undefined);
      else limit.setBounds(next.chatAuto);
      void save();
    },
    observed: (metrics) => ({
      ...metrics,
      served(request) {
        metrics.served(request);
        const { queue, usage, firstMs, waitedMs } = request;
        if (queue !== "chat") return;
        limit?.answered(usage.output ?? 0, firstMs === undefined ? undefined : firstMs - waitedMs);
      },
      usedTokens(queue, caller, source, usage) {
        metrics.usedTokens(queue, caller, source, usage);
        if (queue === "chat" && source === "job") limit?.answered(usage.output ?? 0, undefined);
      },
    }),
    view: () => limit && { slots: limit.slots, ...limit.bounds, history: [...limit.state.history].reverse() },
    async close() {
      await save();
      stop();
    },
  };
}

async function readState(file: string, log: Log): Promise<AdaptiveState | undefined> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch {
    return undefined; // the first start, or it was never set
  }
  try {
    const { slots, history } = stateSchema.parse(JSON.parse(text));
    return {
      slots,
      history: history.map((step) => ({
        ...step,
        tokensPerSecond: { before: step.tokensPerSecond.before, after: step.tokensPerSecond.after },
      })),
    };
  } catch (cause) {
    log.warn(
      { file, cause: String(cause).slice(0, 200) },
      "the number of chat slots is found again: its file is damaged",
    );
    return undefined;
  }
}

function createAdaptiveMetrics(registry: Registry, limit: () => AdaptiveLimit | undefined): void {
  new Gauge({
    name: "slm_adaptive_chat_slots",
    help: "Slots for chat that limits.chat: auto gives out now, and its bounds; not there while limits.chat is a number.",
    labelNames: ["value"] as const,
    registers: [registry],
    collect() {
      this.reset();
      const now = limit();
      if (now === undefined) return;
      this.set({ value: "now" }, now.slots);
      this.set({ value: "min" }, now.bounds.min);
      this.set({ value: "max" }, now.bounds.max);
    },
  });
  new Counter({
    name: "slm_adaptive_chat_changes_total",
    help: "Changes of the number of slots for chat that are remembered (50 at most), by reason.",
    labelNames: ["reason"] as const,
    registers: [registry],
    collect() {
      this.reset();
      for (const { reason } of limit()?.state.history ?? []) this.inc({ reason });
    },
  });
}
