/** Metrics by queue (label `lane`) and caller. Only configured callers get here, so the label sets are bounded. */
import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import type { Meter, Usage } from "../usage/usage.ts";
import type { Admission } from "./admission.ts";
import type { QueueName, QueueSnapshot } from "./slot-request.ts";

/** A request that had a slot and has ended, completely or not. Times in ms. */
export interface ServedRequest {
  readonly queue: QueueName;
  readonly caller: string;
  readonly waitedMs: number;
  /** From the request's arrival to the first byte of the answer; undefined without one. */
  readonly firstMs: number | undefined;
  /** From the first byte to the last; undefined unless streamed. */
  readonly streamedMs: number | undefined;
  readonly usage: Usage;
  readonly requestBytes: number;
  readonly answerBytes: number;
}

/** Where tokens come from, unless from a direct request to the model server. */
export type TokenSource = "job" | "fallback" | "documents";

export interface QueueMetrics {
  /** Meters of the answers that are under way, in slots: added and removed by the call. */
  readonly running: Set<Pick<Meter, "events">>;
  served(request: ServedRequest): void;
  /** Counts tokens that do not come from a direct request to the model server. */
  usedTokens(queue: QueueName, caller: string, source: TokenSource, usage: Usage): void;
}

const WAIT_SECONDS = [0.005, 0.05, 0.25, 1, 2.5, 5, 10, 30, 60, 120, 300];
const TOKEN_SECONDS = [0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 1, 5];

export function createQueueMetrics(registry: Registry, admission: Admission): QueueMetrics {
  const registers = [registry];
  const byCaller = ["lane", "caller"] as const;
  registerGauges(registry, admission);
  const wait = new Histogram({
    name: "slm_queue_wait_seconds",
    help: "Time a request waited for its slot.",
    labelNames: byCaller,
    buckets: WAIT_SECONDS,
    registers,
  });
  const first = new Histogram({
    name: "slm_time_to_first_token_seconds",
    help: "From a request's arrival to the first byte of the model's answer, including the wait.",
    labelNames: byCaller,
    buckets: WAIT_SECONDS,
    registers,
  });
  const perToken = new Histogram({
    name: "slm_time_per_output_token_seconds",
    help: "Streamed answers: time from the first to the last byte, per token after the first.",
    labelNames: byCaller,
    buckets: TOKEN_SECONDS,
    registers,
  });
  const tokens = new Counter({
    name: "slm_tokens_total",
    help: "Tokens as reported by the server, otherwise events of the stream. Without a source: direct requests to the model server.",
    labelNames: ["lane", "caller", "kind", "source"] as const,
    registers,
  });
  const bytes = new Counter({
    name: "slm_body_bytes_total",
    help: "Bytes of bodies: requests (in) and answers (out).",
    labelNames: ["lane", "caller", "direction"] as const,
    registers,
  });
  return {
    running: new Set(),
    usedTokens(lane, caller, source, { prompt, output }) {
      add(tokens, { lane, caller, source, kind: "prompt" }, prompt);
      add(tokens, { lane, caller, source, kind: "output" }, output);
    },
    served({ queue: lane, caller, waitedMs, firstMs, streamedMs, usage, requestBytes, answerBytes }) {
      const labels = { lane, caller };
      const { prompt, output = 0 } = usage;
      wait.observe(labels, waitedMs / 1000);
      if (firstMs !== undefined) first.observe(labels, firstMs / 1000);
      if (streamedMs !== undefined && output > 1) perToken.observe(labels, streamedMs / 1000 / (output - 1));
      add(tokens, { ...labels, kind: "prompt" }, prompt);
      add(tokens, { ...labels, kind: "output" }, output);
      add(bytes, { ...labels, direction: "in" }, requestBytes);
      add(bytes, { ...labels, direction: "out" }, answerBytes);
    },
  };
}

/** Adds to a counter. Nothing is added for 0: there is no series then. */
function add<T extends string>(counter: Counter<T>, labels: Partial<Record<T, string>>, amount = 0): void {
  if (amount > 0) counter.inc(labels, amount);
}

/** Values that are read from the queues when the metrics are scraped. */
function registerGauges(registry: Registry, admission: Admission): void {
  type Value = Exclude<keyof QueueSnapshot, "callers" | "serviceMs">;
  const byQueue = (name: string, help: string, value: Value) =>
    new Gauge({
      name,
      help,
      labelNames: ["lane"] as const,
      registers: [registry],
      collect() {
        for (const [lane, state] of Object.entries(admission.snapshot())) this.set({ lane }, state[value]);
      },
    });
  byQueue("slm_lane_slots", "Requests that can run at once.", "slots");
  byQueue("slm_lane_running", "Running requests.", "running");
  byQueue("slm_lane_running_jobs", "Running jobs and other background work.", "runningBackground");
  byQueue("slm_lane_waiting", "Requests waiting for a slot, without jobs.", "waiting");
  byQueue("slm_lane_waiting_bytes", "Bytes of the bodies that wait.", "waitingBytes");
  byQueue("slm_lane_waiting_jobs", "Jobs waiting for a slot.", "waitingBackground");
  const byCaller = (name: string, help: string, value: "running" | "waiting") =>
    new Gauge({
      name,
      help,
      labelNames: ["lane", "caller"] as const,
      registers: [registry],
      collect() {
        this.reset();
        for (const [lane, { callers }] of Object.entries(admission.snapshot())) {
          for (const [caller, one] of Object.entries(callers)) this.set({ lane, caller }, one[value]);
        }
      },
    });
  byCaller("slm_lane_waiting_by_caller", "Waiting requests and jobs, by caller.", "waiting");
  byCaller("slm_lane_running_by_caller", "Running requests and jobs, by caller.", "running");
}
