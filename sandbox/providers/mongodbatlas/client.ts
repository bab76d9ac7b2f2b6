/** The Atlas Admin API v2 as the official provider calls it (atlas-sdk-go in terraform-provider-mongodbatlas v2.16). */
import { STATUS_CODES } from "node:http";
import { z } from "zod";
import { networkError } from "../plugin/go-errors.ts";
import { isJsonObject, type Json, type JsonObject } from "../plugin/wire.ts";
import type { AtlasCredentials } from "./credentials.ts";
import { signedFetch } from "./sign-in.ts";

/** The API's dated versions that the official provider requests, one per resource. */
export type AtlasVersion = "2023-01-01" | "2024-08-05" | "2024-11-13";

export interface AtlasApi {
  /**
   * One call under `/api/atlas/v2`. Not retried.
   * @returns the JSON response (null when empty); undefined when a GET answers 404
   * @throws AtlasRefusal with the official provider's text; Error without a response
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
  readonly errorCode: string;
  readonly status: number;

  constructor(message: string, status: number, errorCode: string) {
    super(message);
    this.status = status;
    this.errorCode = errorCode;
  }
}

const fault = z.object({
  errorCode: z.string().optional(),
  detail: z.string().optional(),
  reason: z.string().optional(),
  parameters: z.array(z.unknown()).optional(),
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
      if (response.status === 404 && method === "GET") return undefined;
      if (!response.ok) {
        throw refusalOf(method, url, response.status, text);
      }
      return text === "" ? null : z.json().parse(JSON.parse(text));
    },
  };
}

/** The text of atlas-sdk-go (FormatErrorMessageWithDetails). */
function refusalOf(method: string, url: URL, status: number, text: string): AtlasRefusal {
  const { errorCode = "", detail = "", reason = "", parameters = [] } = parsed(text);
  const line = `HTTP ${status} ${STATUS_CODES[status] ?? ""} (Error code: "${errorCode}") Detail: ${detail || text}`;
  const message = `${url.href} ${method}: ${line} Reason: ${reason}. Params: [${parameters.join(" ")}], BadRequestDetail: `;
  return new AtlasRefusal(message, status, errorCode);
}

function parsed(text: string): z.infer<typeof fault> {
  try {
    return fault.parse(JSON.parse(text));
  } catch {
    return {};
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
