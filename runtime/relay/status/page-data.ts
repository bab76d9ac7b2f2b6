/**
 * What the page shows, as it travels: `/status/events` and `/status/usage.json`. Times are milliseconds since 1970 unless
 * said otherwise; null is "not known". Imports nothing, since the page's own program is built with it, too.
 */

/** Languages of the page. */
export const LANGUAGES = ["ko", "en"] as const;
export type Language = (typeof LANGUAGES)[number];
/** Their names, each in itself. */
export const LANGUAGE_NAMES = { ko: "한국어", en: "English" } as const satisfies Record<Language, string>;

/** Colours of the page; `auto` follows the system. */
export const THEMES = ["auto", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

/** What the reader chose. */
export const PREFERENCE_COOKIES = { language: "slm_status_language", theme: "slm_status_theme" } as const;

/** Header of a request that acts, beside the session: a form or another site cannot set it. */
export const ACTION_HEADER = "X-Slm-Action";

/** Paths of the page's own files and of its data. */
export const PATHS = {
  page: "/status",
  data: "/status/data.json",
  events: "/status/events",
  usage: "/status/usage.json",
  script: "/status/app.js",
  style: "/status/app.css",
} as const;

/** Path that cancels a job. @param id as in the API, `job_…` */
export const cancelPath = (id: string): string => `/status/jobs/${encodeURIComponent(id)}/cancel`;

export interface RelayPart {
  readonly hostname: string;
  readonly startedAt: number;
  readonly draining: boolean;
  /** Bytes of the disk with the relay's data. */
  readonly disk: { readonly freeBytes: number; readonly totalBytes: number } | null;
}

export interface ModelPart {
  readonly reachable: boolean;
  /** Why it does not answer. */
  readonly reason: string | null;
  /** Since when it answers, or does not; null before the first change since the relay's start. */
  readonly since: number | null;
  readonly models: readonly string[];
  readonly kind: string;
  readonly embeddingModel: string;
}

export interface SpeedPart {
  /** Output tokens of all answers together, over the last ten seconds. */
  readonly tokensPerSecond: number;
  /** Of one streamed answer, by those of `callsWindowMs`; null without one. */
  readonly perAnswer: number | null;
  /** Median from the arrival of a call to the first byte of its answer, in `callsWindowMs`; null without a call. */
  readonly firstTokenMs: number | null;
  /** Calls for text that ended in `callsWindowMs`; at most the last 256. */
  readonly calls: number;
  readonly callsWindowMs: number;
}

export interface QueuePart {
  readonly name: "chat" | "embeddings";
  readonly slots: number;
  readonly running: number;
  /** Without jobs. */
  readonly waiting: number;
  readonly jobsWaiting: number;
  /** Of a call that comes now; null before times have been measured. */
  readonly expectedWaitMs: number | null;
  /** How long the oldest waiting call has waited; null when none waits. */
  readonly longestWaitMs: number | null;
  readonly callers: readonly { readonly name: string; readonly running: number; readonly waiting: number }[];
}

export interface JobPart {
  /** `job_…` */
  readonly id: string;
  readonly state: "queued" | "in_progress" | "completed" | "failed" | "cancelled";
  readonly caller: string;
  readonly company: string | null;
  readonly path: string;
  readonly createdAt: number;
  readonly startedAt: number | null;
  readonly finishedAt: number | null;
  /** Code of the error that it ended with. */
  readonly error: string | null;
}

export interface JobsPart {
  readonly available: boolean;
  /** Jobs that are kept, by state. */
  readonly counts: Readonly<Record<JobPart["state"], number>>;
  /** Those that wait or run, then the ones that ended last; bounded. */
  readonly latest: readonly JobPart[];
}

export interface DocumentsPart {
  readonly store: "atlas" | "embedded";
  readonly available: boolean;
  readonly since: number | null;
  readonly reason: string | null;
  /** Documents that are stored and have not expired, and their size. */
  readonly kept: number | null;
  readonly bytes: number | null;
  readonly ttlDays: number;
}

export interface EntryPart {
  /** Cloudflare location, three letters; `direct` for the direct line, `none` where the edge did not say. */
  readonly colo: string;
  readonly requests: number;
}

export interface OutagePart {
  readonly from: number;
  readonly to: number;
  readonly what: "machine" | "relay";
  readonly requestsCut: number;
  readonly jobsRunAgain: number;
  readonly jobsFailed: number;
}

export interface TokenPart {
  readonly name: string;
  readonly enabled: boolean;
  /** End of the token's own life; null when it is not known, `never` when it has none. */
  readonly expiresAt: number | null | "never";
  /** When its life began, or was renewed last. */
  readonly issuedAt: number | null;
}

export interface AdaptivePart {
  readonly slots: number;
  readonly min: number;
  readonly max: number;
  readonly changes: readonly {
    readonly at: number;
    readonly from: number;
    readonly to: number;
    readonly reason: string;
    readonly before: number | null;
    readonly after: number | null;
  }[];
}

export interface LinePart {
  readonly server: string;
  readonly connected: boolean;
  readonly since: number | null;
  readonly reason: string | null;
}

/** What needs somebody's attention. The page says it in the reader's language, with what to do. */
export type Warning =
  | { readonly code: "draining" | "jobs_unavailable" }
  | { readonly code: "model_down"; readonly reason: string; readonly since: number | null }
  | { readonly code: "store_unavailable"; readonly reason: string; readonly since: number | null }
  | { readonly code: "ledger_unavailable"; readonly reason: string }
  | { readonly code: "disk_low"; readonly freeBytes: number; readonly minBytes: number }
  | {
      readonly code: "queue_long";
      readonly queue: QueuePart["name"];
      readonly waiting: number;
      readonly waitMs: number;
    }
  | { readonly code: "token_ends" | "token_ended"; readonly caller: string; readonly at: number }
  | { readonly code: "line_down"; readonly server: string; readonly reason: string };

export interface AuditPart {
  readonly at: number;
  /** E-mail address of the person. */
  readonly who: string;
  readonly action: "cancel_job";
  readonly job: string;
  readonly caller: string | null;
  readonly company: string | null;
  /** `not_needed`: the job had ended before. */
  readonly outcome: "done" | "not_needed" | "failed";
  /** Code of the error, where it failed. */
  readonly reason: string | null;
}

/** Everything that `/status/events` sends. The first event has all parts, later ones those that changed. */
export interface PageState {
  readonly at: number;
  readonly relay: RelayPart;
  readonly model: ModelPart;
  readonly speed: SpeedPart;
  readonly queues: readonly QueuePart[];
  readonly jobs: JobsPart;
  readonly documents: DocumentsPart | null;
  readonly outages: readonly OutagePart[];
  readonly tokens: readonly TokenPart[];
  readonly adaptive: AdaptivePart | null;
  readonly lines: readonly LinePart[];
  readonly warnings: readonly Warning[];
  readonly audit: readonly AuditPart[];
}

/** Periods that can be shown. */
export const SPANS = ["hour", "day", "month"] as const;
export type Span = (typeof SPANS)[number];

/** One step of `/status/usage.json`. */
export interface UsagePoint extends UsageSum {
  /** Start of the step. */
  readonly at: number;
  /** Median from the arrival of a call to the first byte of its answer; null without one. */
  readonly firstTokenMs: number | null;
  /** Median wait for a slot; null without one. */
  readonly waitMs: number | null;
  /** Calls behind these. */
  readonly timed: number;
}

export interface UsageSum {
  readonly calls: number;
  /** Of these, ended with an error. */
  readonly failed: number;
  /** Of these, turned away with 429. */
  readonly refused: number;
  /** Read by the models, embedded ones included. */
  readonly tokensIn: number;
  readonly tokensOut: number;
}

/** What stored documents saved in a period. */
export interface Savings {
  /** Document requests that needed no embedding. */
  readonly hits: number;
  /** Calls to the embedding model that were made all the same. */
  readonly calls: number;
  /** Texts whose vectors were stored already. */
  readonly reused: number;
  /** What embedding these would have taken. */
  readonly sparedMs: number;
}

export interface CompanyUsage extends UsageSum {
  /** null: calls that named none. */
  readonly company: string | null;
}

/** `/status/usage.json?span=…&today=…` */
export interface UsageAnswer {
  readonly span: Span;
  readonly from: number;
  readonly to: number;
  readonly stepMs: number;
  /** Steps with at least one call, oldest first. */
  readonly points: readonly UsagePoint[];
  /** Over the span, the most tokens first; bounded. */
  readonly companies: readonly CompanyUsage[];
  /** Since the reader's midnight. */
  readonly today: UsageSum;
  /** Since the reader's first of the month. */
  readonly month: UsageSum & { readonly savings: Savings };
  /** Calls by entry, over the span. */
  readonly entry: readonly EntryPart[];
}
