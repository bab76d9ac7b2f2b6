/** How long the ledger's file keeps what, and how it stays within its bound. */
import type { DatabaseSync } from "node:sqlite";
import { inTransaction, type Sql, usedBytes } from "../sqlite.ts";
import { DAY_MS, type UsageStep } from "./calendar.ts";
import { STEPS } from "./rollups.ts";
import { DIMENSIONS } from "./schema.ts";

/** How long roll-ups by minute and by hour are kept. */
const MINUTES_KEPT_MS = 2 * DAY_MS;
export const HOURS_KEPT_MS = 90 * DAY_MS;
/** Longest that a sum of a month needs them. */
const LOST_KEPT_MS = 62 * DAY_MS;
/** Rows removed in one step: other commands wait behind it. */
const STEP_ROWS = 1000;
/** Room is made down to this part of the bound, so that it is not made for each group. */
const ROOM = 0.97;
const VACUUM_PAGES = 2000;

/** Removes a step of what is older than it is kept. @returns whether there may be more */
export function removeOld(db: DatabaseSync, sql: Sql, now: number, retentionDays: number): boolean {
  const rowsBefore = now - retentionDays * DAY_MS;
  const old: readonly (readonly [UsageStep, number])[] = [
    ["minute", now - MINUTES_KEPT_MS],
    ["hour", now - HOURS_KEPT_MS],
    ["day", rowsBefore],
  ];
  const removed = inTransaction(db, () => {
    sql("DELETE FROM lost WHERE at < ?").run(now - LOST_KEPT_MS);
    const rows = sql(`DELETE FROM rows WHERE id IN (SELECT id FROM rows WHERE at < ? ORDER BY at LIMIT ${STEP_ROWS})`);
    return [Number(rows.run(rowsBefore).changes), ...old.map(([step, before]) => removeRollups(sql, step, before))];
  });
  vacuum(db);
  return removed.some((count) => count >= STEP_ROWS);
}

/**
 * Within the bound again: the oldest rows go first, then roll-ups by minute, by hour, and at last by day.
 * @param onRows told how many rows went
 */
export function makeRoom(db: DatabaseSync, sql: Sql, maxBytes: number, onRows: (rows: number) => void): void {
  if (usedBytes(sql) <= maxBytes) return;
  const oldest = `DELETE FROM rows WHERE id IN (SELECT id FROM rows ORDER BY at LIMIT ${STEP_ROWS})`;
  while (usedBytes(sql) > maxBytes * ROOM) {
    const removed = inTransaction(db, () => {
      const rows = Number(sql(oldest).run().changes);
      onRows(rows);
      if (rows > 0) return rows;
      for (const step of STEPS) {
        const rollups = removeRollups(sql, step, Number.MAX_SAFE_INTEGER);
        if (rollups > 0) return rollups;
      }
      return 0;
    });
    vacuum(db);
    if (removed === 0) return;
  }
}

function removeRollups(sql: Sql, step: UsageStep, before: number): number {
  const key = `step, start, ${DIMENSIONS.join(", ")}`;
  return Number(
    sql(
      `DELETE FROM rollups WHERE (${key}) IN
       (SELECT ${key} FROM rollups WHERE step = ? AND start < ? ORDER BY start LIMIT ${STEP_ROWS})`,
    ).run(step, before).changes,
  );
}

function vacuum(db: DatabaseSync): void {
  db.exec(`PRAGMA incremental_vacuum(${VACUUM_PAGES})`);
}
