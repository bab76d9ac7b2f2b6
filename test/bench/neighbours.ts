/**
 * What one caller who sends the longest bodies does to another: the delay of short requests, at rest and meanwhile, in one
 * run. The load comes from processes of its own (`neighbours-load.ts`): what building such bodies costs must not be measured.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { Client } from "undici";
import type { Values } from "./measures.ts";
import { quantile } from "./process.ts";
import type { Target } from "./targets.ts";

/** What the loud caller does; see `neighbours-load.ts`. */
export const LOADS = ["64 MiB text", "64 MiB nested", "64 MiB of keys", "64 MiB documents", "float vectors"] as const;
export type Load = (typeof LOADS)[number];

/** How the measures that count against the goal end. */
export const LESS_AT_REST = ", less at rest, ms";

const BODY = JSON.stringify({ model: "m", messages: [{ role: "user", content: "hi" }] });

/** Asks one short request after another for `ms`; how long each took, in ms. */
async function delays(url: string, token: () => string, ms: number): Promise<number[]> {
  const client = new Client(url);
  const all: number[] = [];
  const end = performance.now() + ms;
  while (performance.now() < end) {
    const from = performance.now();
    const answer = await client.request({
      method: "POST",
      path: "/v1/chat/completions",
      body: BODY,
      headers: { "content-type": "application/json", "cf-access-jwt-assertion": token() },
    });
    await answer.body.dump();
    all.push(performance.now() - from);
    if (answer.statusCode !== 200) throw new Error(`the quiet caller got ${answer.statusCode}`);
  }
  await client.destroy();
  return all;
}

/** p99.9 of the quiet caller's delay at rest and under each load, less that at rest. */
export async function neighbours(
  { url }: Target,
  { token, loudToken, seconds }: { token: () => string; loudToken: string; seconds: number },
): Promise<Values> {
  await delays(url, token, 2000);
  const rest = quantile(await delays(url, token, seconds * 1000), 0.999);
  const values: Record<string, number> = { "quiet p99.9 at rest, ms": rest };
  for (const load of LOADS) {
    const child = fork(join(import.meta.dirname, "neighbours-load.ts"), [url, load, loudToken]);
    const ended = once(child, "exit");
    await Promise.race([
      once(child, "message"), // it has everything, and begins
      ended.then(() => Promise.reject(new Error(`the load "${load}" ended by itself`))),
    ]);
    try {
      const all = await delays(url, token, seconds * 1000);
      values[`quiet p99.9, ${load}${LESS_AT_REST}`] = quantile(all, 0.999) - rest;
    } finally {
      child.kill("SIGKILL");
      await ended;
    }
  }
  return values;
}
