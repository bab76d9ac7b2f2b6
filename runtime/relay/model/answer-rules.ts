/**
 * Answers of the model server that must not reach the caller as they are:
 *
 * | answer | instead | why |
 * |---|---|---|
 * | 401; 403 without a JSON error | 502 `model_server_denied` | the caller's token is right, the relay's key is not |
 * | 404, 405, 501 of a path that the server does not have | 404 `not_on_model_server` | says which servers have it |
 * | vectors as numbers, asked for in base64 | base64 | LM Studio ignores `encoding_format`; clients would read zeros |
 * | a list of models | without those that the caller may not use | |
 */
import type { IncomingHttpHeaders } from "node:http";
import { z } from "zod";
import type { ModelConfig } from "../../model-config.ts";
import { modelServer } from "../../model-servers.ts";
import type { Dialect } from "../dialects/dialect.ts";
import { errorAnswer, RelayError } from "../errors.ts";
import type { AnswerRule, Replacement, Rewrite } from "../http/answer-rewriter.ts";
import type { ModelCall } from "../http/router.ts";
import { Base64Vectors, wantsBase64 } from "./base64-vectors.ts";
import { listRule } from "./model-list.ts";

/** Longest error of a model server that is looked at, in bytes. */
const LONGEST_ERROR = 64 * 1024;
/** Longest answer with status 200 that can be LM Studio's for an unknown path, in bytes; answers of models are longer. */
const LONGEST_UNKNOWN_PATH = 256;

/** What the rules need to know of a call. @param body null for one without */
export interface RuledCall {
  readonly route: Pick<ModelCall, "name" | "dialect" | "listsModels" | "mayAskBase64" | "servers">;
  readonly method: string;
  readonly body: Buffer | null;
  readonly model: Pick<ModelConfig, "kind" | "allowed">;
  /** Called with an error that takes the answer's place. */
  readonly onRefused?: (error: RelayError) => void;
}

/** The rule for the answer to a call: the first of the table's rows that applies. */
export function answerRule(call: RuledCall): AnswerRule {
  return (status, headers) =>
    errorRule(status, call) ??
    unknownPathRule(status, headers, call) ??
    base64Rule(status, headers, call) ??
    listRule(status, call.route, call.model, (error) => refuse(call, error));
}

function refuse({ onRefused, route }: RuledCall, error: RelayError): Replacement {
  onRefused?.(error);
  return asReplacement(error, route.dialect);
}

const errorSchema = z.object({
  error: z.union([z.string(), z.object({ message: z.string() })]),
});

function errorRule(status: number, call: RuledCall): Rewrite | undefined {
  const denied = status === 401 || status === 403;
  const missing = status === 404 || status === 405 || status === 501;
  if (!denied && !missing) return undefined;
  return {
    kind: "whole",
    longest: LONGEST_ERROR,
    replace(body) {
      const message = messageOf(body);
      if (status === 401 || (denied && message === undefined)) return refuse(call, modelServerDenied(status, message));
      // llama-server's words for a path that it does not have. A model that it does not have is named in the message.
      if (missing && (message === undefined || message === "File Not Found"))
        return refuse(call, notOnModelServer(call));
      return undefined;
    },
    tooLong: () => undefined,
  };
}

function unknownPathRule(status: number, headers: IncomingHttpHeaders, call: RuledCall): Rewrite | undefined {
  const { unknownPathMessage } = modelServer(call.model.kind);
  if (unknownPathMessage === undefined || status !== 200 || !isJson(headers)) return undefined;
  // Its answer has a length, and is the message with method and path: no other answer waits for its end.
  if (!(Number(headers["content-length"]) <= LONGEST_UNKNOWN_PATH)) return undefined;
  return {
    kind: "whole",
    longest: LONGEST_UNKNOWN_PATH,
    replace: (body) =>
      messageOf(body)?.startsWith(unknownPathMessage) === true ? refuse(call, notOnModelServer(call)) : undefined,
    tooLong: () => undefined,
  };
}

function base64Rule(status: number, headers: IncomingHttpHeaders, { route, body }: RuledCall): Rewrite | undefined {
  if (!route.mayAskBase64 || body === null || status !== 200 || !isJson(headers)) return undefined;
  if (headers["content-encoding"] !== undefined || !wantsBase64(body)) return undefined;
  return { kind: "pieces", change: new Base64Vectors() };
}

const isJson = (headers: IncomingHttpHeaders): boolean =>
  String(headers["content-type"] ?? "")
    .toLowerCase()
    .startsWith("application/json");

/** The message of an error in JSON; undefined for anything else. */
function messageOf(body: Buffer): string | undefined {
  let value: unknown;
  try {
    value = JSON.parse(body.toString("utf8"));
  } catch {
    return undefined;
  }
  const { data } = errorSchema.safeParse(value);
  return typeof data?.error === "string" ? data.error : data?.error.message;
}

function modelServerDenied(status: number, message: string | undefined): RelayError {
  return new RelayError(
    "model_server_denied",
    `The model server on the Mac refuses the relay (${status}): it wants another key. Your token is right; the stack's config needs the model server's key.`,
    { detail: message },
  );
}

function notOnModelServer({ route, method, model }: RuledCall): RelayError {
  const server = modelServer(model.kind).nameForCallers;
  const have = route.servers === undefined ? "" : ` These have it: ${route.servers}.`;
  return new RelayError(
    "not_on_model_server",
    `${method} ${route.name} is not served by ${server} on the Mac, or not by its version.${have}`,
  );
}

export function asReplacement(error: RelayError, dialect: Pick<Dialect, "errorBody">): Replacement {
  const { status, headers, body } = errorAnswer(error, dialect.errorBody);
  const lower = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]);
  return { status, headers: Object.fromEntries(lower) as IncomingHttpHeaders, body: Buffer.from(body) };
}
