/** How fast the model server answers now. Counts what is under way, so that a long answer shows before it has ended. */
import type { QueueMetrics } from "../admission/metrics.ts";
import type { SpeedPart } from "./page-data.ts";

const SAMPLE_MS = 1000;
/** Window of `tokensPerSecond`. */
const WINDOW_MS = 10_000;
/** Window of what ended calls say. */
const CALLS_MS = 300_000;
/** Ended calls that are remembered. */
const CALLS = 256;

/** As much of a `Meter` as is read: events so far, about one a token. */
interface RunningAnswer {
  readonly events: number;
}

interface EndedCall {
  at: number;
  firstMs: number | undefined;
  streamedMs: number | undefined;
  tokens: number;
}

export interface LiveSpeed {
  /** Metrics that this also sees. */
  observed(metrics: QueueMetrics): QueueMetrics;
  now(): SpeedPart;
  close(): void;
}

/** @param clock monotonic, in ms */
export function createLiveSpeed(clock: () => number = () => performance.now()): LiveSpeed {
  let running: ReadonlySet<RunningAnswer> = new Set();
  let ended = 0;
  /** Ring of the last ended calls, made once: nothing is allocated for a call. */
  const calls = Array.from(
    { length: CALLS },
    (): EndedCall => ({ at: Number.NEGATIVE_INFINITY, firstMs: undefined, streamedMs: undefined, tokens: 0 }),
  );
  let next = 0;
  const samples: { at: number; tokens: number }[] = [{ at: clock(), tokens: 0 }];

  const total = (): number => {
    let sum = ended;
    for (const { events } of running) sum += events;
    return sum;
  };
  const sample = () => {
    const at = clock();
    samples.push({ at, tokens: total() });
    // One sample older than the window stays: the rate is taken from it.
    while (samples.length > 2 && samples[1]!.at <= at - WINDOW_MS) samples.shift();
  };
  const timer = setInterval(sample, SAMPLE_MS);
  timer.unref();

  return {
    observed(metrics) {
      running = metrics.running;
      return {
        ...metrics,
        served(request) {
          metrics.served(request);
          const { queue, usage, firstMs, streamedMs } = request;
          if (queue !== "chat") return;
          const tokens = usage.output ?? 0;
          ended += tokens;
          const call = calls[next]!;
          call.at = clock();
          call.firstMs = firstMs;
          call.streamedMs = streamedMs;
          call.tokens = tokens;
          next = (next + 1) % CALLS;
        },
        usedTokens(queue, caller, source, usage) {
          metrics.usedTokens(queue, caller, source, usage);
          if (queue === "chat" && source === "job") ended += usage.output ?? 0;
        },
      };
    },
    now() {
      const at = clock();
      const [oldest] = samples;
      const seconds = Math.max(1, (at - oldest!.at) / 1000);
      const recent = calls.filter((call) => call.at >= at - CALLS_MS);
      const firsts = recent.flatMap(({ firstMs }) => (firstMs === undefined ? [] : [firstMs])).sort((a, b) => a - b);
      const streams = recent.filter(({ streamedMs = 0, tokens }) => streamedMs > 0 && tokens > 1);
      const streamedMs = streams.reduce((sum, call) => sum + call.streamedMs!, 0);
      const streamed = streams.reduce((sum, { tokens }) => sum + tokens - 1, 0);
      return {
        // An answer that says it had fewer tokens than events lowers the total when it ends.
        tokensPerSecond: Math.max(0, total() - oldest!.tokens) / seconds,
        perAnswer: streamedMs > 0 ? (streamed / streamedMs) * 1000 : null,
        firstTokenMs: firsts.length > 0 ? firsts[Math.floor(firsts.length / 2)]! : null,
        calls: recent.length,
        callsWindowMs: CALLS_MS,
      };
    },
    close: () => clearInterval(timer),
  };
}
