import { type Case, CHAT } from "../case.ts";

const MIB = 1024 * 1024;
const END = '],"messages":[{"role":"user","content":"x"}],"prove":{"ms":1,"answer":"x"}}';

/** A chat body of nearly 64 MiB whose field `pad` is filled with `piece` again and again. */
function padded(before: string, piece: string, after = ""): Buffer {
  const head = Buffer.from(`{"model":"m","pad":[${before}`);
  const tail = Buffer.from(`${after}${END}`);
  const pieces = Math.floor((63 * MIB - head.length - tail.length) / piece.length);
  return Buffer.concat([head, Buffer.alloc(pieces * piece.length, piece), tail]);
}

const flat = (): Buffer => padded("", "1,", "1");
/** Each empty list is an object of its own for whoever builds the tree. */
const nested = (): Buffer => padded("", "[],", "[]");

function deep(): Buffer {
  const levels = 31 * MIB;
  const open = Buffer.alloc(levels, "[");
  const close = Buffer.alloc(levels, "]");
  return Buffer.concat([Buffer.from('{"model":"m","pad":['), open, close, Buffer.from(END)]);
}

/** What must be known of a body is found without building 64 MiB of it on the event loop. */
export const largeJsonFlat: Case = {
  name: "large-json-flat",
  attack: "one chat body after the other of 63 MiB, a flat list of numbers",
  serviceMs: 1,
  quick: true,
  run: (attacker) => {
    const body = flat();
    return attacker.repeat(1, () => attacker.send({ path: CHAT, body }));
  },
};

/** The same with millions of small lists. */
export const largeJsonNested: Case = {
  name: "large-json-nested",
  attack: "one chat body after the other of 63 MiB, a list of 20 million empty lists",
  serviceMs: 1,
  run: (attacker) => {
    const body = nested();
    return attacker.repeat(1, () => attacker.send({ path: CHAT, body }));
  },
};

/** The same 31 million levels deep. */
export const largeJsonDeep: Case = {
  name: "large-json-deep",
  attack: "one chat body after the other of 62 MiB, lists nested 32 million levels deep",
  serviceMs: 1,
  run: (attacker) => {
    const body = deep();
    return attacker.repeat(1, () => attacker.send({ path: CHAT, body }));
  },
};
