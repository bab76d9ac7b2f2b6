/** What is left of quotas by minute, in OpenAI's headers. */
import type { MinuteState, QuotaFlow } from "./quota-flow.ts";

/** @returns of the flow that has least left; undefined when none has a quota by minute */
export function headersOf(flows: readonly QuotaFlow[], now: number): Record<string, string> | undefined {
  const states = flows.map((flow) => flow.left(now));
  const headers: Record<string, string> = {};
  for (const unit of ["requests", "tokens"] as const) {
    const [least] = states
      .flatMap((state) => state[unit] ?? [])
      .sort((a: MinuteState, b: MinuteState) => a.remaining - b.remaining);
    if (least === undefined) continue;
    headers[`x-ratelimit-limit-${unit}`] = String(least.limit);
    headers[`x-ratelimit-remaining-${unit}`] = String(least.remaining);
    headers[`x-ratelimit-reset-${unit}`] = goDuration(least.resetMs);
  }
  return Object.keys(headers).length === 0 ? undefined : headers;
}

/** As OpenAI's headers write durations: `1s`, `6m0s`, `20ms`. */
function goDuration(ms: number): string {
  if (ms < 1000) return `${Math.ceil(ms)}ms`;
  const seconds = Math.ceil(ms / 1000);
  const minutes = Math.floor(seconds / 60);
  return minutes === 0 ? `${seconds}s` : `${minutes}m${seconds % 60}s`;
}
