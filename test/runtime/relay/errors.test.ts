import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ERRORS, errorAnswer, RelayError } from "../../../runtime/relay/errors.ts";

test("the registry and docs/errors.md hold the same codes, statuses, types and retries", async () => {
  const text = await readFile(join(import.meta.dirname, "../../../docs/errors.md"), "utf8");
  const rows = [...text.matchAll(/^\| `(\w+)` \| (\d+) \| (\w+) \| (yes|no) \| .+ \| .+ \|$/gm)].map(
    ([, code, status, type, retry]) => [code, { status: Number(status), type, retry: retry === "yes" }],
  );
  expect(new Set(rows.map(([code]) => code)).size).toBe(rows.length);
  expect(Object.fromEntries(rows)).toEqual(ERRORS);
});

test("an error goes out as an OpenAI error object with its own headers", () => {
  const answer = errorAnswer(
    new RelayError("method_not_allowed", "no", { headers: { Allow: "GET" }, detail: "secret" }),
  );
  expect(answer.status).toBe(405);
  expect(answer.headers).toMatchObject({ Allow: "GET", "x-should-retry": "false" });
  expect(JSON.parse(answer.body)).toEqual({
    error: { message: "no", type: "invalid_request_error", code: "method_not_allowed", param: null },
  });
});
