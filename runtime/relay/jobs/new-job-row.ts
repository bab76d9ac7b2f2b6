/** A new job as a row of the jobs' file. */
import type { Sql } from "../sqlite.ts";
import { flowOf, type JobRow } from "./records.ts";
import type { JobState, NewJob } from "./store.ts";

/** Its body is stored elsewhere. @param times in ms since 1970 */
export function insertJob(
  sql: Sql,
  job: NewJob,
  state: JobState,
  { now, expiresAt }: { readonly now: number; readonly expiresAt: number },
): JobRow {
  return sql(
    `INSERT INTO jobs (id, owner, lane, path, query, headers, request_sha256, bytes, estimated_tokens, idempotency_key,
       echo, state, created_at, run_after, expires_at, company, flow, metadata)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING *`,
  ).get(
    job.id,
    job.owner,
    job.lane,
    job.path,
    job.query,
    JSON.stringify(job.headers),
    job.requestSha256,
    job.body.length,
    job.estimatedTokens,
    job.idempotencyKey ?? null,
    job.requestParameters ?? null,
    state,
    now,
    now,
    expiresAt,
    job.company ?? null,
    flowOf(sql, job),
    metadataJson(job) ?? null,
  ) as unknown as JobRow;
}

/** What is kept of the job beside its body, as JSON. */
export const metadataJson = ({ metadata }: NewJob): string | undefined => metadata && JSON.stringify(metadata);
