/** The paths under `/v1/jobs/` and `/v1/responses/`: a caller sees, follows and cancels only its own jobs. */
import { RelayError } from "../errors.ts";
import type { HeldExchange } from "../http/exchange.ts";
import { JSON_TYPE } from "../http/json-output.ts";
import { sendJson, sendText } from "../http/listener.ts";
import type { JobAct } from "../http/router.ts";
import { followJob } from "./events.ts";
import { fromStore, type Jobs } from "./jobs.ts";
import { parsePrefer } from "./prefer.ts";
import { replyWithJob, replyWithResponseObject, waitForEnd } from "./replies.ts";
import type { JobListing, JobRecord, JobState } from "./store.ts";
import { LONGEST_WAIT_S } from "./submission.ts";
import { idOf, isFinal, jobList, jobName } from "./views.ts";

/** Most jobs of a page, and how many without `limit`. */
const MAX_LIMIT = 100;
const DEFAULT_LIMIT = 20;

const STATES: readonly JobState[] = ["queued", "in_progress", "completed", "failed", "cancelled"];

/** Answers `GET /v1/jobs`: the owner's jobs, the newest first. @throws RelayError `job_listing_invalid`, `jobs_unavailable` */
export async function serveJobList(exchange: HeldExchange, jobs: Jobs, owner: string): Promise<void> {
  const { state, limit, after } = readListing(exchange.query);
  const found = await fromStore(jobs.store.list(owner, { state, limit: limit + 1, after }));
  if (found === undefined) {
    throw new RelayError(
      "job_listing_invalid",
      `after: ${JSON.stringify(jobName(after ?? ""))} is not a job of yours, or has been deleted. Use the last_id of a page before you delete its jobs, or start again without after.`,
    );
  }
  const text = JSON.stringify(jobList(found, limit, jobs.live));
  exchange.holding.memory.grow(2 * text.length);
  sendText(exchange.res, 200, JSON_TYPE, text);
}

function readListing(query: string): JobListing {
  const invalid = (text: string) => new RelayError("job_listing_invalid", text);
  const params = new URLSearchParams(query);
  for (const name of new Set(params.keys())) {
    if (!["state", "limit", "after"].includes(name)) {
      throw invalid(`The query has ${JSON.stringify(name)}. Use state, limit and after.`);
    }
    if (params.getAll(name).length > 1) throw invalid(`The query has ${name} more than once. Send it once.`);
  }
  const asked = params.get("state");
  const state = STATES.find((one) => one === asked);
  if (asked !== null && state === undefined) {
    throw invalid(`state: ${JSON.stringify(asked)} is not a state. Use one of ${STATES.join(", ")}.`);
  }
  const limit = Number(params.get("limit") ?? DEFAULT_LIMIT);
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT) {
    throw invalid(`limit: ${JSON.stringify(params.get("limit"))} is not a whole number from 1 to ${MAX_LIMIT}.`);
  }
  const cursor = params.get("after");
  const after = cursor === null ? undefined : idOf(cursor, "job");
  if (cursor !== null && after === undefined) {
    throw invalid(`after: ${JSON.stringify(cursor)} is not a job's id. Use the last_id of the page before.`);
  }
  return { state, limit, after };
}

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
  if (act === "response" && exchange.req.method === "DELETE") {
    throw new RelayError(
      "method_not_allowed",
      "A background response cannot be deleted. Cancel it: POST /v1/responses/{id}/cancel.",
      { headers: { Allow: "GET, HEAD" } },
    );
  }
  if (exchange.req.method === "DELETE") return cancelOrRemove(exchange, jobs, found);
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

/** Cancels a job that is not finished; a finished one is removed with its answer. */
async function cancelOrRemove(exchange: HeldExchange, jobs: Jobs, found: JobRecord): Promise<void> {
  if (!isFinal(found)) return replyWithJob(exchange, jobs, await cancel(jobs, found), "state");
  await fromStore(jobs.store.remove(found.owner, found.id));
  const deleted = { id: jobName(found.id), object: "job.deleted", deleted: true };
  sendJson(exchange.res, 200, deleted);
}

async function cancel(jobs: Jobs, { owner, id }: JobRecord): Promise<JobRecord> {
  const job = await fromStore(jobs.store.cancel(owner, id));
  if (job === undefined) throw new RelayError("job_not_found", "The job has just expired.");
  jobs.cancelled(id);
  jobs.changes.changed(id);
  return job;
}
