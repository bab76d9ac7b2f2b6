/** Who may use the model server now, and who waits: slots by lane, first come first served. */
import type { Caller, Limits } from "../../config.ts";
import { CallerLeft } from "../body.ts";

/** Requests that share slots. */
export type Lane = "chat" | "embeddings";

/** What wants a slot. */
export interface Ticket {
  readonly lane: Lane;
  readonly caller: Caller;
  readonly estimatedTokens: number;
  readonly bytes: number;
  /** Leaves the queue at once when this fires. */
  readonly signal: AbortSignal;
  /** Jobs wait for ever and do not count against waiting bounds. */
  readonly background?: boolean;
}

/** The right to run one request. */
export interface Slot {
  readonly waitedMs: number;
  /** Frees the slot. Idempotent. */
  release(usedTokens?: number): void;
}

export interface Admission {
  /** Resolves with a slot; rejects with CallerLeft when the ticket's signal fires. */
  acquire(ticket: Ticket): Promise<Slot>;
  /** How long somebody who came now would wait. */
  expectedWaitMs(lane: Lane): number;
}

const LANES: Readonly<Record<string, Lane>> = {
  "/v1/chat/completions": "chat",
  "/v1/completions": "chat",
  "/v1/responses": "chat",
  "/api/chat": "chat",
  "/api/generate": "chat",
  "/v1/embeddings": "embeddings",
  "/api/embed": "embeddings",
  "/api/embeddings": "embeddings",
};

/** The lane of a route's name; undefined for what never waits. */
export function laneOf(routeName: string): Lane | undefined {
  return LANES[routeName];
}

/** Tokens of prompt and answer together, guessed from the body's length. */
export function estimateTokens(_routeName: string, body: Buffer): number {
  return Math.max(64, Math.ceil(body.length / 4));
}

export function createAdmission(limits: Limits): Admission {
  const free = { chat: limits.chat, embeddings: limits.embeddings };
  const waiting = { chat: new Set<() => void>(), embeddings: new Set<() => void>() };
  const next = (lane: Lane) => {
    const [first] = waiting[lane];
    if (first === undefined || free[lane] === 0) return;
    waiting[lane].delete(first);
    first();
  };
  return {
    expectedWaitMs: () => 0,
    acquire: ({ lane, signal }) =>
      new Promise((resolve, reject) => {
        const left = () => {
          waiting[lane].delete(start);
          reject(new CallerLeft("the caller left while waiting"));
        };
        const begun = performance.now();
        const start = () => {
          signal.removeEventListener("abort", left);
          free[lane] -= 1;
          let held = true;
          resolve({
            waitedMs: performance.now() - begun,
            release() {
              if (!held) return;
              held = false;
              free[lane] += 1;
              next(lane);
            },
          });
        };
        if (signal.aborted) return left();
        signal.addEventListener("abort", left, { once: true });
        waiting[lane].add(start);
        next(lane);
      }),
  };
}
