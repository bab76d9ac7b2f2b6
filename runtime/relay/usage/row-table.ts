/** The ledger's rows in their table: how one is written, and how those of a range are read. */
import { parameters, type Sql } from "../sqlite.ts";
import { LONGEST_TEXT, type UsageRow } from "./row.ts";
import { ROW_COLUMNS } from "./schema.ts";
import type { UsageRange } from "./store.ts";

const INSERT_ROW = `INSERT INTO rows (${ROW_COLUMNS.join(", ")}) VALUES (${parameters(ROW_COLUMNS.length)})`;

/** A text that comes from a caller, as it is stored. */
export const short = (text: string): string => text.slice(0, LONGEST_TEXT);

export function insertRow(sql: Sql, row: UsageRow): void {
  sql(INSERT_ROW).run(...valuesOf(row));
}

/** All rows of a range, oldest first. */
export function* rowsOf(sql: Sql, range: UsageRange): Generator<UsageRow> {
  const { where, values } = rangeOf(range);
  const found = sql(`SELECT ${ROW_COLUMNS.join(", ")} FROM rows WHERE at >= ? AND at < ?${where} ORDER BY at`);
  for (const row of found.iterate(range.from, range.to, ...values)) yield rowOf(row);
}

/** The conditions of a range beside its time, in SQL that begins with AND, and their values. */
export function rangeOf({ caller, company }: UsageRange): { where: string; values: string[] } {
  return {
    where: `${caller === undefined ? "" : " AND caller = ?"}${company === undefined ? "" : " AND company = ?"}`,
    values: [caller, company].filter((value) => value !== undefined),
  };
}

function valuesOf(row: UsageRow): (string | number | null)[] {
  return [
    row.at,
    row.kind,
    row.caller,
    row.company,
    row.dialect,
    row.path,
    row.model && short(row.model),
    row.tokensIn,
    row.tokensCached,
    row.tokensOut,
    row.tokensEmbedded,
    Number(row.estimated),
    row.servedBy,
    row.status,
    row.code,
    row.waitMs,
    row.ttftMs,
    row.durationMs,
    row.entry,
    row.colo,
    Number(row.counted),
    row.embeddingCalls,
    row.embeddedInputs,
    row.embeddingMs,
    row.reusedInputs,
    row.sparedMs,
  ];
}

function rowOf(row: Readonly<Record<string, unknown>>): UsageRow {
  return {
    at: row.at,
    kind: row.kind,
    caller: row.caller,
    company: row.company,
    dialect: row.dialect,
    path: row.path,
    model: row.model,
    tokensIn: row.tokens_in,
    tokensCached: row.tokens_cached,
    tokensOut: row.tokens_out,
    tokensEmbedded: row.tokens_embedded,
    estimated: row.estimated === 1,
    servedBy: row.served_by,
    status: row.status,
    code: row.code,
    waitMs: row.wait_ms,
    ttftMs: row.ttft_ms,
    durationMs: row.duration_ms,
    entry: row.entry,
    colo: row.colo,
    counted: row.counted === 1,
    embeddingCalls: row.embedding_calls,
    embeddedInputs: row.embedded_inputs,
    embeddingMs: row.embedding_ms,
    reusedInputs: row.reused_inputs,
    sparedMs: row.spared_ms,
  } as UsageRow;
}
