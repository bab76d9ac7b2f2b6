/** `GET /v1/jobs/{id}/events`: a job's changes as they happen. */
import type { HeldExchange } from "../http/exchange.ts";
import { fromStore, type Jobs } from "./jobs.ts";
import type { JobRecord } from "./store.ts";
import { isFinal, jobView } from "./views.ts";

/** A change of the place in the queue, or of what has arrived, is told at most so often. */
const LOOK_MS = 1000;
/** Cloudflare ends a request after 100 s without a byte. */
const COMMENT_MS = 15_000;

/**
 * Sends `event: job` with the job, as `GET /v1/jobs/{id}` gives it, now and at each change, and ends after the one that is
 * final. Begins anew with every connection, so a client that lost its own has missed nothing. A comment every 15 s.
 * Resolves at the end; rejects only before the first event, with `too_many_streams`.
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
    // Whoever does not read is not written to: the next event tells all there is to tell.
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
