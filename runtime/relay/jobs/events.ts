/** `GET /v1/jobs/{id}/events`: a job's changes as server-sent events. */
import type { HeldExchange } from "../http/exchange.ts";
import { fromStore, type Jobs } from "./jobs.ts";
import type { JobRecord } from "./store.ts";
import { isFinal, jobView } from "./views.ts";

/** Shortest time between two events about the place in the queue or the bytes received. */
const LOOK_MS = 1000;
/** Cloudflare ends a request after 100 s without a byte. */
const COMMENT_MS = 15_000;

/**
 * Sends `event: job` with the job, as `GET /v1/jobs/{id}` returns it, now and at each change, and ends after the final one.
 * Every connection starts with the current state, so a client that reconnects has missed nothing. Sends a comment every
 * 15 s. Resolves at the end; rejects only before the first event, with `too_many_streams`.
 */
export async function followJob(exchange: HeldExchange, jobs: Jobs, job: JobRecord): Promise<void> {
  const { res, signal } = exchange;
  exchange.holding.stream(); // until the exchange ends
  res.writeHead(200, { "Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no" });
  let last = "";
  let spokenAt = 0;
  const tell = (now: JobRecord) => {
    const data = JSON.stringify(jobView(now, jobs.live(now)));
    const silent = performance.now() - spokenAt;
    if (data === last && silent < COMMENT_MS) return;
    res.write(data === last ? ": still here\n\n" : `event: job\ndata: ${data}\n\n`);
    last = data;
    spokenAt = performance.now();
  };
  let now = job;
  tell(now);
  while (!isFinal(now) && !signal.aborted && !jobs.changes.closed) {
    await pause(jobs, job.id, signal);
    if (signal.aborted) break;
    try {
      const found = await fromStore(jobs.store.find(job.owner, job.id));
      if (found === undefined) break;
      now = found;
    } catch {
      break; // the connection ends without a final event: the client asks again
    }
    // Nothing is written while the client does not read: the next event contains the whole state.
    if (!res.writableNeedDrain) tell(now);
  }
  if (isFinal(now)) tell(now);
  res.end();
}

function pause(jobs: Jobs, id: string, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const go = () => {
      clearTimeout(timer);
      unwatch();
      signal.removeEventListener("abort", go);
      resolve();
    };
    const timer = setTimeout(go, LOOK_MS);
    const unwatch = jobs.changes.watch(id, go);
    signal.addEventListener("abort", go, { once: true });
  });
}
