/** The headers that make a request a job, or repeat it: Prefer and Idempotency-Key. */
import { describe, expect, it } from "vitest";
import { idempotencyKey, keyInProgress, keyMismatch } from "../../../../runtime/relay/jobs/idempotency.ts";
import { parsePrefer } from "../../../../runtime/relay/jobs/prefer.ts";

describe("Prefer", () => {
  it.each([
    [undefined, false, undefined],
    ["", false, undefined],
    ["respond-async", true, undefined],
    ["Respond-Async", true, undefined],
    ["respond-async, wait=20", true, 20],
    ["wait=20,respond-async", true, 20],
    ["wait = 20", false, 20],
    ['wait="20"', false, 20],
    ["wait=20; x=y", false, 20],
    ["wait=20 ; x=y", false, 20],
    [" \t respond-async \t ", true, undefined],
    ["wait=5, wait=9", false, 5],
    ["WAIT=5", false, 5],
    ["wait=0", false, 0],
    ["wait=999999", false, 999_999],
    ["wait=1000000", false, undefined],
    ["wait=-1", false, undefined],
    ["wait=1.5", false, undefined],
    ["wait=", false, undefined],
    ["wait", false, undefined],
    ["wait=x, wait=5", false, undefined],
    ["return=minimal", false, undefined],
    ["xrespond-async", false, undefined],
    ["respond-asyncx", false, undefined],
    ["(respond-async", false, undefined],
    ["respond-async=1", true, undefined],
    ["=,;, ,respond-async", true, undefined],
    [["respond-async", "wait=3"], true, 3],
  ])("%j: respond-async %s, wait %s", (header, respondAsync, wait) => {
    expect(parsePrefer(header)).toEqual({ respondAsync, wait });
  });
});

describe("Idempotency-Key", () => {
  const read = (value: string | string[] | undefined) => idempotencyKey({ "idempotency-key": value } as never);

  it.each([
    [undefined, undefined],
    ["k", "k"],
    ['"k"', "k"],
    ['"a"b"', 'a"b'],
    ['"k', '"k'],
    ['k"', 'k"'],
    ['a"b"', 'a"b"'],
    ['"a"b', '"a"b'],
    ["!~", "!~"],
    ["k".repeat(255), "k".repeat(255)],
  ])("%j is the key %j", (value, key) => {
    expect(read(value)).toBe(key);
  });

  it.each([[""], ['""'], ["a b"], ["가"], ["a\u007f"], ["k".repeat(256)], [["a", "b"]]])("%j is refused", (value) => {
    expect(() => read(value)).toThrow(
      expect.objectContaining({
        code: "idempotency_key_invalid",
        message: expect.stringMatching(/^Idempotency-Key ".*" cannot be used: send 1 to 255 printable ASCII/) as string,
      }),
    );
  });

  it("is shown in the refusal, shortened", () => {
    expect(() => read(`${"k".repeat(300)}`)).toThrow(`"${"k".repeat(80)}"`);
  });

  it("that is in use says so, with when to try again", () => {
    expect(keyInProgress()).toMatchObject({
      code: "idempotency_in_progress",
      status: 409,
      headers: { "Retry-After": "2" },
    });
    expect(keyInProgress({ Location: "/v1/jobs/x" }).headers).toEqual({ "Retry-After": "2", Location: "/v1/jobs/x" });
    expect(keyMismatch()).toMatchObject({ code: "idempotency_mismatch", status: 422 });
    for (const { message } of [keyInProgress(), keyMismatch()]) expect(message).toContain("Idempotency-Key");
  });
});
