/** Collects what the page shows. What is costly to find out is asked for less often than the page is refreshed. */
import type { RelayConfig } from "../../config.ts";
import type { LineStatus } from "../../direct-log.ts";
import { diskSpace } from "../../disk-space.ts";
import type { AdaptiveView } from "../admission/adaptive-slots.ts";
import type { Admission, QueueName } from "../admission/admission.ts";
import type { Documents } from "../documents/documents.ts";
import type { Jobs } from "../jobs/jobs.ts";
import type { JobState, JobSummary } from "../jobs/store.ts";
import { jobName } from "../jobs/views.ts";
import type { LiveSpeed } from "./live-speed.ts";
import type { ModelWatch } from "./model-watch.ts";
import type { Outage } from "./outages.ts";
import type {
  AdaptivePart,
  AuditPart,
  DocumentsPart,
  JobPart,
  JobsPart,
  LinePart,
  ModelPart,
  OutagePart,
  PageState,
  QueuePart,
  RelayPart,
} from "./page-data.ts";
import { tokenParts } from "./tokens.ts";
import { type WarningFacts, warningsOf } from "./warnings.ts";

/** What the state is collected from. */
export interface PageSources {
  readonly config: RelayConfig;
  readonly draining: () => boolean;
  readonly model: ModelWatch;
  readonly speed: LiveSpeed;
  readonly admission: Pick<Admission, "snapshot" | "expectedWaitMs">;
  readonly jobs: Pick<Jobs, "available" | "store">;
  readonly documents: Pick<Documents, "state" | "count">;
  readonly outages: () => readonly Outage[];
  readonly adaptive: () => AdaptiveView | undefined;
  readonly lines: () => Promise<readonly LineStatus[]>;
  readonly audit: () => readonly AuditPart[];
  readonly ledger: { state(): WarningFacts["ledger"] };
}

/** Jobs that wait or run, and as many that have ended. */
const JOBS_SHOWN = 20;
const OUTAGES_SHOWN = 10;
const CHANGES_SHOWN = 8;
const MIB = 1024 * 1024;

const NO_JOBS: Record<JobState, number> = { queued: 0, in_progress: 0, completed: 0, failed: 0, cancelled: 0 };

/** @returns reads the state; never rejects: what cannot be found out is null, or as it was last */
export function pageState(sources: PageSources): () => Promise<PageState> {
  const { config, model, speed, admission, jobs, documents, outages, adaptive, lines, audit } = sources;
  const startedAt = Date.now();
  const disk = every<RelayPart["disk"]>(10_000, null, () => diskSpace(config.dataDir));
  const latest = every<readonly JobSummary[]>(3_000, [], () => jobs.store.latest(JOBS_SHOWN));
  // Counting reads every job.
  const counts = every<JobsPart["counts"]>(15_000, NO_JOBS, async () => {
    const sums = { ...NO_JOBS };
    for (const { state, jobs: number } of (await jobs.store.summary()).counts) sums[state] += number;
    return sums;
  });
  const kept = every(30_000, undefined, () => documents.count());
  const directLines = every<readonly LineStatus[]>(5_000, [], lines);

  const jobsPart = async (): Promise<JobsPart> => {
    if (!jobs.available) return { available: false, counts: NO_JOBS, latest: [] };
    return { available: true, counts: await counts(), latest: (await latest()).map(jobPart) };
  };
  const documentsPart = async (): Promise<DocumentsPart> => {
    const state = documents.state();
    const found = state.available ? await kept() : undefined;
    return {
      store: state.store,
      available: state.available,
      since: state.available ? null : Date.parse(state.since),
      reason: state.available ? null : state.reason,
      kept: found?.documents ?? null,
      bytes: found?.bytes ?? null,
      ttlDays: config.documents.ttlDays,
    };
  };
  const modelPart = async (): Promise<ModelPart> => {
    const { state, since = null } = await model.look();
    const { kind, embeddingModel } = config.model;
    const common = { kind, embeddingModel, since };
    return state.reachable
      ? { reachable: true, reason: null, models: state.models, ...common }
      : { reachable: false, reason: state.reason, models: [], ...common };
  };

  return async () => {
    const [diskNow, modelNow, jobsNow, documentsNow, linesNow] = await Promise.all([
      disk(),
      modelPart(),
      jobsPart(),
      documentsPart(),
      directLines(),
    ]);
    const state = {
      at: Date.now(),
      relay: { hostname: config.hostname, startedAt, draining: sources.draining(), disk: diskNow },
      model: modelNow,
      speed: speed.now(),
      queues: queueParts(admission),
      jobs: jobsNow,
      documents: documentsNow,
      outages: outages().slice(0, OUTAGES_SHOWN).map(outagePart),
      tokens: tokenParts(config),
      adaptive: adaptivePart(adaptive()),
      lines: linesNow.map(linePart),
    };
    const minFreeBytes = config.jobs.minFreeMiB * MIB;
    return { ...state, warnings: warningsOf(state, { minFreeBytes, ledger: sources.ledger.state() }), audit: audit() };
  };
}

