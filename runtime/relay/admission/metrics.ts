/** What is counted by lane and caller. Callers are those of the config, so the label sets are bounded. */
import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import { BatchedCounter, memoize } from "../telemetry/batched-counter.ts";
import type { Usage } from "../usage/usage.ts";
import type { Admission } from "./admission.ts";
import type { QueueName } from "./slot-request.ts";

/** A request of a lane whose answer has ended, whole or not. Times in ms. */
export interface ServedRequest {
  readonly queue: QueueName;
  readonly caller: string;
  readonly waitedMs: number;
  /** From the request's arrival to the answer's first byte; undefined without one. */
  readonly firstMs: number | undefined;
  /** From the first byte to the last; undefined unless streamed. */
  readonly streamedMs: number | undefined;
  readonly usage: Usage;
  readonly requestBytes: number;
  readonly answerBytes: number;
}

/** Whose tokens they are, if not those of a direct request to the model server. */
export type TokenSource = "job" | "fallback" | "documents";

export interface QueueMetrics {
  served(request: ServedRequest): void;
  /** Tokens of what is no answer of the lane to a caller that waits: a job's, or the fallback's. */
  usedTokens(lane: QueueName, caller: string, source: TokenSource, usage: Usage): void;
  /** A request that went to the fallback. */
  fellBack(caller: string, reason: string): void;
}

const WAITS = [0.005, 0.05, 0.25, 1, 2.5, 5, 10, 30, 60, 120, 300];
const PER_TOKEN = [0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 1, 5];
const STATES = ["closed", "half-open", "open"] as const;

/** What is shown of the circuit breaker before the model server. */
interface BreakerView {
  readonly state: (typeof STATES)[number];
  /** How often it has opened since the start. */
  readonly opened: number;
}

export function createQueueMetrics(registry: Registry, admission: Admission, breaker: BreakerView): QueueMetrics {
  const registers = [registry];
  const byCaller = ["lane", "caller"] as const;
  gauges(registry, admission, breaker);
  const wait = new Histogram({
    name: "slm_queue_wait_seconds",
    help: "Time a request waited for its slot.",
    labelNames: byCaller,
    buckets: WAITS,
    registers,
  });
  const first = new Histogram({
    name: "slm_time_to_first_token_seconds",
    help: "From a request's arrival, its wait included, to the first byte of the model's answer.",
    labelNames: byCaller,
    buckets: WAITS,
    registers,
  });
  const perToken = new Histogram({
    name: "slm_time_per_output_token_seconds",
    help: "Of streamed answers: first to last byte, by tokens after the first.",
    labelNames: byCaller,
    buckets: PER_TOKEN,
    registers,
  });
  const tokens = new BatchedCounter({
    name: "slm_tokens_total",
    help: "Tokens as the server counts them; where it does not, events of the stream. Without a source: direct requests to the model server.",
    labelNames: ["lane", "caller", "kind", "source"] as const,
    registers,
  });
  const bytes = new BatchedCounter({
    name: "slm_body_bytes_total",
    help: "Bytes of bodies: requests (in) and answers (out).",
    labelNames: ["lane", "caller", "direction"] as const,
    registers,
  });
  const fallbacks = new Counter({
    name: "slm_fallback_requests_total",
    help: "Requests sent to the fallback server, by the error they would have got.",
    labelNames: ["caller", "reason"] as const,
    registers,
  });
  const cellsOf = memoize((lane, caller) => {
    const labels = { lane: lane!, caller: caller! };
    return {
      prompt: tokens.cell({ ...labels, kind: "prompt" }),
      output: tokens.cell({ ...labels, kind: "output" }),
      in: bytes.cell({ ...labels, direction: "in" }),
      out: bytes.cell({ ...labels, direction: "out" }),
    };
  });
  const sourceCells = memoize((lane, caller, source) => {
    const labels = { lane: lane!, caller: caller!, source: source! };
    return { prompt: tokens.cell({ ...labels, kind: "prompt" }), output: tokens.cell({ ...labels, kind: "output" }) };
  });
  return {
    usedTokens(lane, caller, source, { prompt = 0, output = 0 }) {
      const cells = sourceCells(lane, caller, source);
      cells.prompt.n += prompt;
      cells.output.n += output;
    },
    served({ queue: lane, caller, waitedMs, firstMs, streamedMs, usage, requestBytes, answerBytes }) {
      const labels = { lane, caller };
      wait.observe(labels, waitedMs / 1000);
      if (firstMs !== undefined) first.observe(labels, firstMs / 1000);
      const { prompt = 0, output = 0 } = usage;
      if (streamedMs !== undefined && output > 1) perToken.observe(labels, streamedMs / 1000 / (output - 1));
      const cells = cellsOf(lane, caller);
      cells.prompt.n += prompt;
      cells.output.n += output;
      cells.in.n += requestBytes;
      cells.out.n += answerBytes;
    },
    fellBack: (caller, reason) => fallbacks.inc({ caller, reason }),
  };
}

/** Read when somebody asks for the metrics. */
function gauges(registry: Registry, admission: Admission, breaker: BreakerView): void {
  const lanes = (
    name: string,
    help: string,
    value: "slots" | "running" | "runningBackground" | "waiting" | "waitingBytes" | "waitingBackground",
  ) =>
    new Gauge({
      name,
      help,
      labelNames: ["lane"] as const,
      registers: [registry],
      collect() {
        for (const [lane, state] of Object.entries(admission.snapshot())) this.set({ lane }, state[value]);
      },
    });
  lanes("slm_lane_slots", "Requests that may run at once.", "slots");
  lanes("slm_lane_running", "Requests that run.", "running");
  lanes("slm_lane_running_jobs", "Jobs and other background work that runs.", "runningBackground");
  lanes("slm_lane_waiting", "Requests that wait for a slot, without jobs.", "waiting");
  lanes("slm_lane_waiting_bytes", "Bytes of the bodies that wait.", "waitingBytes");
  lanes("slm_lane_waiting_jobs", "Jobs that wait for a slot.", "waitingBackground");
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
  byCaller("slm_lane_waiting_by_caller", "Requests and jobs that wait, by caller.", "waiting");
  byCaller("slm_lane_running_by_caller", "Requests and jobs that run, by caller.", "running");
  new Gauge({
    name: "slm_breaker_state",
    help: "1 for the state the model server's circuit is in.",
    labelNames: ["state"] as const,
    registers: [registry],
    collect() {
      for (const state of STATES) this.set({ state }, breaker.state === state ? 1 : 0);
    },
  });
  new Counter({
    name: "slm_breaker_opened_total",
    help: "How often the circuit to the model server has opened.",
    registers: [registry],
    collect() {
      this.reset();
      this.inc(breaker.opened);
    },
  });
}
