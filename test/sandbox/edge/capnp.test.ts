import { expect, test } from "vitest";
import { encode, MessageReader, struct, text } from "../../../sandbox/edge/capnp.ts";

const message = encode(
  struct(
    2,
    (data) => {
      data.writeUInt32LE(7, 0);
      data.writeBigUInt64LE(0xf71695ec7fe85497n, 8);
    },
    text("한국"),
    struct(1, (data) => data.writeUInt8(3, 0), Buffer.from([1, 2, 3])),
    null,
  ),
);

test("a message is read back however it is split", () => {
  for (const size of [1, 7, message.length, message.length * 2]) {
    const reader = new MessageReader();
    const two = Buffer.concat([message, message]);
    const roots = [];
    for (let at = 0; at < two.length; at += size) roots.push(...reader.push(two.subarray(at, at + size)));
    expect(roots).toHaveLength(2);
    for (const root of roots) {
      expect(root.u32(0)).toBe(7);
      expect(root.u64(8)).toBe(0xf71695ec7fe85497n);
      expect(root.text(0)).toBe("한국");
      expect(root.struct(1).u8(0)).toBe(3);
      expect(root.struct(1).data(0)).toEqual(Buffer.from([1, 2, 3]));
    }
  }
});

test("a field the sender does not know reads as empty", () => {
  const [root] = new MessageReader().push(message);
  expect([root!.u16(16), root!.text(2), root!.texts(0), root!.struct(9).u32(0)]).toEqual([0, "", [], 0]);
});

test("a far pointer is followed into its segment", () => {
  // Two segments: the root pointer (far, to word 0 of segment 1); there a struct pointer and one data word.
  const far = Buffer.alloc(40);
  far.writeUInt32LE(1, 0); // segments − 1
  far.writeUInt32LE(1, 4);
  far.writeUInt32LE(2, 8); // and 4 bytes of padding
  far.writeUInt32LE(2, 16); // far pointer, pad at word 0
  far.writeUInt32LE(1, 20); // of segment 1
  far.writeUInt32LE(0, 24); // struct right behind
  far.writeUInt32LE(1, 28); // of one data word
  far.writeUInt32LE(42, 32);
  const [root] = new MessageReader().push(far);
  expect(root!.u32(0)).toBe(42);
});

test("a pointer out of the message and a huge frame are refused", () => {
  const wild = Buffer.from(message);
  wild.writeInt32LE(1_000_000 << 2, 8);
  expect(() => [...new MessageReader().push(wild)].map((root) => root.u32(0))).toThrow("leads out of its message");
  const huge = Buffer.alloc(8);
  huge.writeUInt32LE(0xffffff, 4);
  expect(() => [...new MessageReader().push(huge)]).toThrow("is refused");
  const many = Buffer.alloc(8, 0xff);
  expect(() => [...new MessageReader().push(many)]).toThrow("segments is refused");
});
