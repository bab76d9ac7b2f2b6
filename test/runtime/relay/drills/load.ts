/** A random load of jobs and direct calls from several callers, and a record of what was acknowledged. */
import { randomUUID } from "node:crypto";
import type { DrillCaller, Installation } from "./bundled.ts";
import type { Random } from "./seed.ts";

export interface Acknowledged {
  readonly caller: DrillCaller;
  /** 32 hex digits. */
  readonly id: string;
  /** The text that only this job's answer contains. */
  readonly marker: string;
}

export interface Load {
  readonly acknowledged: Map<string, Acknowledged>;
  /** Direct calls that were answered. */
  direct: number;
  /** Requests without a complete answer. */
  lost: number;
  /** Answers that were neither expected nor acceptable refusals. */
  readonly wrong: string[];
  /** Sends requests until `signal` aborts. */
  run(signal: AbortSignal): Promise<void>;
}

/** Acceptable refusals of a relay under load, whose model server is killed now and then. */
const REFUSALS = [409, 429, 502, 503, 504];

/** @param more statuses of acceptable refusals */
export function createLoad(
  { url, callers }: Pick<Installation, "url" | "callers">,
  random: Random,
  chatModel: string,
  more: readonly number[] = [],
): Load {
  const load: Load = { acknowledged: new Map(), direct: 0, lost: 0, wrong: [], run };
  const refusals = new Set([...REFUSALS, ...more]);
  /** Jobs whose 202 never came: repeated with the same key, each must be one job. */
  const unsure: { caller: DrillCaller; body: string; key: string; marker: string }[] = [];

  async function run(signal: AbortSignal): Promise<void> {
    await Promise.all(callers.flatMap((caller) => [one(caller, signal), one(caller, signal)]));
  }

  async function one(caller: DrillCaller, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const again = unsure.findIndex((entry) => entry.caller === caller);
      if (again >= 0) await job(unsure.splice(again, 1)[0]!, signal);
      else if (random.next() < 0.7) {
        const marker = randomUUID();
        const text = `${marker} ${"말 ".repeat(random.between(1, 30))}`;
        const body = JSON.stringify({ model: chatModel, messages: [{ role: "user", content: text }] });
        await job({ caller, body, key: randomUUID(), marker }, signal);
      } else await call(caller, signal);
    }
  }

  async function job(entry: (typeof unsure)[number], signal: AbortSignal): Promise<void> {
    const { caller, body, key, marker } = entry;
    try {
      const response = await fetch(`${url}/v1/chat/completions`, {
        method: "POST",
        body,
        headers: {
          ...caller.headers,
          "Content-Type": "application/json",
          Prefer: "respond-async",
          "Idempotency-Key": key,
        },
        signal,
      });
      const text = await response.text();
      if (response.status !== 202) {
        if (!refusals.has(response.status)) load.wrong.push(`job: ${response.status} ${text}`);
        return;
      }
      const id = (JSON.parse(text) as { id: string }).id.replace("job_", "");
      const before = [...load.acknowledged.values()].find((known) => known.marker === marker);
      if (before !== undefined && before.id !== id) load.wrong.push(`${key} gave two jobs: ${before.id} and ${id}`);
      load.acknowledged.set(id, { caller, id, marker });
      // Sometimes repeats as if the 202 had been lost: it must be the same job.
      if (random.next() < 0.1) unsure.push(entry);
    } catch {
      load.lost += 1;
      unsure.push(entry);
    }
  }

  async function call(caller: DrillCaller, signal: AbortSignal): Promise<void> {
    const marker = randomUUID();
    const stream = random.next() < 0.5;
    const body = JSON.stringify({ model: chatModel, stream, messages: [{ role: "user", content: marker }] });
    const key: Record<string, string> = random.next() < 0.5 ? { "Idempotency-Key": randomUUID() } : {};
    try {
      const response = await fetch(`${url}/v1/chat/completions`, {
        method: "POST",
        body,
        headers: { ...caller.headers, "Content-Type": "application/json", ...key },
        signal,
      });
      const text = await response.text();
      if (response.status !== 200) {
        if (!refusals.has(response.status)) load.wrong.push(`call: ${response.status} ${text}`);
      } else if (!stream && !text.includes(marker)) load.wrong.push(`an answer of somebody else: ${text}`);
      else load.direct += 1;
    } catch {
      load.lost += 1;
    }
  }
  return load;
}
