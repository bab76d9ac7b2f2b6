/**
 * OpenAI's background mode of `/v1/responses`, as its SDK calls it. Pure.
 * Source: https://platform.openai.com/docs/guides/background, https://platform.openai.com/docs/api-reference/responses
 */
import { z } from "zod";
import { RESPONSE_PARAMETERS } from "../dialects/openai.ts";
import { RelayError } from "../errors.ts";
import { type BodyFacts, memberValue, scanObject, withoutMark } from "../http/body-rules.ts";
import { innerPieces, withoutMember } from "../http/json-edit.ts";
import type { Scan } from "../http/json-scan.ts";
import type { JobRecord, StoredAnswer } from "./store.ts";
import { responseName } from "./views.ts";

/** Longest values that a Response object repeats, in bytes as written; a longer one is replaced by its empty value. */
const LONGEST_ECHO = 64 * 1024;

/** A request for a background response: what the model server gets, and the parameters that the Response object repeats. */
export interface Background {
  readonly body: Buffer;
  readonly requestParameters: string;
}

/**
 * Checks whether a body for `/v1/responses` asks for background mode; undefined if not. The model server gets it without
 * `background`, since the relay implements it. Throws `background_not_streamed`.
 */
export function readBackground(body: Buffer, { stream, scan }: BodyFacts): Background | undefined {
  const last = new Map(scan.members.map((member) => [member.key, member]));
  const background = last.get("background");
  if (background === undefined || memberValue(body, background, "true".length) !== true) return undefined;
  if (stream === true) {
    throw new RelayError(
      "background_not_streamed",
      "A background response cannot be streamed here. Leave out `stream`, and poll GET /v1/responses/{id}, or follow GET /v1/jobs/{id}/events with the same id after job_.",
    );
  }
  const requestParameters = Object.entries(RESPONSE_PARAMETERS).map(([key, absent]) => {
    const member = last.get(key);
    return [key, (member && memberValue(body, member, LONGEST_ECHO)) ?? absent];
  });
  return {
    body: withoutMember(body, scan, "background"),
    requestParameters: JSON.stringify(Object.fromEntries(requestParameters)),
  };
}

const modelError = z.object({
  error: z.object({ message: z.string(), code: z.union([z.string(), z.number()]).nullish() }),
});
/** Longest error of a model server that is passed on, in bytes as written. */
const LONGEST_ERROR = 64 * 1024;
const WANTED: ReadonlySet<string> = new Set(["id", "background", "error"]);

/**
 * The Response object of a background job, as JSON in pieces: the model server's own, byte for byte except `id` and
 * `background`, or one that states the job's status. `answer` is required for a job that has one.
 */
export async function responseObject(job: JobRecord, answer: StoredAnswer | undefined): Promise<Buffer[]> {
  const said = answer === undefined ? undefined : await scanned(answer.body);
  const id = responseName(job.id);
  if (job.state === "completed" && said !== undefined) {
    const rest = innerPieces(said.body, said.scan, ["id", "background"]);
    const head = `{"id":${JSON.stringify(id)},"background":true${rest.length === 0 ? "" : ","}`;
    return [Buffer.from(head), ...rest, Buffer.from("}")];
  }
  const base = {
    id,
    object: "response",
    created_at: Math.floor(job.createdAt / 1000),
    background: true,
    incomplete_details: null,
    output: [],
    usage: null,
  };
  const status =
    job.state === "queued" || job.state === "in_progress" || job.state === "cancelled" ? job.state : "failed";
  const error = status === "failed" ? failureOf(job, said) : null;
  // `requestParameters` is JSON built by the relay, so it is inserted as it is.
  const requestParameters = (job.requestParameters ?? "{}").slice(1, -1);
  const [head, tail] = [JSON.stringify(base).slice(0, -1), JSON.stringify({ error, status }).slice(1)];
  return [Buffer.from(`${head},${requestParameters === "" ? "" : `${requestParameters},`}${tail}`)];
}

interface Said {
  readonly body: Buffer;
  readonly scan: Scan;
}

function failureOf(job: JobRecord, said: Said | undefined): { code: string; message: string } {
  const member = said?.scan.members.findLast(({ key }) => key === "error");
  const theirs = modelError.safeParse({ error: said && member && memberValue(said.body, member, LONGEST_ERROR) });
  return theirs.success
    ? { code: String(theirs.data.error.code ?? "server_error"), message: theirs.data.error.message }
    : (job.error ?? { code: "server_error", message: "The model server's answer is not a Response object." });
}

/** Undefined if the body is not a JSON object. */
async function scanned(bytes: Uint8Array): Promise<Said | undefined> {
  const body = withoutMark(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
  try {
    return { body, scan: await scanObject(body, { wanted: WANTED }) };
  } catch (cause) {
    if (cause instanceof RelayError) return undefined;
    throw cause;
  }
}
