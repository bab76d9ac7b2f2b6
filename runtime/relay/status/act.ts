/**
 * Acts of operators from the status page. Beside the session's cookie, which a browser sends along with requests that other
 * sites make it send, an act needs the page's own `Origin` and a header of ours, which other sites cannot set without asking
 * first (CORS preflight), and are never allowed to.
 */
import type { IncomingHttpHeaders } from "node:http";
import type { RelayConfig } from "../../config.ts";
import type { Person } from "../access/access.ts";
import { isOperator } from "../access/operators.ts";
import { RelayError } from "../errors.ts";
import { fromStore, type Jobs } from "../jobs/jobs.ts";
import { idOf, isFinal, jobName } from "../jobs/views.ts";
import type { Log } from "../telemetry/log.ts";
import type { AuditLog } from "./audit.ts";
import { ACTION_HEADER, type AuditPart } from "./page-data.ts";

export interface ActParts {
  readonly config: Pick<RelayConfig, "access" | "hostname">;
  readonly jobs: Pick<Jobs, "store" | "cancelled" | "changes">;
  readonly audit: AuditLog;
  readonly log: Log;
}

/** A request for an act, after the Access check. */
export interface ActRequest {
  readonly person: Person;
  readonly headers: IncomingHttpHeaders;
  /** `job_…`, as in the path. */
  readonly job: string;
}

/**
 * Cancels a job of any caller. Repeated, it changes nothing. The audit log has it before the job is touched.
 * @throws RelayError `origin_not_allowed`, `operator_required`, `job_not_found`, `audit_unavailable`, `jobs_unavailable`
 */
export async function cancelJob(request: ActRequest, parts: ActParts): Promise<{ id: string; outcome: string }> {
  const { person, job: name } = request;
  const { jobs, audit, log } = parts;
  try {
    refuseForeign(request.headers, "cancel", parts.config.hostname);
    refuseOthers(person, parts.config);
  } catch (cause) {
    if (cause instanceof RelayError) {
      log.warn({ audit: true, who: person.name, action: "cancel_job", job: name, code: cause.code }, "act refused");
    }
    throw cause;
  }
  const id = idOf(name, "job");
  const found = id === undefined ? undefined : await fromStore(jobs.store.findAny(id));
  if (id === undefined || found === undefined) throw notFound(name);
  const entry = (outcome: AuditPart["outcome"], reason: string | null = null): AuditPart => ({
    at: Date.now(),
    who: person.name,
    action: "cancel_job",
    job: jobName(id),
    caller: found.owner,
    company: found.company ?? null,
    outcome,
    reason,
  });
  const note = (one: AuditPart) =>
    audit.append(one).catch((cause: unknown) => {
      throw new RelayError("audit_unavailable", "The audit log cannot be written, so nothing was done.", { cause });
    });
  if (isFinal(found)) {
    await note(entry("not_needed"));
    return { id: jobName(id), outcome: "not_needed" };
  }
  await note(entry("done"));
  try {
    const cancelled = await fromStore(jobs.store.cancel(found.owner, id, "operator"));
    if (cancelled === undefined) throw notFound(name);
    if (cancelled.state !== "cancelled") {
      await note(entry("not_needed")); // it ended in the meantime
      return { id: jobName(id), outcome: "not_needed" };
    }
  } catch (cause) {
    await note(entry("failed", cause instanceof RelayError ? cause.code : "internal"));
    throw cause;
  }
  jobs.cancelled(id);
  jobs.changes.changed(id);
  return { id: jobName(id), outcome: "done" };
}

const notFound = (name: string): RelayError =>
  new RelayError("job_not_found", `There is no job ${JSON.stringify(name)}, or it has expired.`);

/** @throws RelayError `origin_not_allowed` unless the page itself has sent the request */
function refuseForeign(headers: IncomingHttpHeaders, action: string, hostname: string): void {
  const { origin, "sec-fetch-site": site } = headers;
  const wanted = `https://${hostname}`;
  const isOwn = origin === wanted && (site === undefined || site === "same-origin");
  if (isOwn && headers[ACTION_HEADER.toLowerCase()] === action) return;
  throw new RelayError(
    "origin_not_allowed",
    `Only the status page at ${wanted}/status can do this: the request needs its Origin and the header ${ACTION_HEADER}: ${action}.`,
  );
}

/** @throws RelayError `operator_required` */
function refuseOthers(person: Person, config: ActParts["config"]): void {
  if (isOperator(person, config)) return;
  throw new RelayError(
    "operator_required",
    "Only people in access.people.operators of the stack's config can do this.",
  );
}
