/** Queries on the jobs' file: rows to records. */
import { createHash } from "node:crypto";
import { MAX_COMPANY_FLOWS, NO_COMPANY, SHARED_FLOW } from "../admission/flow-names.ts";
import type { QueueName } from "../admission/slot-request.ts";
import { type Sql, usedBytes } from "../sqlite.ts";
import { WORK_HEADER } from "./own-work.ts";
import type {
  Attempt,
  AttemptOutcome,
  JobListing,
  JobMetadata,
  JobRecord,
  JobState,
  NewJob,
  StoreSummary,
  WaitingJob,
} from "./store.ts";

/**
 * Longest pause between two attempts. A job due later than this from now was queued before the wall clock was set back, so
 * it is due.
 */
export const MAX_DELAY_MS = 60_000;

/** The columns of `jobs` that are read. */
export interface JobRow {
  readonly seq: number;
  readonly id: string;
  readonly owner: string;
  readonly lane: QueueName;
  readonly path: string;
  readonly state: JobState;
  readonly request_sha256: string;
  readonly echo: string | null;
  readonly metadata: string | null;
  readonly created_at: number;
  readonly started_at: number | null;
  readonly finished_at: number | null;
  readonly expires_at: number;
  readonly error_code: string | null;
  readonly error_message: string | null;
}

interface AttemptRow {
  readonly id: string;
  readonly started_at: number;
  readonly ended_at: number | null;
  readonly outcome: AttemptOutcome | null;
  readonly detail: string | null;
  readonly counted: number;
}

export function rowOf(sql: Sql, owner: string, id: string): JobRow | undefined {
  return sql("SELECT * FROM jobs WHERE id = ? AND owner = ?").get(id, owner) as JobRow | undefined;
}

export function rowByKey(sql: Sql, owner: string, path: string, key: string): JobRow | undefined {
  return sql("SELECT * FROM jobs WHERE owner = ? AND path = ? AND idempotency_key = ?").get(owner, path, key) as
    | JobRow
    | undefined;
}

const STATES: readonly JobState[] = ["queued", "in_progress", "completed", "failed", "cancelled"];

/** A page of an owner's jobs, newest first. Reads at most a page of rows per state (index `jobs_listed`). */
export function listOf(sql: Sql, owner: string, { state, after, limit }: JobListing): JobRecord[] | undefined {
  const cursor = after === undefined ? undefined : rowOf(sql, owner, after)?.seq;
  if (after !== undefined && cursor === undefined) return undefined;
  const rows = (state === undefined ? STATES : [state]).flatMap(
    (one) =>
      sql(
        `SELECT * FROM jobs INDEXED BY jobs_listed WHERE owner = ? AND state = ? AND is_call = 0 AND seq < ?
         ORDER BY seq DESC LIMIT ?`,
      ).all(owner, one, cursor ?? Number.MAX_SAFE_INTEGER, limit) as unknown as JobRow[],
  );
  const page = rows.sort((a, b) => b.seq - a.seq).slice(0, limit);
  // Oldest first, so that each count of earlier jobs continues from the last.
  const last = new Map<QueueName, { seq: number; ahead: number }>();
  return page
    .reverse()
    .map((row) => {
      if (row.state !== "queued") return recordOf(sql, row, undefined);
      const before = last.get(row.lane) ?? { seq: 0, ahead: 0 };
      const ahead = before.ahead + queuedBetween(sql, row.lane, before.seq, row.seq);
      last.set(row.lane, { seq: row.seq, ahead });
      return recordOf(sql, row, ahead);
    })
    .reverse();
}

/** Number of queued jobs of a lane with `from` <= seq < `to`. */
function queuedBetween(sql: Sql, lane: QueueName, from: number, to: number): number {
  const { n } = sql("SELECT count(*) AS n FROM jobs WHERE state = 'queued' AND lane = ? AND seq >= ? AND seq < ?").get(
    lane,
    from,
    to,
  ) as { n: number };
  return n;
}

const aheadOf = (sql: Sql, { state, lane, seq }: JobRow): number | undefined =>
  state === "queued" ? queuedBetween(sql, lane, 0, seq) : undefined;

