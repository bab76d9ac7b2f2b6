/** Fault injection: what an emulated API returns instead of its response, to test callers under failure. */
import { z } from "zod";
import type { JsonAnswer } from "./json-server.ts";

const regularExpression = z.string().transform((text, context) => {
  try {
    return new RegExp(text);
  } catch (error) {
    context.addIssue(`expected a regular expression: ${error instanceof Error ? error.message : String(error)}`);
    return z.NEVER;
  }
});

/** A requested fault. */
export const faultSchema = z.strictObject({
  /** Any method when absent. */
  method: z.enum(["GET", "POST", "PUT", "PATCH", "DELETE"]).optional(),
  /** Searched in the path, without the API's prefix and the query. */
  path: regularExpression,
  /**
   * A status; or `timeout`: the call is not carried out and never answered; `lost`: it is carried out, and the connection
   * breaks before the answer; `stalled`: it is carried out and never answered.
   */
  status: z.union([z.int().min(400).max(599), z.enum(["timeout", "lost", "stalled"])]),
  /** Number of calls it applies to. */
  times: z.int().min(1).max(10_000).default(1),
  /** For 429: `Retry-After`, in seconds. */
  retryAfterSeconds: z.int().min(0).max(3_600).default(1),
});

/** A pending fault. */
export type Fault = z.infer<typeof faultSchema>;

/** The pending faults of one API, applied in order of request. */
export class Faults {
  readonly #left: Fault[] = [];

  /** The faults not applied yet. */
  get left(): readonly Fault[] {
    return this.#left;
  }

  add(fault: z.input<typeof faultSchema>): void {
    this.#left.push(faultSchema.parse(fault));
  }

  clear(): void {
    this.#left.length = 0;
  }

  /** The fault for this call, counted down; undefined: answer normally. */
  take(method: string, path: string): Fault | undefined {
    const index = this.#left.findIndex((fault) => (fault.method ?? method) === method && fault.path.test(path));
    const fault = this.#left[index];
    if (fault === undefined) return undefined;
    fault.times -= 1;
    if (fault.times === 0) this.#left.splice(index, 1);
    return fault;
  }
}

/**
 * Answers a call, or applies the fault instead.
 * @param refuse builds the API's error body
 * @param carryOut carries out the call and returns its response
 */
export async function withFault(
  fault: Fault | undefined,
  refuse: (status: number, message: string) => unknown,
  carryOut: () => JsonAnswer | Promise<JsonAnswer>,
): Promise<JsonAnswer> {
  if (fault === undefined) return carryOut();
  if (fault.status === "timeout") return "hang";
  if (fault.status === "lost" || fault.status === "stalled") {
    await carryOut();
    return fault.status === "lost" ? "cut" : "hang";
  }
  const limited = fault.status === 429;
  return {
    status: fault.status,
    headers: limited ? { "retry-after": String(fault.retryAfterSeconds) } : {},
    body: refuse(fault.status, limited ? "too many requests: please wait" : "a fault on demand"),
  };
}
