/**
 * Records outages: power cuts and crashes, not deliberate stops. A heartbeat file has the time the relay was last alive, and
 * whether it was stopped. If it was not, the time until the next start is an outage.
 */
import { readFile } from "node:fs/promises";
import { uptime } from "node:os";
import { join } from "node:path";
import { Gauge, type Registry } from "prom-client";
import { z } from "zod";
import type { Recovered } from "../jobs/store.ts";
import { replaceFile } from "../replace-file.ts";
import type { Log } from "../telemetry/log.ts";

const outageSchema = z.object({
  /** The last heartbeat and the next start, ISO 8601. The relay ended within `everySeconds` after `from`. */
  from: z.string(),
  to: z.string(),
  seconds: z.number(),
  everySeconds: z.number(),
  /** `machine`: the Mac lost power or was reset, and booted at `machineOnAt`. `relay`: only the relay ended. */
  what: z.enum(["machine", "relay"]),
  machineOnAt: z.string(),
  /** Requests running at the last heartbeat: their callers must send them again. */
  requestsCut: z.int(),
  /** Jobs that were running: those that are queued again, and those out of attempts. Ids as in the API. */
  jobsRunAgain: z.array(z.string()),
  jobsFailed: z.array(z.string()),
});

/** A period in which the relay did not run, without a deliberate stop. */
export type Outage = z.infer<typeof outageSchema>;

const heartbeatSchema = z.object({ boot: z.string(), seenAt: z.string(), requests: z.int(), stopped: z.boolean() });
type Heartbeat = z.infer<typeof heartbeatSchema>;

/** Older outages are dropped. */
const MAX_OUTAGES = 50;
const HEARTBEAT_MS = 5_000;

export interface OutagesOptions {
  readonly dataDir: string;
  /** Identifies this boot of the machine. */
  readonly boot: string;
  readonly log: Log;
  /** Number of running requests. */
  readonly running: () => number;
  readonly everyMs?: number;
  /** Milliseconds since 1970. @default Date.now */
  readonly now?: () => number;
}

export interface Outages {
  /** Newest first. */
  readonly list: readonly Outage[];
  /** The last run was not stopped, so the files it wrote last should be checked. */
  readonly uncleanShutdown: boolean;
  /** Adds the recovered jobs to the outage that has just ended. No effect without one. */
  noteRecoveredJobs(jobs: Recovered): Promise<void>;
  /** Records a deliberate stop. Nothing is written afterwards. */
  close(): Promise<void>;
}

/**
 * Reads the files of the last run and starts the heartbeat. Never rejects: failures are logged, since the relay can serve
 * without it.
 */
export async function openOutages(options: OutagesOptions): Promise<Outages> {
  const { dataDir, boot, log, running, everyMs = HEARTBEAT_MS, now = Date.now } = options;
  const files = { heartbeat: join(dataDir, "heartbeat.json"), outages: join(dataDir, "outages.json") };
  const iso = (ms: number) => new Date(ms).toISOString();
  const kept = (file: string, value: unknown) =>
    replaceFile(file, JSON.stringify(value), { synced: true }).catch((cause: unknown) =>
      log.warn({ err: cause, file }, "heartbeat or outages cannot be written"),
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
    log.warn(
      { from: outage.from, to: outage.to, seconds: outage.seconds, what: outage.what },
      "restarted after an outage",
    );
  }

  let writing: Promise<unknown> = Promise.resolve();
  let closed = false;
  const beat = (stopped: boolean) => {
    const heartbeat: Heartbeat = { boot, seenAt: iso(now()), requests: running(), stopped };
    // In order: an earlier heartbeat must not overwrite the stop.
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

/** Metrics of the recorded outages. They survive a restart of the relay. */
export function createOutageMetrics(registry: Registry, outages: Pick<Outages, "list">): void {
  const registers = [registry];
  new Gauge({
    name: "slm_last_outage_seconds",
    help: "Duration of the last outage; 0 before the first.",
    registers,
    collect() {
      this.set(outages.list[0]?.seconds ?? 0);
    },
  });
  new Gauge({
    name: "slm_last_outage_end_timestamp_seconds",
    help: "End of the last outage; 0 before the first.",
    registers,
    collect() {
      const [newest] = outages.list;
      this.set(newest === undefined ? 0 : Date.parse(newest.to) / 1000);
    },
  });
  new Gauge({
    name: "slm_outages",
    help: `Recorded outages (the last ${MAX_OUTAGES}), by what ended: the machine or only the relay.`,
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
    // Missing at the first start.
    if ((cause as NodeJS.ErrnoException).code !== "ENOENT")
      log.warn({ err: cause, file }, "file is ignored: it cannot be read");
    return undefined;
  }
}
