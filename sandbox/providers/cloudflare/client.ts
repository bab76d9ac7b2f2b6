/** Cloudflare's API v4 as the official provider calls it (cloudflare-go in terraform-provider-cloudflare v5.19). */
import { STATUS_CODES } from "node:http";
import { Agent, fetch, type Response } from "undici";
import { z } from "zod";
import { pause } from "../plugin/clock.ts";
import { networkError } from "../plugin/go-errors.ts";
import type { Json, JsonObject } from "../plugin/wire.ts";
import { isJsonObject } from "../plugin/wire.ts";
import type { CloudflareCredentials } from "./credentials.ts";

const envelope = z.object({ result: z.json().optional() });

/** The resources' interface to the API. */
export interface CloudflareApi {
  /**
   * One call. Connection failures, 408, 409, 429 and 5xx are retried ten times, with pauses of 2, 4, 8, 16 and then 30 s, or
   * those of Retry-After. There is no time limit. `signal` ends a GET only: a change in progress is completed when the engine
   * cancels, as in the official provider (pulumi-terraform-bridge, pkg/pf, SignalCancellation does nothing). An abandoned
   * change might be carried out nevertheless, and its object would be in no state.
   * @returns the envelope's `result`; undefined when a GET answers 404
   * @throws with the official provider's text
   */
  call(method: Method, path: string, signal: AbortSignal, body?: JsonObject): Promise<Json | undefined>;
}
type Method = "get" | "post" | "put" | "patch" | "delete";

const retries = 10;
const firstPauseMs = 2_000;
const longestPauseMs = 30_000;
/** Retry-After counts only below a minute, as in cloudflare-go. */
const longestRetryAfterMs = 60_000;

const defaultBaseUrl = "https://api.cloudflare.com/client/v4";

/** No time limits of its own: a hung connection never ends. */
const patient = new Agent({ headersTimeout: 0, bodyTimeout: 0 });

/** Creates a client that sends all given credentials, as the official provider does. */
export function cloudflareApi({ baseUrl, ...credentials }: CloudflareCredentials): CloudflareApi {
  const base = (baseUrl ?? defaultBaseUrl).replace(/\/+$/, "");
  const headers = headersOf(credentials);
  return {
    async call(method, path, signal, body) {
      const url = new URL(base + path);
      const ends = method === "get" ? signal : undefined;
      for (let failed = 0; ; failed++) {
        const answer = await attempt(url, method, headers, body, ends);
        if (answer.kind === "done") return answer.result;
        ends?.throwIfAborted();
        if (!answer.retry || failed === retries) throw new Error(`failed to make http request: ${answer.text}`);
        await pause(answer.afterMs ?? Math.min(firstPauseMs * 2 ** failed, longestPauseMs), ends);
      }
    },
  };
}

type Attempt =
  | { kind: "done"; result: Json | undefined }
  | { kind: "failed"; text: string; retry: boolean; afterMs?: number | undefined };

async function attempt(
  url: URL,
  method: Method,
  headers: Record<string, string>,
  body: JsonObject | undefined,
  signal: AbortSignal | undefined,
): Promise<Attempt> {
  const verb = method.toUpperCase();
  let response: Response;
  let text: string;
  try {
    response = await fetch(url, {
      method: verb,
      headers: body ? { ...headers, "content-type": "application/json" } : headers,
      dispatcher: patient,
      ...(body && { body: JSON.stringify(body) }),
      ...(signal && { signal }),
    });
    text = await response.text();
  } catch (error) {
    return { kind: "failed", text: networkError(method, url, error), retry: true };
  }
  if (response.ok) {
    return { kind: "done", result: text === "" ? null : (envelope.parse(JSON.parse(text)).result ?? null) };
  }
  if (response.status === 404 && method === "get") return { kind: "done", result: undefined };
  return {
    kind: "failed",
    text: `${verb} "${url.href}": ${response.status} ${STATUS_CODES[response.status] ?? ""} ${text}`.trim(),
    retry: shouldRetry(response),
    afterMs: retryAfterMs(response),
  };
}

function shouldRetry(response: Response): boolean {
  const asked = response.headers.get("x-should-retry");
  if (asked === "true" || asked === "false") return asked === "true";
  return [408, 409, 429].includes(response.status) || response.status >= 500;
}

function retryAfterMs(response: Response): number | undefined {
  const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
  const ms = seconds * 1000;
  return ms >= 0 && ms < longestRetryAfterMs ? ms : undefined;
}

function headersOf(credentials: Omit<CloudflareCredentials, "baseUrl">): Record<string, string> {
  const { apiToken, apiKey, apiEmail, userServiceKey } = credentials;
  return {
    accept: "application/json",
    ...(apiToken !== undefined && { authorization: `Bearer ${apiToken}` }),
    ...(apiKey !== undefined && { "x-auth-key": apiKey }),
    ...(apiEmail !== undefined && { "x-auth-email": apiEmail }),
    ...(userServiceKey !== undefined && { "x-auth-user-service-key": userServiceKey }),
  };
}

/** The result as an object. @throws when it is not one */
export function asObject(result: Json | undefined, what: string): JsonObject {
  if (!isJsonObject(result))
    throw new Error(`${what}: the API answered ${JSON.stringify(result)} instead of an object`);
  return result;
}
