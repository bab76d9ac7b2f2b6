/** What the end of an attempt means for its job. */
import { describe, expect, it } from "vitest";
import { type ErrorCode, RelayError } from "../../../../runtime/relay/errors.ts";
import { dispositionOf } from "../../../../runtime/relay/jobs/disposition.ts";
import { usesUp } from "../../../../runtime/relay/jobs/store.ts";

const answered = (status: number) =>
  dispositionOf({
    kind: "answer",
    answer: { status, headers: {}, body: new Uint8Array(), sha256: "" },
    usage: { prompt: undefined, output: undefined },
  });
const failed = (code: ErrorCode) =>
  dispositionOf({
    kind: "failed",
    cause: new RelayError(code, "for the owner", { detail: "127.0.0.1:11434 for the log" }),
  });

describe("an answer", () => {
  it.each([200, 201, 204, 301, 304, 400, 401, 403, 404, 407, 409, 422, 428, 430, 499])(
    "of %i is the result",
    (status) => {
      expect(answered(status)).toEqual({ kind: "finish" });
    },
  );

  it.each([
    [503, "model_unreachable", 5000],
    [429, "model_unreachable", 5000],
    [408, "model_error", 2000],
    [500, "model_error", 2000],
    [502, "model_error", 2000],
    [599, "model_error", 2000],
  ])("of %i is another attempt: %s, after %i ms", (status, outcome, delayMs) => {
    expect(answered(status)).toEqual({
      kind: "fail_attempt",
      outcome,
      detail: `the model server answered ${status}`,
      delayMs,
      down: false,
    });
  });
});

describe("a failure", () => {
  it.each([
    ["model_unreachable", "model_unreachable", 0, true],
    ["model_down", "model_unreachable", 0, true],
    ["model_server_denied", "model_unreachable", 30_000, false],
    ["memory_share_full", "memory_full", 30_000, false],
    ["memory_full", "memory_full", 30_000, false],
    ["model_busy", "model_unreachable", 5000, false],
    ["document_busy", "model_unreachable", 5000, false],
    ["documents_unavailable", "model_unreachable", 5000, false],
    ["quota_exceeded", "quota_spent", 30_000, false],
    ["quota_spent", "quota_spent", 30_000, false],
    ["company_budget_spent", "quota_spent", 30_000, false],
    ["model_timeout", "timed_out", 2000, false],
    ["model_broke_off", "model_broke_off", 2000, false],
    ["internal", "model_broke_off", 2000, false],
  ] as const)("with %s: %s, after %i ms, model server down: %s", (code, outcome, delayMs, down) => {
    expect(failed(code)).toEqual({
      kind: "fail_attempt",
      outcome,
      detail: "for the owner",
      reason: "127.0.0.1:11434 for the log",
      delayMs,
      down,
    });
  });

  it("that is no error of the relay's tells its owner nothing of the inside", () => {
    const cause = new Error("connect ECONNREFUSED 127.0.0.1:11434");
    expect(dispositionOf({ kind: "failed", cause })).toMatchObject({
      outcome: "model_broke_off",
      detail: "the relay failed on this job",
      reason: "Error: connect ECONNREFUSED 127.0.0.1:11434",
    });
    expect(dispositionOf({ kind: "failed", cause: new RelayError("model_timeout", "words") })).toMatchObject({
      detail: "words",
      reason: "words",
    });
  });
});

describe("a stop", () => {
  it.each([
    ["stopping", "relay_stopped", "the relay was stopped", 0],
    ["timed_out", "timed_out", "it took too long", 2000],
    ["caller_disabled", "caller_disabled", "its caller was disabled", 0],
  ] as const)("by %s: %s, %j, after %i ms", (reason, outcome, detail, delayMs) => {
    expect(dispositionOf({ kind: "stopped", reason })).toEqual({
      kind: "fail_attempt",
      outcome,
      detail,
      delayMs,
      down: false,
    });
  });

  it.each(["cancelled", "lease_lost"] as const)("by %s has been settled already", (reason) => {
    expect(dispositionOf({ kind: "stopped", reason })).toEqual({ kind: "nothing" });
  });
});

it("what is not the job's fault uses up no attempt", () => {
  for (const outcome of [
    "model_unreachable",
    "relay_stopped",
    "machine_restarted",
    "lease_lost",
    "caller_disabled",
    "quota_spent",
  ] as const) {
    expect(usesUp(outcome)).toBe(false);
  }
  for (const outcome of [
    "answered",
    "cancelled",
    "model_error",
    "model_broke_off",
    "timed_out",
    "relay_crashed",
    "memory_full",
    "no_room",
  ] as const) {
    expect(usesUp(outcome)).toBe(true);
  }
});