/** The job record of a row. @param ahead if already counted */
export function recordOf(sql: Sql, row: JobRow, ahead = aheadOf(sql, row)): JobRecord {
  const answer = sql(
    "SELECT status, coalesce(bytes, octet_length(body)) AS bytes, sha256 FROM answers WHERE seq = ?",
  ).get(row.seq) as { status: number; bytes: number; sha256: string } | undefined;
  return {
    id: row.id,
    owner: row.owner,
    lane: row.lane,
    path: row.path,
    state: row.state,
    createdAt: row.created_at,
    startedAt: row.started_at ?? undefined,
    finishedAt: row.finished_at ?? undefined,
    expiresAt: row.expires_at,
    ahead,
    attempts: attemptsOf(sql, row.seq),
    error: row.error_code === null ? undefined : { code: row.error_code, message: row.error_message ?? "" },
    answer: answer && { status: answer.status, bytes: answer.bytes, sha256: answer.sha256 },
    requestSha256: row.request_sha256,
    requestParameters: row.echo ?? undefined,
    metadata: row.metadata === null ? undefined : (JSON.parse(row.metadata) as JobMetadata),
  };
}

function attemptsOf(sql: Sql, seq: number): Attempt[] {
  const rows = sql(
    "SELECT id, started_at, ended_at, outcome, detail, counted FROM attempts WHERE seq = ? ORDER BY started_at",
  ).all(seq) as unknown as AttemptRow[];
  return rows.map((row) => ({
    id: row.id,
    startedAt: row.started_at,
    endedAt: row.ended_at ?? undefined,
    outcome: row.outcome ?? undefined,
    detail: row.detail ?? undefined,
    counted: row.counted === 1,
  }));
}

/**
 * The oldest jobs that are due, at most `perFlow` of each of the owner's flows. Reads only those rows, however many wait:
 * each flow is found by a seek (https://www.sqlite.org/lang_with.html), and `flowOf` bounds their number.
 */
export function waitingOf(sql: Sql, lane: QueueName, owner: string, perFlow: number, now: number): WaitingJob[] {
  return flowsOf(sql, lane, owner).flatMap(
    (flow) =>
      sql(
        `SELECT id, owner, flow, company, estimated_tokens AS estimatedTokens, bytes,
           json_extract(headers, '$."${WORK_HEADER}"') AS work FROM jobs
         WHERE state = 'queued' AND lane = ? AND owner = ? AND flow = ? AND NOT (run_after BETWEEN ? AND ?)
         ORDER BY seq LIMIT ?`,
      ).all(lane, owner, flow, now + 1, now + MAX_DELAY_MS, perFlow) as unknown as WaitingJob[],
  );
}

/** The flow of a new job: its company's, or the shared one if its owner has too many flows in this lane. */
export function flowOf(sql: Sql, { lane, owner, company = NO_COMPANY }: NewJob): string {
  if (company === NO_COMPANY) return company;
  const flows = flowsOf(sql, lane, owner);
  if (flows.includes(company)) return company;
  const named = flows.filter((flow) => flow !== NO_COMPANY && flow !== SHARED_FLOW).length;
  return named < MAX_COMPANY_FLOWS ? company : SHARED_FLOW;
}

function flowsOf(sql: Sql, lane: QueueName, owner: string): string[] {
  const rows = sql(
    `WITH RECURSIVE flows (flow) AS (
       SELECT min(flow) FROM jobs WHERE state = 'queued' AND lane = ?1 AND owner = ?2
       UNION ALL
       SELECT (SELECT min(flow) FROM jobs WHERE state = 'queued' AND lane = ?1 AND owner = ?2 AND flow > flows.flow)
       FROM flows WHERE flows.flow IS NOT NULL)
     SELECT flow FROM flows WHERE flow IS NOT NULL`,
  ).all(lane, owner) as unknown as { flow: string }[];
  return rows.map(({ flow }) => flow);
}

export function summaryOf(sql: Sql): StoreSummary {
  const counts = sql(
    "SELECT state, lane, count(*) AS jobs FROM jobs GROUP BY state, lane",
  ).all() as unknown as StoreSummary["counts"];
  const mean = (lane: QueueName) =>
    (
      sql(
        `SELECT avg(max(0, finished_at - started_at)) AS ms FROM
         (SELECT finished_at, started_at FROM jobs WHERE state = 'completed' AND lane = ? ORDER BY finished_at DESC LIMIT 32)`,
      ).get(lane) as { ms: number | null }
    ).ms ?? undefined;
  return { counts, meanRunMs: { chat: mean("chat"), embeddings: mean("embeddings") }, diskBytes: usedBytes(sql) };
}

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
