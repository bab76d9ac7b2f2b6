/** Who gets a slot at the model server: so many at once a lane, the others in the order they came. */
import type { Caller, Limits } from "../../config.ts";
import { CallerLeft } from "../body.ts";

export type Lane = "chat" | "embeddings";

export interface Ticket {
  readonly lane: Lane;
  readonly caller: Caller;
  readonly estimatedTokens: number;
  readonly bytes: number;
  readonly signal: AbortSignal;
  /** Waits for ever and does not count against waiting bounds. */
  readonly background?: boolean;
}

export interface Slot {
  readonly waitedMs: number;
  /** Gives the slot back; a second call does nothing. */
  release(usedTokens?: number): void;
}

export interface Admission {
  /** Resolves with a slot; rejects with CallerLeft once the ticket's signal fires. */
  acquire(ticket: Ticket): Promise<Slot>;
}

/** Makes the lanes, as wide as the limits say. */
export function createAdmission(limits: Pick<Limits, Lane>): Admission {
  const free: Record<Lane, number> = { chat: limits.chat, embeddings: limits.embeddings };
  const waiting: Record<Lane, (() => void)[]> = { chat: [], embeddings: [] };
  return {
    acquire: ({ lane, signal }) =>
      new Promise((resolve, reject) => {
        const since = performance.now();
        const left = () => {
          waiting[lane] = waiting[lane].filter((one) => one !== enter);
          reject(new CallerLeft("the caller left while waiting for a slot"));
        };
        const enter = () => {
          signal.removeEventListener("abort", left);
          let held = true;
          resolve({
            waitedMs: performance.now() - since,
            release() {
              if (!held) return;
              held = false;
              const next = waiting[lane].shift();
              if (next) next();
              else free[lane] += 1;
            },
          });
        };
        if (signal.aborted) return left();
        signal.addEventListener("abort", left, { once: true });
        if (free[lane] === 0) return void waiting[lane].push(enter);
        free[lane] -= 1;
        enter();
      }),
  };
}
