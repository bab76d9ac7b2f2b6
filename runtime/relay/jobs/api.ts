/** The paths under `/v1/jobs/` and `/v1/responses/`: a caller sees, follows and cancels its own jobs, and nobody else's. */
import { RelayError } from "../errors.ts";
import type { HeldExchange } from "../http/exchange.ts";
import type { JobAct } from "../http/router.ts";
import { followJob } from "./events.ts";
import { fromStore, type Jobs } from "./jobs.ts";
import { parsePrefer } from "./prefer.ts";
import { replyWithJob, replyWithResponseObject, waitForEnd } from "./replies.ts";
import type { JobRecord } from "./store.ts";
import { LONGEST_WAIT_S } from "./submit.ts";
import { idOf } from "./views.ts";

/** Answers a request for the job named `name` in the path. Throws `job_*` and `jobs_unavailable`. */
export async function serveJob(
  exchange: HeldExchange,
  jobs: Jobs,
  act: JobAct,
  owner: string,
  name: string,
): Promise<void> {
  const asResponse = act === "response" || act === "cancel_response";
  const id = idOf(name, asResponse ? "resp" : "job");
  const found = id === undefined ? undefined : await fromStore(jobs.store.find(owner, id));
  // A job that was not made as a Response has no such form.
  if (found === undefined || (asResponse && found.requestParameters === undefined)) {
    throw new RelayError(
      "job_not_found",
      `There is no job ${JSON.stringify(name)} of yours, or it has been forgotten.`,
    );
  }
  if (act === "cancel_response") return replyWithResponseObject(exchange, jobs, await cancel(jobs, found));
  if (act === "events") return followJob(exchange, jobs, found);
  if (act === "response" && exchange.req.method === "DELETE") {
    throw new RelayError(
      "method_not_allowed",
      "A background response cannot be deleted. Cancel it: POST /v1/responses/{id}/cancel.",
      { headers: { Allow: "GET, HEAD" } },
    );
  }
  if (exchange.req.method === "DELETE") return replyWithJob(exchange, jobs, await cancel(jobs, found), "state");
  if (act === "response") {
    if (/[?&]stream=true(&|$)/.test(exchange.query)) {
      throw new RelayError("background_not_streamed", "A background response can not be streamed here. Poll it.");
    }
    return replyWithResponseObject(exchange, jobs, found);
  }
  const { wait } = parsePrefer(exchange.req.headers.prefer);
  const seconds = Math.min(wait ?? 0, LONGEST_WAIT_S);
  const job = seconds > 0 ? await waitForEnd(exchange, jobs, found, seconds) : found;
  if (seconds > 0) exchange.res.setHeader("Preference-Applied", `wait=${seconds}`);
  return replyWithJob(exchange, jobs, job, act === "result" ? "result" : "state");
}

async function cancel(jobs: Jobs, { owner, id }: JobRecord): Promise<JobRecord> {
  const job = await fromStore(jobs.store.cancel(owner, id));
  if (job === undefined) throw new RelayError("job_not_found", "The job has just been forgotten.");
  jobs.cancelled(id);
  jobs.changes.changed(id);
  return job;
}
