/** The 429: what it says, and when to come back. Pure. */
import type { Limits } from "../../config.ts";
import { RelayError } from "../errors.ts";
import type { QueueName } from "./slot-request.ts";

const LONGEST_PAUSE_MS = 60_000;
const SHORTEST_PAUSE_MS = 250;

/**
 * An error with `Retry-After` (whole seconds), `retry-after-ms` (which the OpenAI SDKs prefer) and RateLimit fields: the
 * quota is requests at once, running and waiting together, and none is left.
 * Source: https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/
 */
export function refusal(
  code: "queue_full" | "queue_timeout",
  queue: QueueName,
  expectedWaitMs: number,
  limits: Limits,
): RelayError {
  const pauseMs = Math.round(Math.min(Math.max(expectedWaitMs, SHORTEST_PAUSE_MS), LONGEST_PAUSE_MS));
  const seconds = Math.ceil(pauseMs / 1000);
  const quota = limits[queue] + (limits.whenBusy === "queue" ? limits.waiting : 0);
  const message =
    code === "queue_timeout"
      ? `No slot became free within ${limits.waitSeconds} s.`
      : limits.whenBusy === "reject"
        ? `All ${limits[queue]} slots for ${queue} are taken.`
        : `Too many requests wait for the ${limits[queue]} slots for ${queue}.`;
  return new RelayError(code, `${message} Try again in ${seconds} s.`, {
    headers: {
      "Retry-After": String(seconds),
      "retry-after-ms": String(pauseMs),
      "RateLimit-Policy": `"${queue}";q=${quota};qu="concurrent-requests"`,
      RateLimit: `"${queue}";r=0;t=${seconds}`,
    },
  });
}
