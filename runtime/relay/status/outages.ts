/**
 * When the relay was away without having been stopped: a power cut, a crash. A heartbeat in a file says when it was last
 * there, a stop leaves a mark beside it; at the next start the difference is an outage. A stop and a start are none.
 */
import { open, readFile, rename } from "node:fs/promises";
import { uptime } from "node:os";
import { join } from "node:path";
import { Gauge, type Registry } from "prom-client";
import { z } from "zod";
import type { Recovered } from "../jobs/store.ts";
import type { Log } from "../telemetry/log.ts";

const outageSchema = z.object({
  /** The last sign of life, and the start after it; ISO 8601. It ended somewhere in the `everySeconds` after `from`. */
  from: z.string(),
  to: z.string(),
  seconds: z.number(),
  everySeconds: z.number(),
  /** `machine`: the Mac lost power or was reset, and was on again at `machineOnAt`. `relay`: only the relay ended. */
  what: z.enum(["machine", "relay"]),
  machineOnAt: z.string(),
  /** Requests that ran at the last sign of life: their callers have to send them again. */
  requestsCut: z.int(),
  /** Jobs that ran; those that wait again, and those that had used up their attempts. Ids as callers know them. */
  jobsRunAgain: z.array(z.string()),
  jobsFailed: z.array(z.string()),
});

/** A time the relay was away. */
export type Outage = z.infer<typeof outageSchema>;

const heartbeatSchema = z.object({ boot: z.string(), seenAt: z.string(), requests: z.int(), stopped: z.boolean() });
type Heartbeat = z.infer<typeof heartbeatSchema>;

/** So many are remembered. */
const MAX_OUTAGES = 50;
const HEARTBEAT_MS = 5_000;

export interface OutagesOptions {
  readonly dataDir: string;
  /** Names this run of the machine. */
  readonly boot: string;
  readonly log: Log;
  /** Requests that run now. */
  readonly running: () => number;
  readonly everyMs?: number;
  /** Milliseconds since 1970. @default Date.now */
  readonly now?: () => number;
}

export interface Outages {
  /** The newest first. */
  readonly list: readonly Outage[];
  /** The last run ended without a stop: what it wrote last deserves a look. */
  readonly uncleanShutdown: boolean;
  /** Notes what became of the jobs, in the outage that has just ended; without one nothing. */
  noteRecoveredJobs(jobs: Recovered): Promise<void>;
  /** Leaves the mark of a stop. Nothing is written after. */
  close(): Promise<void>;
}

/**
 * Reads what the last run left, and begins the heartbeat. Never rejects: what can not be read or written is logged, since
 * the relay serves without this, too.
 */
export async function openOutages(options: OutagesOptions): Promise<Outages> {
  const { dataDir, boot, log, running, everyMs = HEARTBEAT_MS, now = Date.now } = options;
  const files = { heartbeat: join(dataDir, "heartbeat.json"), outages: join(dataDir, "outages.json") };
  const iso = (ms: number) => new Date(ms).toISOString();
  const kept = (file: string, value: unknown) =>
    writeSynced(file, JSON.stringify(value)).catch((cause: unknown) =>
      log.warn({ err: cause, file }, "can not note that the relay is there"),
    );

  const last = await readIfPresent(files.heartbeat, heartbeatSchema, log);
  let list: readonly Outage[] = (await readIfPresent(files.outages, z.array(outageSchema), log)) ?? [];
  const unclean = last !== undefined && !last.stopped;
  if (unclean) {
    const [from, to] = [Date.parse(last.seenAt), now()];
    const outage: Outage = {
      from: last.seenAt,
      to: iso(to),
      seconds: (to - from) / 1000,
      everySeconds: everyMs / 1000,
      what: last.boot === boot ? "relay" : "machine",
      machineOnAt: iso(to - uptime() * 1000),
      requestsCut: last.requests,
      jobsRunAgain: [],
      jobsFailed: [],
    };
    list = [outage, ...list].slice(0, MAX_OUTAGES);
    await kept(files.outages, list);
    log.warn({ from: outage.from, to: outage.to, seconds: outage.seconds, what: outage.what }, "back after an outage");
  }

  let writing: Promise<unknown> = Promise.resolve();
  let closed = false;
  const beat = (stopped: boolean) => {
    const heartbeat: Heartbeat = { boot, seenAt: iso(now()), requests: running(), stopped };
    // One after another: the mark of a stop must not be overtaken.
    writing = writing.then(() => kept(files.heartbeat, heartbeat));
    return writing;
  };
  await beat(false);
  const timer = setInterval(() => void beat(false), everyMs);
  return {
    uncleanShutdown: unclean,
    get list() {
      return list;
    },
    async noteRecoveredJobs({ again, failed }) {
      const [newest, ...rest] = list;
      if (!unclean || newest === undefined || again.length + failed.length === 0) return;
      const named = (ids: readonly string[]) => ids.map((id) => `job_${id}`);
      list = [{ ...newest, jobsRunAgain: named(again), jobsFailed: named(failed) }, ...rest];
      await kept(files.outages, list);
    },
    async close() {
      if (closed) return;
      closed = true;
      clearInterval(timer);
      await beat(true);
    },
  };
}

/** For Prometheus: of what is remembered, so a restart of the relay does not count anew. */
export function createOutageMetrics(registry: Registry, outages: Pick<Outages, "list">): void {
  const registers = [registry];
  new Gauge({
    name: "slm_last_outage_seconds",
    help: "How long the last outage took; 0 before the first.",
    registers,
    collect() {
      this.set(outages.list[0]?.seconds ?? 0);
    },
  });
  new Gauge({
    name: "slm_last_outage_end_timestamp_seconds",
    help: "When the relay was back after the last outage; 0 before the first.",
    registers,
    collect() {
      const [newest] = outages.list;
      this.set(newest === undefined ? 0 : Date.parse(newest.to) / 1000);
    },
  });
  new Gauge({
    name: "slm_outages",
    help: `Outages that are remembered (the last ${MAX_OUTAGES}), by what ended: the machine or only the relay.`,
    labelNames: ["what"] as const,
    registers,
    collect() {
      for (const what of ["machine", "relay"] as const) {
        this.set({ what }, outages.list.filter((outage) => outage.what === what).length);
      }
    },
  });
}

async function readIfPresent<T>(file: string, schema: z.ZodType<T>, log: Log): Promise<T | undefined> {
  try {
    return schema.parse(JSON.parse(await readFile(file, "utf8")));
  } catch (cause) {
    // A first start has none.
    if ((cause as NodeJS.ErrnoException).code !== "ENOENT")
      log.warn({ err: cause, file }, "can not be read; begun anew");
    return undefined;
  }
}

/** Node's sync is F_FULLFSYNC on a Mac; a cut leaves the old file or the new one. */
async function writeSynced(path: string, content: string): Promise<void> {
  const file = await open(`${path}.new`, "w", 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(`${path}.new`, path);
}
