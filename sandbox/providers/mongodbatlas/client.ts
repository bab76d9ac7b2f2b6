/** Client of the Atlas Admin API v2, and polling of its background work. */
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { networkError } from "../plugin/go-errors.ts";
import { isJsonObject, type Json, type JsonObject } from "../plugin/wire.ts";
import type { AtlasCredentials } from "./credentials.ts";
import { signedFetch } from "./sign-in.ts";

/** The API's dated versions that the official provider requests, one per resource. */
export type AtlasVersion = "2023-01-01" | "2024-08-05" | "2024-11-13";

export interface AtlasApi {
  /**
   * One call under `/api/atlas/v2`. Not tried again.
   * @returns the JSON answer (null when empty); undefined when a GET or DELETE answers 404
   * @throws AtlasRefusal with method, path, status, the error code and detail of Atlas; Error when there is no answer
   */
  call(
    method: string,
    path: string,
    version: AtlasVersion,
    signal: AbortSignal,
    body?: Json,
  ): Promise<Json | undefined>;
}

/** An error response of Atlas. */
export class AtlasRefusal extends Error {
  /** Atlas' error code, e.g. `CLUSTER_NOT_FOUND`. */
  readonly errorCode: string | undefined;

  constructor(message: string, errorCode: string | undefined) {
    super(message);
    this.errorCode = errorCode;
  }
}

const fault = z.object({
  errorCode: z.string().optional(),
  detail: z.string().optional(),
  reason: z.string().optional(),
});

/** @throws when a service account gets no token */
export async function atlasApi({ baseUrl, signIn }: Pick<AtlasCredentials, "baseUrl" | "signIn">): Promise<AtlasApi> {
  const base = baseUrl.replace(/\/+$/, "");
  const send = await signedFetch(signIn, base);
  return {
    async call(method, path, version, signal, body) {
      const url = new URL(`${base}/api/atlas/v2${path}`);
      const type = `application/vnd.atlas.${version}+json`;
      const headers = { accept: type, ...(body !== undefined && { "content-type": type }) };
      const init = { method, headers, signal, ...(body !== undefined && { body: JSON.stringify(body) }) };
      let response: Response;
      try {
        response = await send(url, init);
      } catch (error) {
        throw new Error(networkError(method, url, error), { cause: error });
      }
      const text = await response.text();
      if (response.status === 404 && (method === "GET" || method === "DELETE")) return undefined;
      if (!response.ok) {
        const { words, errorCode } = explain(text);
        throw new AtlasRefusal(`${method} ${path}: ${response.status} ${words}`, errorCode);
      }
      return text === "" ? null : z.json().parse(JSON.parse(text));
    },
  };
}

function explain(text: string): { words: string; errorCode: string | undefined } {
  try {
    const { errorCode, detail, reason } = fault.parse(JSON.parse(text));
    return { words: [errorCode, detail ?? reason].filter(Boolean).join(": ") || text, errorCode };
  } catch {
    return { words: text, errorCode: undefined };
  }
}

/** @throws when the response is not an object */
export function asObject(answer: Json | undefined, what: string): JsonObject {
  if (!isJsonObject(answer))
    throw new Error(`${what}: the API answered ${JSON.stringify(answer)} instead of an object`);
  return answer;
}

const units: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** A Go duration such as `1h30m` in milliseconds. @throws when it is not one */
export function durationMs(text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)];
  if (parts.length === 0 || parts.map(([part]) => part).join("") !== text) {
    throw new Error(`${JSON.stringify(text)} is not a duration: write it like 30m or 1h30m`);
  }
  return parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * (units[unit ?? ""] ?? 0), 0);
}

/**
 * Asks again, at first after a quarter of a second and then ever more slowly up to 5 s, until `probe` gives something.
 * @throws after `timeoutMs`, saying what was waited for, and at once when `signal` fires
 */
export async function waitFor<T>(
  what: string,
  timeoutMs: number,
  signal: AbortSignal,
  probe: () => Promise<T | undefined>,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (let pause = 250; ; pause = Math.min(pause * 1.5, 5000)) {
    const found = await probe();
    if (found !== undefined) return found;
    if (Date.now() + pause > deadline)
      throw new Error(`${what} did not come about in ${Math.round(timeoutMs / 1000)} s`);
    await sleep(pause, undefined, { signal });
  }
}
