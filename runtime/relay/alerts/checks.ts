/** What can be an alert: one check for each kind. A check only reads; it may fail, and then says nothing about its kind. */
import { execFile } from "node:child_process";
import type { AlertKind, AlertThresholds } from "../../alert-config.ts";
import type { LineStatus } from "../../direct-log.ts";
import { diskSpace } from "../../disk-space.ts";
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

/** Something that is either so or not. */
export interface Finding {
  readonly subject: string;
  readonly isBad: boolean;
  /** It must be bad for so long, in ms, before it is an alert. @default 0 */
  readonly holdMs?: number;
  readonly detail: (badForMs: number) => AlertDetail;
}

/** Kinds that are found out by looking. Quotas are the ledger's: it raises and clears them itself. */
export type WatchedKind = Exclude<AlertKind, "quota">;

/** @returns everything the kind can be about now; a subject that is no longer among it is no alert any more */
export type Check = () => readonly Finding[] | Promise<readonly Finding[]>;

export interface CheckOptions {
  readonly thresholds: AlertThresholds;
  /** Alerts that have begun: some end later than they begin. */
  readonly alerts: Pick<Alerts, "active">;
  /** How often macOS is asked for updates, in ms. */
  readonly updatesEveryMs: number;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

const DAY_MS = 86_400_000;
/** A disk must have so many percent more room before its alert is over. */
const DISK_MARGIN = 2;

export function alertChecks(
  watched: Watched,
  { thresholds, alerts, updatesEveryMs, now }: CheckOptions,
): Readonly<Record<WatchedKind, Check>> {
  const { updates: askUpdates = waitingUpdates } = watched;
  let updates: string | undefined;
  let updatesAt = Number.NEGATIVE_INFINITY;
  return {
    async model_down() {
      const holdMs = thresholds.modelDownSeconds * 1000;
      return [{ subject: watched.modelKind, isBad: !(await watched.modelAnswers()), holdMs, detail: seconds }];
    },
    queue_wait: () =>
      Object.entries(watched.waits()).map(([queue, { longestWaitMs, waiting }]) => ({
        subject: queue,
        isBad: longestWaitMs >= thresholds.queueWaitSeconds * 1000,
        detail: () => ({ seconds: Math.round(longestWaitMs / 1000), waiting }),
      })),
    async disk() {
      const { freeBytes, totalBytes } = await diskSpace(watched.dataDir);
      const used = ((totalBytes - freeBytes) / totalBytes) * 100;
      const isActive = alerts.active.some(({ kind }) => kind === "disk");
      return [
        {
          subject: "data",
          isBad: used >= thresholds.diskPercent - (isActive ? DISK_MARGIN : 0),
          detail: () => ({ percent: Math.round(used), freeGiB: Math.round(freeBytes / 2 ** 30) }),
        },
      ];
    },
    token_end: () =>
      Object.entries(watched.tokens()).map(([name, { expiresAt }]) => ({
        subject: name,
        isBad: expiresAt !== undefined && Date.parse(expiresAt) - now() < thresholds.tokenEndDays * DAY_MS,
        detail: () => ({ expiresAt: expiresAt ?? "" }),
      })),
    async update_waiting() {
      if (now() - updatesAt >= updatesEveryMs) {
        updatesAt = now();
        updates = await askUpdates();
      }
      return [{ subject: "macOS", isBad: updates !== undefined, detail: () => ({ updates: updates ?? "" }) }];
    },
    store_down: () =>
      Object.entries(watched.stores()).map(([store, isAvailable]) => ({
        subject: store,
        isBad: !isAvailable,
        holdMs: thresholds.storeDownSeconds * 1000,
        detail: seconds,
      })),
    async direct_line_down() {
      const holdMs = thresholds.lineDownSeconds * 1000;
      return (await watched.lines()).map(({ server, connected }) => ({
        subject: server,
        isBad: !connected,
        holdMs,
        detail: seconds,
      }));
    },
  };
}

const seconds = (badForMs: number): AlertDetail => ({ seconds: Math.round(badForMs / 1000) });

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
