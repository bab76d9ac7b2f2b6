/** Queries over the jobs of all owners, for the status page: nothing that a caller wrote but the company's name. */
import type { QueueName } from "../admission/slot-request.ts";
import type { Sql } from "../sqlite.ts";
import type { JobState, JobSummary } from "./store.ts";

interface SummaryRow {
  readonly seq: number;
  readonly id: string;
  readonly owner: string;
  readonly company: string | null;
  readonly lane: QueueName;
  readonly path: string;
  readonly state: JobState;
  readonly created_at: number;
  readonly started_at: number | null;
  readonly finished_at: number | null;
  readonly error_code: string | null;
}

const COLUMNS = "seq, id, owner, company, lane, path, state, created_at, started_at, finished_at, error_code";
const ACTIVE: readonly JobState[] = ["in_progress", "queued"];
const ENDED: readonly JobState[] = ["completed", "failed", "cancelled"];

/**
 * Jobs that run or wait (the oldest first), then those that came last among the ended, at most `limit` of each. Reads at most
 * `limit` rows for each owner and state (index `jobs_listed`), however many jobs there are.
 */
export function latestOf(sql: Sql, limit: number): JobSummary[] {
  // Triggers keep this table: one row for each owner that ever had a job.
  const owners = sql("SELECT owner FROM usage ORDER BY owner").all() as unknown as { owner: string }[];
  const rowsOf = (states: readonly JobState[], order: "ASC" | "DESC") =>
    owners
      .flatMap(({ owner }) =>
        states.flatMap(
          (state) =>
            sql(
              `SELECT ${COLUMNS} FROM jobs INDEXED BY jobs_listed WHERE owner = ? AND state = ? AND is_call = 0
               ORDER BY seq ${order} LIMIT ?`,
            ).all(owner, state, limit) as unknown as SummaryRow[],
        ),
      )
      .sort((a, b) => (order === "ASC" ? a.seq - b.seq : b.seq - a.seq))
      .slice(0, limit);
  return [...rowsOf(ACTIVE, "ASC"), ...rowsOf(ENDED, "DESC")].map(summaryOfRow);
}

/** A job by its id alone. */
export function summaryOfJob(sql: Sql, id: string): JobSummary | undefined {
  const row = sql(`SELECT ${COLUMNS} FROM jobs WHERE id = ? AND is_call = 0`).get(id) as SummaryRow | undefined;
  return row && summaryOfRow(row);
}

function summaryOfRow(row: SummaryRow): JobSummary {
  const { id, owner, lane, path, state } = row;
  return {
    id,
    owner,
    lane,
    path,
    state,
    company: row.company ?? undefined,
    createdAt: row.created_at,
    startedAt: row.started_at ?? undefined,
    finishedAt: row.finished_at ?? undefined,
    errorCode: row.error_code ?? undefined,
  };
}
