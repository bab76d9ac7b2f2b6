/**
 * What is an alert now, and what must be said about it. Each alert is said once when it begins and once when it is over:
 *
 * | state | event | next | message |
 * |---|---|---|---|
 * | – | `raise` | active | `<kind>` |
 * | active | `raise` | active | – (its detail is updated) |
 * | active | `clear` | calming | – |
 * | calming | `raise` | active | – |
 * | calming | `CALM_MS` pass | – | `<kind>.resolved` |
 *
 * Alerts and messages not yet delivered survive a restart: nothing is said twice, and nothing is forgotten.
 */
import { randomUUID } from "node:crypto";
import type { AlertKind } from "../../alert-config.ts";

/** Numbers and names of an alert. Never a prompt, a secret or an address of a webhook. */
export type AlertDetail = Readonly<Record<string, string | number>>;

export interface ActiveAlert {
  readonly kind: AlertKind;
  /** What it is about: a lane, a store, a token, a company. At most 100 characters. */
  readonly subject: string;
  /** RFC 3339. */
  readonly since: string;
  readonly detail: AlertDetail;
}

/** An alert, and since when it is calming; times in ms since 1970. */
export interface HeldAlert extends ActiveAlert {
  readonly raisedAt: number;
  readonly calmSince?: number | undefined;
}

/** A message about an alert. */
export interface AlertMessage {
  /** Unique; the same in each repetition, so that a receiver can drop it. */
  readonly id: string;
  readonly kind: AlertKind;
  readonly isResolved: boolean;
  readonly subject: string;
  readonly since: string;
  /** When it was written, RFC 3339. */
  readonly at: string;
  readonly detail: AlertDetail;
}

export interface Alerts {
  /** It is so now. Call it as often as you like: it is said once. */
  raise(kind: AlertKind, subject: string, detail: AlertDetail): void;
  /** It is not so any more. No effect if it was not an alert. */
  clear(kind: AlertKind, subject: string): void;
  /** Ends the alerts that have been calm for long enough. Called every few seconds. */
  tick(): void;
  /** Oldest first. */
  readonly active: readonly ActiveAlert[];
}

export interface AlertsOptions {
  /** Alerts of the last run. */
  readonly held: readonly HeldAlert[];
  readonly send: (message: AlertMessage) => void;
  /** Called after each change, with what must be kept. */
  readonly save: (held: readonly HeldAlert[]) => void;
  /** Milliseconds since 1970. @default Date.now */
  readonly now?: () => number;
  /** How long something must be well before its alert is over, in ms. @default 60 s */
  readonly calmMs?: number;
}

const CALM_MS = 60_000;
/** Subjects can be names of companies, which callers choose. */
const MAX_ACTIVE = 200;
const LONGEST_SUBJECT = 100;
/** An alert that nothing in this process watches ends so long after it was last raised. */
const FORGOTTEN_MS = 24 * 3600_000;

export function createAlerts({ held, send, save, now = Date.now, calmMs = CALM_MS }: AlertsOptions): Alerts {
  const keyOf = (kind: AlertKind, subject: string) => JSON.stringify([kind, subject]);
  const active = new Map(held.map((alert) => [keyOf(alert.kind, alert.subject), alert]));
  const changed = () => save([...active.values()]);
  const say = ({ kind, subject, since, detail }: HeldAlert, isResolved: boolean) =>
    send({ id: `msg_${randomUUID()}`, kind, isResolved, subject, since, at: new Date(now()).toISOString(), detail });
  return {
    raise(kind, name, detail) {
      const subject = name.slice(0, LONGEST_SUBJECT);
      const key = keyOf(kind, subject);
      const before = active.get(key);
      const raisedAt = now();
      if (before !== undefined) {
        active.set(key, { ...before, detail, raisedAt, calmSince: undefined });
        if (before.calmSince !== undefined) changed();
        return;
      }
      if (active.size >= MAX_ACTIVE) return;
      const alert = { kind, subject, since: new Date(raisedAt).toISOString(), detail, raisedAt };
      active.set(key, alert);
      say(alert, false);
      changed();
    },
    clear(kind, name) {
      const key = keyOf(kind, name.slice(0, LONGEST_SUBJECT));
      const alert = active.get(key);
      if (alert === undefined || alert.calmSince !== undefined) return;
      active.set(key, { ...alert, calmSince: now() });
      changed();
    },
    tick() {
      for (const [key, alert] of active) {
        const { calmSince, raisedAt } = alert;
        const isOver = calmSince === undefined ? now() - raisedAt >= FORGOTTEN_MS : now() - calmSince >= calmMs;
        if (!isOver) continue;
        active.delete(key);
        say(alert, true);
        changed();
      }
    },
    get active() {
      return [...active.values()].map(({ kind, subject, since, detail }) => ({ kind, subject, since, detail }));
    },
  };
}
