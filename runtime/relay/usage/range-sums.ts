/** Sums of a range of time: from roll-ups where it covers whole ones, from rows for the rest. */
import type { Sql } from "../sqlite.ts";
import { type Calendar, HOUR_MS, type UsageStep } from "./calendar.ts";
import { HOURS_KEPT_MS } from "./retention.ts";
import type { UsageRow } from "./row.ts";
import { rangeOf, rowsOf } from "./row-table.ts";
import { type DIMENSIONS, SUM_COLUMNS } from "./schema.ts";
import type { SeriesQuery, TotalsQuery, UsageBucket, UsageDimension, UsageRange, UsageTotal } from "./store.ts";
import { addRow, addSums, describeSums, noSums, type Sums, sumsOf } from "./sums.ts";

/** Most buckets or sums that a query returns. */
const MAX_RESULTS = 50_000;
const SUMMED = SUM_COLUMNS.map((name) => `sum(${name}) AS ${name}`).join(", ");

const COLUMN: Readonly<Record<Exclude<UsageDimension, "day">, (typeof DIMENSIONS)[number]>> = {
  caller: "caller",
  company: "company",
  model: "model",
  kind: "kind",
  servedBy: "served_by",
  colo: "colo",
};

/** Part of a range, and what it is read from. */
interface Piece {
  readonly source: UsageStep | "rows";
  readonly from: number;
  readonly to: number;
}

export function seriesOf(sql: Sql, calendar: Calendar, { step, by, ...range }: SeriesQuery): UsageBucket[] {
  const { where, values } = rangeOf(range);
  const key = by === undefined ? "" : `, ${COLUMN[by]} AS key`;
  const rows = sql(
    `SELECT start${key}, ${SUMMED} FROM rollups WHERE step = ? AND start >= ? AND start < ?${where}
     GROUP BY start${by === undefined ? "" : `, ${COLUMN[by]}`} ORDER BY start LIMIT ${MAX_RESULTS}`,
  ).all(step, calendar.startOf(step, range.from), range.to, ...values);
  return rows.map((row) => ({
    start: Number(row.start),
    ...(by !== undefined && { key: String(row.key) }),
    ...describeSums(sumsOf(row)),
  }));
}

export function totalsOf(sql: Sql, calendar: Calendar, { by = [], ...range }: TotalsQuery): UsageTotal[] {
  const groups = new Map<string, { keys: readonly string[]; sums: Sums }>();
  const add = (keys: readonly string[], addTo: (sums: Sums) => void) => {
    const name = keys.join("\u0000");
    const group = groups.get(name) ?? { keys, sums: noSums() };
    groups.set(name, group);
    addTo(group.sums);
  };
  for (const piece of piecesOf(calendar, range)) {
    if (piece.source === "rows") {
      for (const row of rowsOf(sql, { ...range, ...piece })) {
        add(
          by.map((dimension) => keyOf(calendar, dimension, row)),
          (sums) => addRow(sums, row),
        );
      }
      continue;
    }
    const { where, values } = rangeOf(range);
    const columns = ["start", ...by.flatMap((dimension) => (dimension === "day" ? [] : [COLUMN[dimension]]))];
    const found = sql(
      `SELECT ${columns.join(", ")}, ${SUMMED} FROM rollups WHERE step = ? AND start >= ? AND start < ?${where}
       GROUP BY ${columns.join(", ")}`,
    );
    for (const row of found.iterate(piece.source, piece.from, piece.to, ...values)) {
      const keys = by.map((dimension) =>
        dimension === "day" ? calendar.dayName(Number(row.start)) : String(row[COLUMN[dimension]]),
      );
      add(keys, (sums) => addSums(sums, sumsOf(row)));
    }
  }
  const found = [...groups.values()].map(({ keys, sums }) => ({ keys, ...describeSums(sums) }));
  return found.sort((a, b) => compare(a.keys, b.keys)).slice(0, MAX_RESULTS);
}

/** A range as whole days, whole hours where those are still kept, and rows for the rest. */
function piecesOf(calendar: Calendar, { from, to }: UsageRange): Piece[] {
  const ceil = (step: "hour" | "day", at: number): number => {
    const start = calendar.startOf(step, at);
    if (start === at) return at;
    return step === "day" ? calendar.nextDay(at) : start + HOUR_MS;
  };
  const hoursFrom = ceil("hour", Date.now() - HOURS_KEPT_MS + HOUR_MS);
  const split = (
    step: "hour" | "day",
    start: number,
    end: number,
    rest: (from: number, to: number) => Piece[],
  ): Piece[] => {
    const [first, last] = [ceil(step, start), calendar.startOf(step, end)];
    if (first >= last) return rest(start, end);
    return [...rest(start, first), { source: step, from: first, to: last }, ...rest(last, end)];
  };
  const rows = (start: number, end: number): Piece[] => [{ source: "rows", from: start, to: end }];
  const hours = (start: number, end: number) =>
    start >= hoursFrom ? split("hour", start, end, rows) : rows(start, end);
  return split("day", from, to, hours).filter((piece) => piece.from < piece.to);
}

function keyOf(calendar: Calendar, dimension: UsageDimension, row: UsageRow): string {
  return dimension === "day" ? calendar.dayName(row.at) : (row[dimension] ?? "");
}

function compare(a: readonly string[], b: readonly string[]): number {
  for (const [at, one] of a.entries()) {
    const other = b[at] ?? "";
    if (one !== other) return one < other ? -1 : 1;
  }
  return 0;
}
