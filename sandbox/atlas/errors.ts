/** Errors of the emulated Atlas Admin API: `{error, errorCode, detail, reason, parameters}`. */
import { STATUS_CODES } from "node:http";
import type { z } from "zod";

/** Thrown by a handler; becomes the answer. @see https://www.mongodb.com/docs/atlas/reference/api-errors/ */
export class AtlasError extends Error {
  readonly status: number;
  readonly errorCode: string;
  readonly parameters: string[];

  constructor(status: number, errorCode: string, detail: string, parameters: string[] = []) {
    super(detail);
    this.status = status;
    this.errorCode = errorCode;
    this.parameters = parameters;
  }
}

/** The body of an error's answer. */
export function errorBody(status: number, errorCode: string, detail: string, parameters: string[] = []) {
  return { error: status, errorCode, detail, reason: STATUS_CODES[status] ?? "", parameters };
}

/**
 * Checks a body.
 * @throws AtlasError 400: MISSING_ATTRIBUTE, or INVALID_ATTRIBUTE with every fault
 */
export function checkBody<T>(schema: z.ZodType<T>, body: unknown): T {
  const checked = schema.safeParse(body, { reportInput: true });
  if (checked.success) return checked.data;
  const { issues } = checked.error;
  const nameOf = (issue: z.core.$ZodIssue) =>
    [...issue.path.map(String), ...(issue.code === "unrecognized_keys" ? issue.keys : [])].join(".") || "body";
  const missing = issues.filter((issue) => issue.code === "invalid_type" && issue.input === undefined).map(nameOf);
  if (missing.length > 0) {
    const detail = `The required attribute ${missing.join(", ")} was not specified.`;
    throw new AtlasError(400, "MISSING_ATTRIBUTE", detail, missing);
  }
  const faults = issues.map((issue) => `${nameOf(issue)}: ${issue.message}`);
  throw new AtlasError(
    400,
    "INVALID_ATTRIBUTE",
    `Invalid attribute specified. ${faults.join("; ")}.`,
    issues.map(nameOf),
  );
}
