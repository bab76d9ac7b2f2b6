/** Runs of jobs in the ledger and against the quotas. */
import type { Caller } from "../../config.ts";
import { CLIENT_CLOSED_REQUEST, RelayError } from "../errors.ts";
import { scanObject } from "../http/body-rules.ts";
import type { Router } from "../http/router.ts";
import { companyOfUsage, type UsageEntry, type Usages } from "../usage/entry.ts";
import type { QuotaHold } from "../usage/quota-hold.ts";
import { LONGEST_TEXT } from "../usage/row.ts";
import type { Usage } from "../usage/usage.ts";
import type { Ending } from "./disposition.ts";
import { WORK_HEADER } from "./own-work.ts";
import type { ClaimedJob, WaitingJob } from "./store.ts";

/** The end of a run. */
export interface RunEnd {
  readonly job: ClaimedJob;
  readonly ending: Ending;
  /** What its answer used, as far as it came; undefined for the relay's own work, whose calls were added one by one. */
  readonly usage: Usage | undefined;
  readonly waitedMs: number;
  /** From the start of the run. */
  readonly firstMs: number | undefined;
  readonly ms: number;
}

/** What the runner needs of ledger and quotas. */
export interface JobUsage {
  /** Counts a job that would start against the quotas; undefined: it must wait. */
  admit(job: WaitingJob, caller: Caller): QuotaHold | undefined;
  /** Begins the row of a run. */
  begin(job: ClaimedJob, caller: Caller, hold: QuotaHold): UsageEntry;
  /** Records the run, and settles its hold. */
  ended(entry: UsageEntry, end: RunEnd): Promise<void>;
}

export function jobUsage(usages: Usages, router: Pick<Router, "dialectOf" | "modelCall">): JobUsage {
  return {
    admit({ company, estimatedTokens }, caller) {
      try {
        return usages.quotas.admit({
          caller: caller.name,
          company: companyOfUsage(caller, company ?? undefined),
          tokens: estimatedTokens,
        });
      } catch (cause) {
        if (cause instanceof RelayError) return undefined;
        throw cause;
      }
    },
    begin({ path, company, headers }, caller, hold) {
      const dialect = WORK_HEADER in headers ? "relay" : router.dialectOf(path).name;
      const pattern = router.modelCall(path)?.name ?? path;
      const entry = usages.begin({ kind: "job", caller, company, dialect, path: pattern });
      entry.admitted(hold);
      return entry;
    },
    async ended(entry, { job: { lane, body }, ending, usage, waitedMs, firstMs, ms }) {
      const cause = ending.kind === "failed" ? ending.cause : undefined;
      const code = cause instanceof RelayError ? cause.code : undefined;
      if (code !== undefined && NOTHING_RAN.has(code)) {
        entry.discard(); // it waits, and tries often
        return;
      }
      const status = ending.kind === "answer" ? ending.answer.status : statusOf(ending);
      const refused = ending.kind === "answer" && status >= 400;
      if (usage !== undefined) {
        entry.used({ by: "model", queue: lane, usage, requestBytes: body.length, refused });
        entry.model = await modelIn(body);
      }
      entry.waitMs = Math.round(waitedMs);
      entry.ttftMs = firstMs === undefined ? null : Math.round(firstMs);
      entry.ended({ status, code: code ?? stopCode(ending), ms, entry: null, colo: null });
    },
  };
}

const NOTHING_RAN: ReadonlySet<string> = new Set(["model_unreachable", "model_down", "model_server_denied"]);

/** A run without an answer, as a call without one would have ended. */
function statusOf(ending: Exclude<Ending, { kind: "answer" }>): number {
  if (ending.kind === "stopped") return CLIENT_CLOSED_REQUEST;
  return ending.cause instanceof RelayError ? ending.cause.status : 500;
}

const stopCode = (ending: Ending): string | undefined => (ending.kind === "stopped" ? ending.reason : undefined);

const MODEL: ReadonlySet<string> = new Set(["model"]);

/** The model that a job's body names. */
async function modelIn(bytes: Uint8Array): Promise<string | null> {
  const body = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  try {
    const { members } = await scanObject(body, { wanted: MODEL });
    const member = members.find(({ key }) => key === "model");
    if (member === undefined || member.end - member.start > 4 * LONGEST_TEXT) return null;
    const name = JSON.parse(body.toString("utf8", member.start, member.end)) as unknown;
    return typeof name === "string" ? name : null;
  } catch {
    return null; // a body of an older release that is checked no more
  }
}
