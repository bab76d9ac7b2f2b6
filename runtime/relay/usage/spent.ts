/** What quotas are made from again at a start: what has been spent, and what a killed relay had reserved. */
import { isAlive } from "../../process-alive.ts";
import type { Sql } from "../sqlite.ts";
import type { Calendar } from "./calendar.ts";
import type { Reserved, Spent } from "./store.ts";

/** A minute, and the second that has begun. */
const MINUTE_WINDOW_MS = 61_000;

export function spentOf(sql: Sql, calendar: Calendar, now: number): Spent {
  const since = (from: number): Reserved[] => [
    ...(sql(
      `SELECT caller, company, sum(tokens_in + tokens_out + tokens_embedded) AS tokens, sum(tokens_embedded) AS embedded
       FROM rollups WHERE step = 'day' AND start >= ? GROUP BY caller, company`,
    ).all(from) as unknown as Reserved[]),
    ...(sql("SELECT caller, company, tokens, embedded FROM lost WHERE at >= ?").all(from) as unknown as Reserved[]),
  ];
  const minute = sql(
    `SELECT at, caller, coalesce(company, '') AS company, tokens_in + tokens_out + tokens_embedded AS tokens, counted
     FROM rows WHERE at >= ? ORDER BY at`,
  ).all(now - MINUTE_WINDOW_MS) as unknown as (Omit<Spent["minute"][number], "counted"> & { counted: number })[];
  return {
    month: since(calendar.monthStart(now)),
    day: since(calendar.dayStart(now)),
    minute: minute.map((row) => ({ ...row, counted: row.counted === 1 })),
  };
}

/** @param instance id of this relay; `reserved` takes the place of what it had reserved before */
export function replaceReservations(sql: Sql, instance: string, reserved: readonly Reserved[]): void {
  sql("DELETE FROM reservations WHERE instance = ?").run(instance);
  const insert = sql("INSERT INTO reservations VALUES (?, ?, ?, ?, ?, ?)");
  for (const { caller, company, tokens, embedded } of reserved) {
    insert.run(instance, caller, company, Date.now(), tokens, embedded);
  }
}

/** What a killed relay had reserved counts as used. The other relay of a hand-over still settles its own. */
export function takeOverReservations(sql: Sql, own: string): void {
  const rows = sql("SELECT DISTINCT instance FROM reservations").all() as unknown as { instance: string }[];
  for (const { instance } of rows) {
    if (isRunning(instance, own)) continue;
    sql("INSERT INTO lost SELECT at, caller, company, tokens, embedded FROM reservations WHERE instance = ?").run(
      instance,
    );
    sql("DELETE FROM reservations WHERE instance = ?").run(instance);
  }
}

/** Whether the relay of this id is running, beside the relay `own`. */
function isRunning(instance: string, own: string): boolean {
  const [pid, boot] = parts(instance);
  const [ownPid, ownBoot] = parts(own);
  if (pid === ownPid || boot !== ownBoot) return false; // process ids are used again
  return isAlive(pid);
}

function parts(instance: string): [pid: number, boot: string] {
  const colon = instance.indexOf(":");
  return [Number(instance.slice(0, colon)), instance.slice(colon + 1)];
}
