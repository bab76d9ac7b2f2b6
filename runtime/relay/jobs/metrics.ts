/** Metrics of the jobs. */
import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import type { QueueName } from "../admission/admission.ts";
import type { OnCommit } from "./sqlite-store.ts";
import type { StoreSummary } from "./store.ts";

export interface JobMetrics {
  readonly onCommit: OnCommit;
  added(lane: QueueName): void;
  /** `outcome`: how the run ended. */
  ended(lane: QueueName, outcome: string, ms: number): void;
}

/** @param summary called at each scrape; its metrics are omitted when it is unavailable */
export function createJobMetrics(registry: Registry, summary: () => Promise<StoreSummary | undefined>): JobMetrics {
  const registers = [registry];
  const commit = new Histogram({
    name: "slm_job_commit_seconds",
    help: "Time to commit and sync one group of job store operations.",
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5],
    registers,
  });
  const group = new Histogram({
    name: "slm_job_commit_steps",
    help: "Operations in one committed group.",
    buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256],
    registers,
  });
  const taken = new Counter({
    name: "slm_jobs_taken_total",
    help: "Jobs acknowledged.",
    labelNames: ["lane"] as const,
    registers,
  });
  const runs = new Histogram({
    name: "slm_job_run_seconds",
    help: "Runs of jobs at the model server, by outcome.",
    labelNames: ["lane", "outcome"] as const,
    buckets: [0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800],
    registers,
  });
  new Gauge({
    name: "slm_jobs",
    help: "Stored jobs, by state.",
    labelNames: ["state", "lane"] as const,
    registers,
    async collect() {
      const found = await summary();
      this.reset();
      for (const { state, lane, jobs } of found?.counts ?? []) this.set({ state, lane }, jobs);
      if (found !== undefined) disk.set(found.diskBytes);
    },
  });
  const disk = new Gauge({ name: "slm_jobs_disk_bytes", help: "Space that jobs use in their file.", registers });
  return {
    onCommit({ commitMs, writes }) {
      commit.observe(commitMs / 1000);
      group.observe(writes);
    },
    added: (lane) => taken.inc({ lane }),
    ended: (lane, outcome, ms) => runs.observe({ lane, outcome }, ms / 1000),
  };
}
