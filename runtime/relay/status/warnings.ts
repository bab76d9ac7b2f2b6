/** What needs somebody's attention, by the state of the relay. Pure. */
import type { PageState, Warning } from "./page-data.ts";

/** A token is near its end with less than this left; `up` says so from 60 days on. */
const TOKEN_MS = 30 * 86_400_000;
/** A wait is long from here on. */
const LONG_WAIT_MS = 15_000;

/** What decides over warnings beside the state that is shown. */
export interface WarningFacts {
  /** With less free disk no job is taken (`jobs.minFreeMiB`). */
  readonly minFreeBytes: number;
  readonly ledger: { readonly available: boolean; readonly reason?: string | undefined };
}

export function warningsOf(
  state: Omit<PageState, "warnings" | "audit">,
  { minFreeBytes, ledger }: WarningFacts,
): Warning[] {
  const { at, relay, model, queues, jobs, documents, tokens, lines } = state;
  const found: Warning[] = [];
  if (relay.draining) found.push({ code: "draining" });
  if (!model.reachable) found.push({ code: "model_down", reason: model.reason ?? "", since: model.since });
  if (!jobs.available) found.push({ code: "jobs_unavailable" });
  if (documents !== null && !documents.available) {
    found.push({ code: "store_unavailable", reason: documents.reason ?? "", since: documents.since });
  }
  if (!ledger.available) found.push({ code: "ledger_unavailable", reason: ledger.reason ?? "" });
  const { disk } = relay;
  // A quarter more than the bound: from there on jobs are refused.
  if (disk !== null && disk.freeBytes < 1.25 * minFreeBytes) {
    found.push({ code: "disk_low", freeBytes: disk.freeBytes, minBytes: minFreeBytes });
  }
  for (const { name, waiting, longestWaitMs, expectedWaitMs } of queues) {
    const waitMs = Math.max(longestWaitMs ?? 0, expectedWaitMs ?? 0);
    if (waiting > 0 && waitMs >= LONG_WAIT_MS) found.push({ code: "queue_long", queue: name, waiting, waitMs });
  }
  for (const { name, enabled, expiresAt } of tokens) {
    if (!enabled || expiresAt === null || expiresAt === "never") continue;
    if (expiresAt <= at) found.push({ code: "token_ended", caller: name, at: expiresAt });
    else if (expiresAt - at < TOKEN_MS) found.push({ code: "token_ends", caller: name, at: expiresAt });
  }
  for (const { server, connected, reason } of lines) {
    if (!connected) found.push({ code: "line_down", server, reason: reason ?? "" });
  }
  return found;
}
