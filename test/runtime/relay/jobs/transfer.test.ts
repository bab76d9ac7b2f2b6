/** The bound on what is copied to the job store's thread at once. */
import { describe, expect, it } from "vitest";
import { bytesIn, TransferLimit } from "../../../../runtime/relay/jobs/transfer.ts";

const MIB = 1024 * 1024;

it("counts the bytes of bodies and answers in a command's arguments", () => {
  expect(bytesIn([])).toBe(0);
  expect(bytesIn(["id", 1, null, undefined, { body: "text" }, {}, { text: new Uint8Array(9) }])).toBe(0);
  expect(bytesIn([{ body: new Uint8Array(3) }, "id", { body: Buffer.alloc(4) }])).toBe(7);
});

describe("commands", () => {
  /** Enters with so many bytes each. @returns the places of those that may be sent, in order */
  async function enter(limit: TransferLimit, ...bytes: number[]) {
    const sent: number[] = [];
    for (const [place, one] of bytes.entries()) void limit.enter(one).then(() => sent.push(place));
    await settled();
    return sent;
  }
  const settled = () => new Promise((resolve) => setImmediate(resolve));

  it("are sent up to 32 MiB at once, the others in their order when there is room", async () => {
    const limit = new TransferLimit();
    const sent = await enter(limit, 20 * MIB, 12 * MIB, 1, 1);
    expect(sent).toEqual([0, 1]);
    limit.leave(1);
    await settled();
    expect(sent).toEqual([0, 1, 2]);
    limit.leave(20 * MIB);
    await settled();
    expect(sent).toEqual([0, 1, 2, 3]);
  });

  it("do not overtake a larger one that waits; one without bytes does", async () => {
    const limit = new TransferLimit();
    const sent = await enter(limit, 20 * MIB, 20 * MIB, 1, 0);
    expect(sent).toEqual([3, 0]);
    limit.leave(20 * MIB);
    await settled();
    expect(sent).toEqual([3, 0, 1, 2]);
  });

  it("of any size are sent alone", async () => {
    const limit = new TransferLimit();
    const sent = await enter(limit, 100 * MIB, 1);
    expect(sent).toEqual([0]);
    limit.leave(100 * MIB);
    await settled();
    expect(sent).toEqual([0, 1]);
  });
});
