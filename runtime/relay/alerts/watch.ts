/** Finds out, every few seconds, what is worth an alert. Only reads. */
import { execFile } from "node:child_process";
import { statfs } from "node:fs/promises";
import type { AlertKind, AlertsConfig } from "../../alert-config.ts";
import type { LineStatus } from "../../direct-log.ts";
import type { AlertDetail, Alerts } from "./alerts.ts";

/** What is looked at. Each only reads. */
export interface Watched {
  /** Whether the model server answers. */
  readonly modelAnswers: () => Promise<boolean>;
  readonly modelKind: string;
  /** Longest wait of a request in each queue, in ms, and how many wait. */
  readonly waits: () => Readonly<Record<string, { readonly longestWaitMs: number; readonly waiting: number }>>;
  /** Whether each store is available. */
  readonly stores: () => Readonly<Record<string, boolean>>;
  readonly lines: () => Promise<readonly LineStatus[]>;
  /** Service tokens, and when each one ends; absent: never. */
  readonly tokens: () => Readonly<Record<string, { readonly expiresAt?: string | undefined }>>;
  readonly dataDir: string;
  /** Updates of macOS that wait, as text; undefined: none, or not known. @default asks macOS */
  readonly updates?: () => Promise<string | undefined>;
}

export interface WatchOptions {
  /** @default 5 s */
  readonly everyMs?: number | undefined;
  /** How often macOS is asked for updates, in ms. @default 1 hour */
  readonly updatesEveryMs?: number | undefined;
  /** Milliseconds since 1970. */
  readonly now?: (() => number) | undefined;
}

/** Something that is either so or not. */
interface Finding {
  readonly kind: AlertKind;
  readonly subject: string;
  readonly isBad: boolean;
  /** It must be bad for so long, in ms, before it is an alert. */
  readonly holdMs: number;
  readonly detail: (badForMs: number) => AlertDetail;
}

const EVERY_MS = 5_000;
const UPDATES_EVERY_MS = 3_600_000;
const DAY_MS = 86_400_000;
/** A disk must have so many percent more room before its alert is over. */
const DISK_MARGIN = 2;

/** @returns stops it; resolves when the last look has ended */
export function startWatch(
  alerts: Alerts,
  { thresholds }: AlertsConfig,
  watched: Watched,
  { everyMs = EVERY_MS, updatesEveryMs = UPDATES_EVERY_MS, now = Date.now }: WatchOptions = {},
): () => Promise<void> {
  /** By kind and subject: since when it is bad. */
  const badSince = new Map<string, number>();
  const { updates: askUpdates = waitingUpdates } = watched;
  let updates: string | undefined;
  let updatesAt = Number.NEGATIVE_INFINITY;

  const disk = async (): Promise<Finding> => {
    const { blocks, bavail, bsize } = await statfs(watched.dataDir);
    const used = ((blocks - bavail) / blocks) * 100;
    const isActive = alerts.active.some(({ kind }) => kind === "disk");
    return {
      kind: "disk",
      subject: "data",
      isBad: used >= thresholds.diskPercent - (isActive ? DISK_MARGIN : 0),
      holdMs: 0,
      detail: () => ({ percent: Math.round(used), freeGiB: Math.round((bavail * bsize) / 2 ** 30) }),
    };
  };
  const seconds = (badForMs: number) => ({ seconds: Math.round(badForMs / 1000) });

  const find = async (): Promise<Finding[]> => {
    if (now() - updatesAt >= updatesEveryMs) {
      updatesAt = now();
      updates = await askUpdates();
    }
    const [answers, lines, ofDisk] = await Promise.all([watched.modelAnswers(), watched.lines(), disk()]);
    const waits = Object.entries(watched.waits());
    return [
      {
        kind: "model_down",
        subject: watched.modelKind,
        isBad: !answers,
        holdMs: thresholds.modelDownSeconds * 1000,
        detail: seconds,
      },
      ...waits.map(
        ([queue, { longestWaitMs, waiting }]): Finding => ({
          kind: "queue_wait",
          subject: queue,
          isBad: longestWaitMs >= thresholds.queueWaitSeconds * 1000,
          holdMs: 0,
          detail: () => ({ seconds: Math.round(longestWaitMs / 1000), waiting }),
        }),
      ),
      ofDisk,
      ...Object.entries(watched.tokens()).map(
        ([name, { expiresAt }]): Finding => ({
          kind: "token_end",
          subject: name,
          isBad: expiresAt !== undefined && Date.parse(expiresAt) - now() < thresholds.tokenEndDays * DAY_MS,
          holdMs: 0,
          detail: () => ({ expiresAt: expiresAt ?? "" }),
        }),
      ),
      {
        kind: "update_waiting",
        subject: "macOS",
        isBad: updates !== undefined,
        holdMs: 0,
        detail: () => ({ updates: updates ?? "" }),
      },
      ...Object.entries(watched.stores()).map(
        ([store, isAvailable]): Finding => ({
          kind: "store_down",
          subject: store,
          isBad: !isAvailable,
          holdMs: thresholds.storeDownSeconds * 1000,
          detail: seconds,
        }),
      ),
      ...lines.map(
        ({ server, connected }): Finding => ({
          kind: "direct_line_down",
          subject: server,
          isBad: !connected,
          holdMs: thresholds.lineDownSeconds * 1000,
          detail: seconds,
        }),
      ),
    ];
  };

  const look = async (): Promise<void> => {
    const findings = await find();
    for (const { kind, subject, isBad, holdMs, detail } of findings) {
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
    for (const { kind, subject } of alerts.active) {
      if (kind === "quota") continue; // the ledger's
      if (!findings.some((one) => one.kind === kind && one.subject === subject)) alerts.clear(kind, subject);
    }
    alerts.tick();
  };

  let looking: Promise<void> | undefined;
  const tick = () => {
    looking ??= look()
      .catch(() => {}) // a look that fails is as none; the next one follows
      .finally(() => {
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

/**
 * Updates that macOS has found and not installed, by its own record, which it renews by itself about daily; undefined if there
 * are none, or if this is no Mac. Nothing is asked of Apple.
 */
async function waitingUpdates(): Promise<string | undefined> {
  const text = await new Promise<string>((resolve) => {
    const args = ["read", "/Library/Preferences/com.apple.SoftwareUpdate"];
    execFile("/usr/bin/defaults", args, { timeout: 10_000, maxBuffer: 1024 * 1024 }, (_error, stdout) =>
      resolve(stdout),
    );
  });
  return updatesIn(text);
}

/** @param text of `defaults read /Library/Preferences/com.apple.SoftwareUpdate` */
export function updatesIn(text: string): string | undefined {
  const count = Number(/^\s*LastRecommendedUpdatesAvailable = (\d{1,3});/m.exec(text)?.[1] ?? 0);
  if (count === 0) return undefined;
  const names = [...text.matchAll(/^\s*"Display Name" = "?([\w .-]{1,60})"?;/gm)].map(([, name]) => name);
  return names.length > 0 ? names.slice(0, 5).join(", ") : String(count);
}
