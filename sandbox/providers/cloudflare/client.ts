/** Cloudflare's API v4 through its official client, with its refusals in words. */
import Cloudflare, { APIError, APIUserAbortError } from "cloudflare";
import { z } from "zod";
import { networkError } from "../plugin/go-errors.ts";
import type { Json, JsonObject } from "../plugin/wire.ts";
import { isJsonObject } from "../plugin/wire.ts";
import type { CloudflareCredentials } from "./credentials.ts";

const envelope = z.object({ result: z.json().optional() });

/** The resources' interface to the API. */
export interface CloudflareApi {
  /**
   * One call. Connection failures, 408, 409, 429 and 5xx are tried again twice by the official client. `signal` ends a
   * GET only: a change that is under way is brought to its end when the engine cancels, as the official provider does
   * (pulumi-terraform-bridge, pkg/pf, SignalCancellation does nothing). Given up, it might be carried out all the same, and
   * nobody would know of what it made.
   * @returns the envelope's `result`; undefined when a GET or DELETE answers 404
   * @throws with method, path, status and Cloudflare's codes and messages
   */
  call(method: Method, path: string, signal: AbortSignal, body?: JsonObject): Promise<Json | undefined>;
}
type Method = "get" | "post" | "put" | "patch" | "delete";

/** Creates a client that sends all given credentials, as the official provider does. */
export function cloudflareApi({ baseUrl, ...credentials }: CloudflareCredentials): CloudflareApi {
  const client = new Cloudflare({
    // null: otherwise the client reads the environment itself.
    apiToken: credentials.apiToken ?? null,
    apiKey: credentials.apiKey ?? null,
    apiEmail: credentials.apiEmail ?? null,
    userServiceKey: credentials.userServiceKey ?? null,
    ...(baseUrl && { baseURL: baseUrl.replace(/\/+$/, "") }),
  });
  return {
    async call(method, path, signal, body) {
      try {
        const answer = await client[method]<unknown>(path, {
          ...(method === "get" && { signal }),
          ...(body && { body }),
        });
        if (answer === null || answer === undefined) return null; // 204
        return envelope.parse(answer).result ?? null;
      } catch (error) {
        if (error instanceof APIUserAbortError)
          throw new Error(`${method.toUpperCase()} ${path} was given up`, { cause: error });
        if (!(error instanceof APIError)) throw error;
        if (error.status === 404 && (method === "get" || method === "delete")) return undefined;
        if (error.status === undefined)
          throw new Error(networkError(method, new URL(client.baseURL + path), error), { cause: error });
        throw new Error(`${method.toUpperCase()} ${path}: ${explain(error)}`, { cause: error });
      }
    },
  };
}

function explain(error: APIError): string {
  const faults = error.errors.map((fault) =>
    fault.code === undefined ? `${fault.message}` : `${fault.message} (${fault.code})`,
  );
  return `${error.status} ${faults.length > 0 ? faults.join("; ") : error.message}`;
}

/** The result as an object. @throws when it is not one */
export function asObject(result: Json | undefined, what: string): JsonObject {
  if (!isJsonObject(result))
    throw new Error(`${what}: the API answered ${JSON.stringify(result)} instead of an object`);
  return result;
}
