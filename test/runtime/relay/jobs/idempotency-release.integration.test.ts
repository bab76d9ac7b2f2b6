import { expect, test } from "vitest";
import { KEEP_ALIVE_TIMES } from "../../../../runtime/relay/http/keep-alive-writer.ts";
import { post, startModel, startTestRelay } from "../harness.ts";

test("a call that fails before its answer is prepared releases its idempotency key", async () => {
  const model = await startModel();
  let fails = false;
  // Read when the answer is prepared: a failure of this relay's own, after the key was claimed.
  const keepAlive = {
    ...KEEP_ALIVE_TIMES,
    get jsonMs() {
      if (fails) throw new Error("no timer");
      return KEEP_ALIVE_TIMES.jsonMs;
    },
  };
  const relay = await startTestRelay(model.url, {}, { keepAlive });
  const call = () =>
    post(
      relay,
      "/v1/chat/completions",
      { model: "m", messages: [{ role: "user", content: "a" }] },
      { headers: { "Idempotency-Key": "the-key" } },
    );
  fails = true;
  expect((await call()).status).toBe(500);
  fails = false;
  const again = await call();
  expect([again.status, model.seen.length]).toEqual([200, 1]);
});
