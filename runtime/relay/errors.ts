/**
 * Registry of the errors that the relay answers with. Codes are stable: callers may branch on them. `docs/errors.md`
 * describes each, and a test holds the two equal.
 */

/** nginx's status for a client that disconnected before it was answered. For the log and the ledger; nobody receives it. */
export const CLIENT_CLOSED_REQUEST = 499;

interface ErrorKind {
  /** HTTP status. */
  readonly status: number;
  /** `type` of the OpenAI error object. */
  readonly type: "invalid_request_error" | "permission_error" | "rate_limit_error" | "server_error";
  /** Whether the same request may succeed later; sent as `x-should-retry`, which the OpenAI SDKs follow. */
  readonly retry: boolean;
}

const denied = { status: 403, type: "permission_error", retry: false } as const;
const invalid = (status: number) => ({ status, type: "invalid_request_error", retry: false }) as const;
const busy = { status: 429, type: "rate_limit_error", retry: true } as const;
const failed = (status: number) => ({ status, type: "server_error", retry: true }) as const;

/** Code → status, type and whether to try again. */
export const ERRORS = {
  access_missing: denied,
  access_invalid: denied,
  access_wrong_audience: denied,
  access_expired: denied,
  caller_unknown: denied,
  caller_disabled: denied,
  access_keys_unavailable: failed(503),
  path_not_allowed: denied,
  operator_required: denied,
  origin_not_allowed: denied,
  audit_unavailable: failed(503),
  status_query_invalid: invalid(400),
  not_found: invalid(404),
  not_on_model_server: invalid(404),
  model_server_denied: { status: 502, type: "server_error", retry: false },
  host_not_allowed: denied,
  method_not_allowed: invalid(405),
  body_too_large: invalid(413),
  encoding_not_supported: invalid(415),
  encoding_invalid: invalid(400),
  body_not_json: invalid(400),
  body_too_deep: invalid(400),
  body_ambiguous: invalid(400),
  model_not_allowed: denied,
  cloud_model_not_allowed: denied,
  keep_alive_not_allowed: denied,
  keep_alive_invalid: invalid(400),
  load_option_not_allowed: denied,
  company_invalid: invalid(400),
  company_not_allowed: denied,
  company_budget_spent: invalid(429),
  quota_exceeded: busy,
  quota_spent: invalid(429),
  usage_query_invalid: invalid(400),
  usage_unavailable: failed(503),
  document_name_invalid: invalid(400),
  document_invalid: invalid(400),
  document_not_found: invalid(404),
  document_too_large: invalid(413),
  document_busy: { status: 409, type: "invalid_request_error", retry: true },
  documents_unavailable: failed(503),
  documents_full: { status: 507, type: "server_error", retry: false },
  embedding_refused: invalid(422),
  rerank_not_available: invalid(422),
  model_unreachable: failed(502),
  model_broke_off: failed(502),
  model_timeout: failed(504),
  model_down: failed(503),
  model_busy: failed(503),
  queue_full: busy,
  queue_timeout: busy,
  memory_share_full: busy,
  memory_full: failed(503),
  too_many_requests: busy,
  too_many_streams: busy,
  header_not_supported: invalid(400),
  idempotency_key_invalid: invalid(400),
  idempotency_mismatch: invalid(422),
  idempotency_in_progress: { status: 409, type: "invalid_request_error", retry: true },
  background_not_streamed: invalid(400),
  metadata_invalid: invalid(400),
  job_listing_invalid: invalid(400),
  response_not_found: invalid(404),
  job_not_found: invalid(404),
  job_not_finished: { status: 409, type: "invalid_request_error", retry: true },
  job_cancelled: invalid(410),
  job_failed: { status: 502, type: "server_error", retry: false },
  jobs_unavailable: failed(503),
  jobs_full: { status: 507, type: "server_error", retry: false },
  jobs_share_full: { status: 507, type: "server_error", retry: false },
  disk_low: { status: 507, type: "server_error", retry: false },
  shutting_down: failed(503),
  http_malformed: invalid(400),
  headers_too_large: invalid(431),
  request_timeout: { status: 408, type: "invalid_request_error", retry: true },
  internal: failed(500),
} as const satisfies Record<string, ErrorKind>;

/** A code of the registry. */
export type ErrorCode = keyof typeof ERRORS;

/** Refusals by a quota: a job with one waits. */
export const QUOTA_CODES: ReadonlySet<ErrorCode> = new Set(["quota_exceeded", "quota_spent", "company_budget_spent"]);

/** An error whose message may be shown to the caller. `cause` and `detail` go to the log only. */
export class RelayError extends Error {
  readonly code: ErrorCode;
  readonly headers: Readonly<Record<string, string>>;
  readonly detail: string | undefined;

  /** @param message for the caller: what was wrong and what to do; no internal address, no secret. */
  constructor(
    code: ErrorCode,
    message: string,
    more: { headers?: Record<string, string>; detail?: string; cause?: unknown } = {},
  ) {
    super(message, { cause: more.cause });
    this.name = "RelayError";
    this.code = code;
    this.headers = more.headers ?? {};
    this.detail = more.detail;
  }

  get status(): number {
    return ERRORS[this.code].status;
  }
}

/** An error as a caller gets it: OpenAI's error object. */
export interface ErrorObject {
  readonly message: string;
  readonly type: ErrorKind["type"];
  /** Of the registry; the model server's own code, or `status_<n>`, for an error of its own. */
  readonly code: string;
  readonly param: null;
}

/** Status of a code of the registry; undefined for one of a model server. */
export const statusOfCode = (code: string): number | undefined =>
  Object.hasOwn(ERRORS, code) ? ERRORS[code as ErrorCode].status : undefined;

export function errorObject({ code, message }: RelayError): ErrorObject {
  return { message, type: ERRORS[code].type, code, param: null };
}

/** The error object in OpenAI's envelope, as JSON. */
export const errorBody = (error: ErrorObject): string => JSON.stringify({ error });

/**
 * What goes over the wire for an error: status, headers and body.
 * @param write the envelope of the path's dialect; OpenAI's on paths of none
 */
export function errorAnswer(
  error: RelayError,
  write: (error: ErrorObject) => string = errorBody,
): { status: number; headers: Record<string, string>; body: string } {
  const { status, retry } = ERRORS[error.code];
  const body = write(errorObject(error));
  return {
    status,
    headers: {
      "Content-Type": "application/json; charset=utf-8",
      "Content-Length": String(Buffer.byteLength(body)),
      "x-should-retry": String(retry),
      ...error.headers,
    },
    body,
  };
}