/** Asks at most every `ms`; in between, and when it fails, the last finding. Two that ask at once share one question. */
function every<T>(ms: number, first: T, ask: () => Promise<T>): () => Promise<T> {
  let last = first;
  let askedAt = Number.NEGATIVE_INFINITY;
  let asking: Promise<T> | undefined;
  const askNow = async (): Promise<T> => {
    try {
      last = await ask();
    } catch {
      // The warnings say what is unavailable.
    }
    askedAt = performance.now();
    asking = undefined;
    return last;
  };
  return () => {
    if (performance.now() - askedAt < ms) return Promise.resolve(last);
    asking ??= askNow();
    return asking;
  };
}

function queueParts(admission: PageSources["admission"]): QueuePart[] {
  const snapshot = admission.snapshot();
  return (["chat", "embeddings"] as const satisfies QueueName[]).map((name) => {
    const { slots, running, waiting, waitingBackground, longestWaitMs, serviceMs, callers } = snapshot[name];
    return {
      name,
      slots,
      running,
      waiting,
      jobsWaiting: waitingBackground,
      expectedWaitMs: serviceMs > 0 || running < slots ? rounded(admission.expectedWaitMs(name)) : null,
      longestWaitMs: waiting > 0 ? rounded(longestWaitMs) : null,
      callers: Object.entries(callers).map(([caller, one]) => ({ name: caller, ...one })),
    };
  });
}

const rounded = (ms: number): number => Math.round(ms / 100) * 100;

const jobPart = (job: JobSummary): JobPart => ({
  id: jobName(job.id),
  state: job.state,
  caller: job.owner,
  company: job.company ?? null,
  path: job.path,
  createdAt: job.createdAt,
  startedAt: job.startedAt ?? null,
  finishedAt: job.finishedAt ?? null,
  error: job.errorCode ?? null,
});

const outagePart = (outage: Outage): OutagePart => ({
  from: Date.parse(outage.from),
  to: Date.parse(outage.to),
  what: outage.what,
  requestsCut: outage.requestsCut,
  jobsRunAgain: outage.jobsRunAgain.length,
  jobsFailed: outage.jobsFailed.length,
});

const adaptivePart = (view: AdaptiveView | undefined): AdaptivePart | null =>
  view === undefined
    ? null
    : {
        slots: view.slots,
        min: view.min,
        max: view.max,
        changes: view.history.slice(0, CHANGES_SHOWN).map(({ at, from, to, reason, tokensPerSecond }) => ({
          at,
          from,
          to,
          reason,
          before: tokensPerSecond.before ?? null,
          after: tokensPerSecond.after ?? null,
        })),
      };

const linePart = ({ server, connected, since, reason }: LineStatus): LinePart => ({
  server,
  connected,
  since: since === undefined ? null : Date.parse(since),
  reason: reason ?? null,
});
