/** A remote server for requests that this Mac would refuse, for companies that agreed to it. Off unless configured. */
import type { Caller } from "../../config.ts";
import type { FallbackConfig, ModelConfig } from "../../model-config.ts";
import { basePath } from "../../model-servers.ts";
import { normalizeName } from "../access/names.ts";
import { RelayError } from "../errors.ts";
import type { Sink } from "../http/answer-writer.ts";
import { scanObject } from "../http/body-rules.ts";
import { withMember, withoutMember } from "../http/json-edit.ts";
import type { ModelCall } from "../http/router.ts";
import { openPool, send, type UpstreamCall } from "./upstream.ts";

const REASONS: ReadonlySet<string> = new Set(["queue_full", "queue_timeout", "model_down", "model_unreachable"]);

export interface Fallback {
  /** Whether a call that failed with `cause`, before the model's answer began, may be sent there. */
  takes(
    route: Pick<ModelCall, "mayFallBack">,
    cause: unknown,
    caller: Caller,
    company: string | undefined,
  ): cause is RelayError;
  /** Sends it there, as `Upstream.forward` does; never rejects with `model_down`. */
  forward(call: UpstreamCall, to: Sink): Promise<void>;
  close(): Promise<void>;
}

/** Opens no connection yet. Proxies of the environment are not used. */
export function createFallback(
  config: FallbackConfig,
  key: string | undefined,
  timeouts: ModelConfig["timeouts"],
): Fallback {
  const url = new URL(config.url);
  const base = basePath(url);
  const pool = openPool(url, timeouts);
  return {
    takes: ({ mayFallBack }, cause, caller, company): cause is RelayError =>
      cause instanceof RelayError &&
      REASONS.has(cause.code) &&
      mayFallBack === true &&
      agreed(caller.companies, company, config.companies),
    async forward(call, to) {
      const { traceparent, tracestate, ...headers } = call.headers; // ids of the company's own tracing stay on the premises
      if (key !== undefined) headers.authorization = `Bearer ${key}`;
      const body = await translated(call.body, call.target, config);
      await send(pool, base, { ...call, headers, body }, to);
    },
    close: () => pool.destroy(),
  };
}

/**
 * Whether a request may be sent off-premises: the company it names has agreed and belongs to the caller. Without a name, all
 * companies of the caller must have agreed. @param company normalised
 */
export function agreed(
  ofCaller: readonly string[],
  company: string | undefined,
  companies: readonly string[],
): boolean {
  const has = (list: readonly string[], name: string) =>
    list.some((one) => one === "*" || normalizeName(one) === normalizeName(name));
  if (company === undefined) return ofCaller.every((one) => has(companies, one));
  return has(ofCaller, company) && has(companies, company);
}

const MODEL: ReadonlySet<string> = new Set(["model"]);
const LIMITS: ReadonlySet<string> = new Set(["max_tokens", "max_completion_tokens"]);

/** OpenAI's servers, which take `max_completion_tokens` for every model. */
const OPENAI_HOST = /(?:^|\.)(?:api\.openai\.com|openai\.azure\.com)$/;
/** Models that refuse `max_tokens`, wherever they are served. Source: litellm#13381 */
const NEW_MODEL = /(?:^|\/)(?:gpt-5|o\d)/;

/** Whether the fallback server refuses `max_tokens` of a chat. */
const refusesMaxTokens = ({ url, model = "" }: FallbackConfig): boolean =>
  OPENAI_HOST.test(new URL(url).hostname) || NEW_MODEL.test(model);

/**
 * The body, which is one JSON object, as the fallback server takes it: with its own model, also where the key is written in
 * another case, which some servers accept, and with `max_completion_tokens` in place of `max_tokens`. Everything else stays
 * byte for byte.
 */
async function translated(body: Buffer | null, target: string, config: FallbackConfig): Promise<Buffer> {
  const object = body ?? Buffer.from("{}");
  const isChat = target.startsWith("/v1/chat/completions");
  const limited = isChat && refusesMaxTokens(config) ? await withCompletionTokens(object) : object;
  if (config.model === undefined) return limited;
  return withMember(limited, await scanObject(limited, { wanted: MODEL }), "model", JSON.stringify(config.model));
}

async function withCompletionTokens(object: Buffer): Promise<Buffer> {
  const scan = await scanObject(object, { wanted: LIMITS });
  const limit = scan.members.findLast(({ key }) => key === "max_tokens");
  if (limit === undefined) return object;
  const rest = withoutMember(object, scan, "max_tokens");
  if (scan.members.some(({ key }) => key === "max_completion_tokens")) return rest;
  const value = object.toString("utf8", limit.start, limit.end);
  return withMember(rest, await scanObject(rest, { wanted: LIMITS }), "max_completion_tokens", value);
}
