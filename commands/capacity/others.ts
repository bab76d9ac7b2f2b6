/** Other callers meanwhile: they take part of what is measured. */
import { request } from "undici";
import { z } from "zod";
import type { Target } from "./target.ts";

/** What was seen of others. */
export interface Others {
  /** Most requests of others that were seen at once. */
  readonly most: number;
  /** Who says so. */
  readonly source: string;
}

const detailsSchema = z.object({
  lanes: z.object({ chat: z.object({ running: z.number(), waiting: z.number(), slots: z.number() }) }),
});
const slotsSchema = z.array(z.object({ is_processing: z.boolean() }));
const everyMs = 1500;

/** A watch over the relay's admin listener, or llama-server's own list of slots. */
export interface Watch {
  /** Slots that the relay gives out, where it says so. */
  relaySlots(): number | undefined;
  /** Undefined: nobody else was seen, or nothing tells. */
  others(): Others | undefined;
  /** Whether anything told. */
  isWatching(): boolean;
  stop(): void;
}

/** @param open how many requests of ours are open now */
export function watchOthers(target: Target, admin: URL | undefined, open: () => number): Watch {
  let [most, told, before] = [0, false, 0];
  let slots: number | undefined;
  const source = admin ? "the relay" : "the model server";
  const look = async (): Promise<number | undefined> => {
    // Before and after: ours change while it is asked.
    const ours = open();
    const seen = await (admin ? runningInRelay(admin) : runningInServer(target));
    if (seen === undefined) return undefined;
    slots = seen.slots ?? slots;
    return seen.running - Math.max(ours, open());
  };
  const timer = setInterval(() => {
    look().then(
      (found) => {
        told ||= found !== undefined;
        // Twice in a row: a request of ours that was cut at the end of a level may still be computed for a moment.
        most = Math.max(most, Math.min(before, found ?? 0));
        before = found ?? 0;
      },
      () => {},
    );
  }, everyMs);
  timer.unref();
  return {
    relaySlots: () => slots,
    others: () => (most > 0 ? { most, source } : undefined),
    isWatching: () => told,
    stop: () => clearInterval(timer),
  };
}

async function runningInRelay(admin: URL): Promise<{ running: number; slots: number } | undefined> {
  const { body, statusCode } = await request(new URL("/details", admin), { signal: AbortSignal.timeout(3000) });
  const text = await body.text();
  if (statusCode !== 200) return undefined;
  const { chat } = detailsSchema.parse(JSON.parse(text)).lanes;
  return { running: chat.running + chat.waiting, slots: chat.slots };
}

async function runningInServer({ url, headers }: Target): Promise<{ running: number; slots: undefined } | undefined> {
  const { body, statusCode } = await request(`${url}/slots`, { headers, signal: AbortSignal.timeout(3000) });
  const text = await body.text();
  if (statusCode !== 200) return undefined;
  const running = slotsSchema.parse(JSON.parse(text)).filter(({ is_processing }) => is_processing).length;
  return { running, slots: undefined };
}
