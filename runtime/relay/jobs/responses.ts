/**
 * OpenAI's background mode of `/v1/responses`, as its SDK calls it. Pure.
 * Source: https://platform.openai.com/docs/guides/background, https://platform.openai.com/docs/api-reference/responses
 */
import { z } from "zod";
import { RelayError } from "../errors.ts";
import type { JobRecord, StoredAnswer } from "./store.ts";
import { responseName } from "./views.ts";

/** What a Response object repeats of its request, and what stands there if the request does not say. */
const ECHOED: Readonly<Record<string, unknown>> = {
  model: "",
  instructions: null,
  max_output_tokens: null,
  metadata: {},
  parallel_tool_calls: true,
  previous_response_id: null,
  reasoning: null,
  temperature: null,
  text: { format: { type: "text" } },
  tool_choice: "auto",
  tools: [],
  top_p: null,
  truncation: "disabled",
  user: null,
};

/** A request for a background response: what the model server gets, and what the Response object repeats of it. */
export interface Background {
  readonly body: Buffer;
  readonly echo: string;
}

/**
 * Looks whether a body for `/v1/responses` asks for the background; undefined if not. The model server gets it without
 * `background`, since it is the relay that keeps it. Throws `background_not_streamed`. `body` must be a JSON object.
 */
export function readBackground(body: Buffer): Background | undefined {
  if (!body.includes("background")) return undefined;
  const { background, stream, ...rest } = JSON.parse(body.toString("utf8")) as Record<string, unknown>;
  if (background !== true) return undefined;
  if (stream === true) {
    throw new RelayError(
      "background_not_streamed",
      "A background response can not be streamed here. Leave out `stream`, and poll GET /v1/responses/{id}, or follow GET /v1/jobs/{id}/events with the same id after job_.",
    );
  }
  const echo = Object.fromEntries(Object.entries(ECHOED).map(([key, absent]) => [key, rest[key] ?? absent]));
  return { body: Buffer.from(JSON.stringify(rest)), echo: JSON.stringify(echo) };
}

const modelError = z.object({
  error: z.object({ message: z.string(), code: z.union([z.string(), z.number()]).nullish() }),
});

/** The Response object of a background job. `answer` is needed once there is one. */
export function responseObject(job: JobRecord, answer: StoredAnswer | undefined): Record<string, unknown> {
  const said = answer === undefined ? undefined : parseJson(answer);
  const id = responseName(job.id);
  if (job.state === "completed" && isObject(said)) return { ...said, id, background: true };
  const base = {
    id,
    object: "response",
    created_at: Math.floor(job.createdAt / 1000),
    background: true,
    error: null,
    incomplete_details: null,
    output: [],
    usage: null,
    ...(JSON.parse(job.echo ?? "{}") as Record<string, unknown>),
  };
  if (job.state !== "failed" && job.state !== "completed") return { ...base, status: job.state };
  const theirs = modelError.safeParse(said);
  const error = theirs.success
    ? { code: String(theirs.data.error.code ?? "server_error"), message: theirs.data.error.message }
    : (job.error ?? { code: "server_error", message: "The model server's answer is not a Response object." });
  return { ...base, status: "failed", error };
}

function parseJson({ body }: StoredAnswer): unknown {
  try {
    return JSON.parse(Buffer.from(body).toString("utf8"));
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
