/** The paths under `/v1/jobs/` and `/v1/responses/`: a caller sees, follows and cancels only its own jobs. */
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

/** Answers a request for the job called `name` in the path. Throws `job_*` and `jobs_unavailable`. */
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
  // Only a job that was submitted as a Response has that form.
  if (found === undefined || (asResponse && found.requestParameters === undefined)) {
    throw new RelayError("job_not_found", `You have no job ${JSON.stringify(name)}, or it has expired.`);
  }
  if (act === "cancel_response") return replyWithResponseObject(exchange, jobs, await cancel(jobs, found));
  if (act === "events") return followJob(exchange, jobs, found);
  if (exchange.req.method === "DELETE") return replyWithJob(exchange, jobs, await cancel(jobs, found), "state");
  if (act === "response") {
    if (/[?&]stream=true(&|$)/.test(exchange.query)) {
      throw new RelayError("background_not_streamed", "A background response cannot be streamed here. Poll it.");
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
  if (job === undefined) throw new RelayError("job_not_found", "The job has just expired.");
  jobs.cancelled(id);
  jobs.changes.changed(id);
  return job;
}
