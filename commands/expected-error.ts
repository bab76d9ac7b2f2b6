/** Errors that a user can do something about: shown as they are, without a stack trace. */

import { SessionError } from "../ssh/session.ts";
import { StackError } from "./mac-settings.ts";
import { Refusal } from "./rotate/plan.ts";

/** @returns whether the message is meant for the user */
export function isExpected(error: unknown): error is Error {
  const isUsage = error instanceof TypeError && "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS");
  return isUsage || [SessionError, StackError, Refusal].some((kind) => error instanceof kind);
}
