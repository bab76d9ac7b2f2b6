/** Claims of idempotency keys, with a store that fails in between. */
import { expect, it } from "vitest";
import type { HeldExchange } from "../../../../runtime/relay/http/exchange.ts";
import type { Jobs } from "../../../../runtime/relay/jobs/jobs.ts";
import type { NewJob } from "../../../../runtime/relay/jobs/store.ts";
import { createSubmission } from "../../../../runtime/relay/jobs/submission.ts";

it("a key that could not be released when its call ended (a full disk) is released before a key is claimed again", async () => {
  const asked: string[] = [];
  let isFull = true;
  const store = {
    claimKey: async ({ id }: NewJob) => {
      asked.push(`claim ${id}`);
      return { kind: "claimed" };
    },
    releaseKey: async (id: string) => {
      asked.push(`release ${id}`);
      if (isFull) throw new Error("database or disk is full");
    },
  };
  const submission = createSubmission({ store, directCalls: new Set() } as unknown as Jobs);
  const exchange = { holding: { retain: () => ({ release() {} }) } } as unknown as HeldExchange;
  const claim = async (id: string) => {
    const held = await submission.claim(exchange, { id, idempotencyKey: "key" } as NewJob);
    if (held === "answered") throw new Error("not claimed");
    return held;
  };
  await (await claim("first")).done(undefined);
  const second = await claim("second"); // the disk is still full
  isFull = false;
  await second.done({ status: 500, headers: {}, body: Buffer.from("") } as never);
  await claim("third");
  await claim("fourth");
  expect(asked).toEqual([
    "claim first",
    "release first",
    "release first",
    "claim second",
    "release second",
    "release first",
    "claim third",
    "claim fourth",
  ]);
});
