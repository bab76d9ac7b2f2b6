/** Errors of the emulated API, in Cloudflare's envelope (https://developers.cloudflare.com/fundamentals/api/reference/). */
import type { z } from "zod";

/** One entry of the envelope's `errors`. */
export interface ApiErrorEntry {
  code: number;
  message: string;
  source?: { pointer: string };
}

/** Thrown by a handler; becomes `{success: false, errors, messages: [], result: null}` with its status. */
export class ApiError extends Error {
  readonly status: number;
  readonly errors: ApiErrorEntry[];

  constructor(status: number, errors: ApiErrorEntry[]) {
    super(errors.map((entry) => entry.message).join("; "));
    this.status = status;
    this.errors = errors;
  }
}

/** The error code and message prefix of one part of the API for an invalid body. */
export interface InvalidBodyStyle {
  code: number;
  prefix: string;
}

/** Error code and prefix of each part of the API for an invalid body. */
export const invalidBodyStyles = {
  access: { code: 12130, prefix: "access.api.error.invalid_request: " },
  dns: { code: 9000, prefix: "DNS Validation Error: " },
  tunnel: { code: 1001, prefix: "Invalid request: " },
  zone: { code: 1400, prefix: "Invalid request: " },
  alerting: { code: 17103, prefix: "Invalid request: " },
} satisfies Record<string, InvalidBodyStyle>;

/** 400 with one error. */
export function refuse(style: InvalidBodyStyle, field: string, message: string): ApiError {
  return new ApiError(400, [
    { code: style.code, message: `${style.prefix}${field}: ${message}`, source: { pointer: `/${field}` } },
  ]);
}

/** 404 with one error. */
export function notFound(code: number, message: string): ApiError {
  return new ApiError(404, [{ code, message }]);
}

/** 409 (or `status`) with one error. */
export function conflict(code: number, message: string, status = 409): ApiError {
  return new ApiError(status, [{ code, message }]);
}

function fieldOf(issue: z.core.$ZodIssue): string {
  const path = issue.path.map(String);
  return [...path, ...(issue.code === "unrecognized_keys" ? issue.keys : [])].join(".") || "body";
}

/**
 * Checks a body.
 * @throws ApiError 400 with one error for every fault, each naming its field
 */
export function checkBody<T>(schema: z.ZodType<T>, body: unknown, style: InvalidBodyStyle): T {
  const checked = schema.safeParse(body);
  if (checked.success) return checked.data;
  throw new ApiError(
    400,
    checked.error.issues.map((issue) => {
      const field = fieldOf(issue);
      return {
        code: style.code,
        message: `${style.prefix}${field}: ${issue.message}`,
        source: { pointer: `/${field.replaceAll(".", "/")}` },
      };
    }),
  );
}
