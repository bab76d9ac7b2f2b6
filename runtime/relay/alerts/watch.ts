/** Runs the checks every few seconds and raises and clears alerts by what they find. */
import type { AlertsConfig } from "../../alert-config.ts";
import type { Log } from "../telemetry/log.ts";
import type { Alerts } from "./alerts.ts";
import { alertChecks, type Check, type Finding, type Watched, type WatchedKind } from "./checks.ts";

export interface WatchOptions {
  readonly log: Pick<Log, "warn">;
  /** @default 5 s */
  readonly everyMs?: number | undefined;
  /** How often macOS is asked for updates, in ms. @default 1 hour */
  readonly updatesEveryMs?: number | undefined;
  /** Milliseconds since 1970. */
  readonly now?: (() => number) | undefined;
}

const EVERY_MS = 5_000;
const UPDATES_EVERY_MS = 3_600_000;

/** @returns stops it; resolves when the last look has ended */
export function startWatch(
  alerts: Alerts,
  { thresholds }: AlertsConfig,
  watched: Watched,
  { log, everyMs = EVERY_MS, updatesEveryMs = UPDATES_EVERY_MS, now = Date.now }: WatchOptions,
): () => Promise<void> {
  /** By kind and subject: since when it is bad. */
  const badSince = new Map<string, number>();
  const checks = Object.entries(alertChecks(watched, { thresholds, alerts, updatesEveryMs, now })) as [
    WatchedKind,
    Check,
  ][];
  const failing = new Set<string>();

  /** Does one part of a look. When it fails, its alerts stay as they are and the other parts go on; it is logged once. */
  const attempt = async (part: string, work: () => void | Promise<void>): Promise<void> => {
    try {
      await work();
      failing.delete(part);
    } catch (err) {
      if (!failing.has(part)) log.warn({ err, part }, "a part of the alerts fails; the others go on");
      failing.add(part);
    }
  };

  const tell = (kind: WatchedKind, findings: readonly Finding[]): void => {
    for (const { subject, isBad, holdMs = 0, detail } of findings) {
      const key = `${kind} ${subject}`;
      if (!isBad) {
        badSince.delete(key);
        alerts.clear(kind, subject);
        continue;
      }
      const since = badSince.get(key) ?? now();
      badSince.set(key, since);
      const badForMs = now() - since;
      // An alert of the last run goes on: it need not be bad for so long once more.
      const isActive = alerts.active.some((alert) => alert.kind === kind && alert.subject === subject);
      if (badForMs >= holdMs || isActive) alerts.raise(kind, subject, detail(badForMs));
    }
    // What the config no longer has: a token that was removed, a line.
    for (const { kind: active, subject } of alerts.active) {
      if (active === kind && !findings.some((one) => one.subject === subject)) alerts.clear(kind, subject);
    }
  };

  const look = async (): Promise<void> => {
    await Promise.all(checks.map(([kind, check]) => attempt(kind, async () => tell(kind, await check()))));
    await attempt("end", () => alerts.tick());
  };

  let looking: Promise<void> | undefined;
  const tick = () => {
    looking ??= look().finally(() => {
      looking = undefined;
    });
  };
  const timer = setInterval(tick, everyMs);
  timer.unref();
  tick();
  return async () => {
    clearInterval(timer);
    await looking;
  };
}
