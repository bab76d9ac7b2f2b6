import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { requestHash } from "../../../../runtime/relay/jobs/idempotency.ts";

/**
 * The hash is in jobs.db: with another one, a client that repeats a request after an upgrade would get 422
 * `idempotency_mismatch` for the same request.
 */
describe("the hash of an idempotency key's request", () => {
  it.each([
    ["stream=1", '{"model":"m","messages":[]}', "36216767ade0e7e31ee428c190c98d23e35c90a4e2fe0566e77e386df35f37d9"],
    ["", "", "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"],
  ])("is the same in every release: query %j, body %j", async (query, body, stored) => {
    expect(await requestHash(query, Buffer.from(body))).toBe(stored);
  });

  it("does not depend on the steps in which a large body is hashed", async () => {
    const body = Buffer.alloc(3 * 512 * 1024 + 1, "x");
    const stored = createHash("sha256").update("a=b\0").update(body).digest("hex");
    expect(await requestHash("a=b", body)).toBe(stored);
  });

  it.each([
    ["lets other work go first between the steps of a long body", 512 * 1024 + 1, ["other work", "hash"]],
    ["is there at once for a body of one step", 512 * 1024, ["hash", "other work"]],
  ])("%s", async (_name, bytes, expected) => {
    const order: string[] = [];
    const otherWork = new Promise<void>((resolve) => setImmediate(resolve)).then(() => order.push("other work"));
    await requestHash("", Buffer.alloc(bytes)).then(() => order.push("hash"));
    await otherWork;
    expect(order).toEqual(expected);
  });
});
