/** How a job looks from outside. Pure. */
import type { JobRecord } from "./store.ts";

/** What the store does not know of a job. */
export interface Live {
  readonly maxAttempts: number;
  /** Until it starts, in ms; undefined if that is not known. */
  readonly expectedWaitMs: number | undefined;
  /** What has arrived of the running attempt's answer. */
  readonly receivedBytes: number | undefined;
}

/** No more polling: nothing of the job will change. */
export function isFinal({ state }: Pick<JobRecord, "state">): boolean {
  return state === "completed" || state === "failed" || state === "cancelled";
}

export const jobName = (id: string): string => `job_${id}`;
export const responseName = (id: string): string => `resp_${id}`;

/** The id in a name of either form; undefined if it is none. */
export function idOf(name: string, prefix: "job" | "resp"): string | undefined {
  return new RegExp(`^${prefix}_([0-9a-f]{32})$`).exec(name)?.[1];
}

/** `GET /v1/jobs/{id}`. */
export function jobView(job: JobRecord, live: Live): Record<string, unknown> {
  const name = jobName(job.id);
  const path = `/v1/jobs/${name}`;
  const expected = job.state === "queued" ? live.expectedWaitMs : undefined;
  return {
    id: name,
    object: "job",
    state: job.state,
    path: job.path,
    created_at: time(job.createdAt),
    started_at: time(job.startedAt),
    finished_at: time(job.finishedAt),
    expires_at: time(job.expiresAt),
    place: job.ahead === undefined ? null : job.ahead + 1,
    expected_wait_seconds: expected === undefined ? null : Math.round(expected / 100) / 10,
    received_bytes: job.state === "in_progress" ? (live.receivedBytes ?? 0) : null,
    attempts_used: job.attempts.filter(({ counted }) => counted).length,
    attempts_max: live.maxAttempts,
    attempts: job.attempts.map(({ id, startedAt, endedAt, outcome, detail, counted }) => ({
      id,
      started_at: time(startedAt),
      ended_at: time(endedAt),
      outcome: outcome ?? null,
      detail: detail ?? null,
      counted,
    })),
    metadata: job.metadata ?? {},
    error: job.error ?? null,
    result: job.answer === undefined ? null : { href: `${path}/result`, ...job.answer },
    events: `${path}/events`,
  };
}

/** `GET /v1/jobs`: a page in the form of OpenAI's lists. @param jobs one more than `limit` if there are more */
export function jobList(jobs: readonly JobRecord[], limit: number, liveOf: (job: JobRecord) => Live) {
  const data = jobs.slice(0, limit).map((job) => jobView(job, liveOf(job)));
  return {
    object: "list",
    data,
    first_id: data.at(0)?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: jobs.length > limit,
  };
}

function time(ms: number | undefined): string | null {
  return ms === undefined ? null : new Date(ms).toISOString();
}

/** Seconds after which asking again makes sense. */
export function retryAfter(live: Pick<Live, "expectedWaitMs">): string {
  return String(Math.min(30, Math.max(1, Math.ceil((live.expectedWaitMs ?? 0) / 1000))));
}
