/** How a relay is started, beside its config; most of it is for tests. */
import type { JWTVerifyGetKey } from "jose";
import type { AdaptiveTimes } from "./admission/adaptive.ts";
import type { AlertsParts } from "./alerts/open.ts";
import type { Dialect } from "./dialects/dialect.ts";
import type { Pace } from "./http/body.ts";
import type { KeepAliveTimes } from "./http/keep-alive-writer.ts";
import type { Log } from "./telemetry/log.ts";
import type { QuotaWarnings } from "./usage/quota-warnings.ts";

/** Times of a request that tests shorten. */
export interface RelayTimes {
  readonly keepAlive: KeepAliveTimes;
  readonly pace: Pace;
}

export interface RelayOptions extends Partial<RelayTimes> {
  readonly log: Log;
  /** Signing keys of Access. For tests. @default fetched from the team's domain */
  readonly keys?: JWTVerifyGetKey;
  /** Waits for another relay to release the public port instead of failing while it is taken. @default false */
  readonly takeOver?: boolean;
  /** The APIs that callers may speak. For tests. @default DIALECTS */
  readonly dialects?: readonly Dialect[];
  /** Requests of all callers that may be open at once. @default OPEN_REQUESTS */
  readonly openRequests?: number;
  /** Milliseconds since 1970, for the expiry of documents. For tests. */
  readonly now?: () => number;
  /** Pause between two batches of traces, in ms. For tests. */
  readonly traceEveryMs?: number;
  /** Shorter times of alerts, for tests. */
  readonly alertOptions?: Partial<AlertsParts>;
  /** Spans in memory, at most. For tests. */
  readonly traceMaxSpans?: number;
  /** Folder with the status page's own program, for tests. @default beside the bundled relay */
  readonly statusAssets?: URL;
  /** Shorter times of `limits.chat: auto`, for tests. */
  readonly adaptiveTimes?: AdaptiveTimes;
  /** Told when a quota by day or month is nearly used up. @default the log */
  readonly quotaWarnings?: QuotaWarnings;
}
