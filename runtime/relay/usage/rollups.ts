/** Sums of rows by minute, hour and day, kept beside them: what is read for all but a small part of a range. */
import { parameters, type Sql } from "../sqlite.ts";
import type { Calendar, UsageStep } from "./calendar.ts";
import { OTHERS } from "./others.ts";
import type { UsageRow } from "./row.ts";
import { short } from "./row-table.ts";
import { DIMENSIONS, SUM_COLUMNS } from "./schema.ts";
import { addRow, noSums, type Sums } from "./sums.ts";

export const STEPS: readonly UsageStep[] = ["minute", "hour", "day"];
/**
 * Companies and models of one caller that have roll-ups of their own on one day. A caller bound to `["*"]` can invent names;
 * raw rows have them all.
 */
const MAX_NAMES_A_DAY = 1000;

const ADD_ROLLUP = `INSERT INTO rollups VALUES (${parameters(2 + DIMENSIONS.length + SUM_COLUMNS.length)})
  ON CONFLICT DO UPDATE SET ${SUM_COLUMNS.map((name) => `${name} = ${name} + excluded.${name}`).join(", ")}`;

/** Rows of one minute and the same dimensions are summed once, and added to each step together. */
interface Group {
  readonly minute: number;
  readonly dimensions: readonly string[];
  readonly sums: Sums;
}

export class Rollups {
  readonly #sql: Sql;
  readonly #calendar: Calendar;
  /** Names with roll-ups of their own, by caller, of the day that begins at `#namesDay`. */
  #names = new Map<string, Set<string>>();
  #namesDay = -1;

  constructor(sql: Sql, calendar: Calendar) {
    this.#sql = sql;
    this.#calendar = calendar;
  }

  add(rows: readonly UsageRow[]): void {
    const groups = new Map<string, Group>();
    for (const row of rows) {
      const minute = this.#calendar.startOf("minute", row.at);
      const dimensions = this.#dimensionsOf(row);
      const name = `${minute}\u0000${dimensions.join("\u0000")}`;
      let group = groups.get(name);
      if (group === undefined) {
        group = { minute, dimensions, sums: noSums() };
        groups.set(name, group);
      }
      addRow(group.sums, row);
    }
    const add = this.#sql(ADD_ROLLUP);
    for (const { minute, dimensions, sums } of groups.values()) {
      for (const step of STEPS) add.run(step, this.#calendar.startOf(step, minute), ...dimensions, ...sums);
    }
  }

  /** Values of `DIMENSIONS` for the row's roll-ups. */
  #dimensionsOf({ at, caller, company, model, kind, servedBy, colo }: UsageRow): string[] {
    const isKnown = this.#isOneOfFew(at, caller, company ?? "", model ?? "");
    const names = isKnown ? [company ?? "", model ?? ""] : [OTHERS, OTHERS];
    return [caller, ...names.map(short), kind, servedBy ?? "", colo ?? ""];
  }

  #isOneOfFew(at: number, caller: string, company: string, model: string): boolean {
    const day = this.#calendar.dayStart(at);
    if (day !== this.#namesDay) {
      this.#namesDay = day;
      this.#names = new Map();
      const rows = this.#sql(
        "SELECT DISTINCT caller, company, model FROM rollups WHERE step = 'day' AND start = ? AND company != ?",
      ).all(day, OTHERS);
      for (const row of rows) this.#namesOf(String(row.caller)).add(`${row.company}\u0000${row.model}`);
    }
    const names = this.#namesOf(caller);
    const name = `${short(company)}\u0000${short(model)}`;
    if (names.has(name)) return true;
    if (names.size >= MAX_NAMES_A_DAY) return false;
    names.add(name);
    return true;
  }

  #namesOf(caller: string): Set<string> {
    const found = this.#names.get(caller) ?? new Set<string>();
    this.#names.set(caller, found);
    return found;
  }
}
