/**
 * A subset of Cap'n Proto: encoding structs, and reading whole messages from a stream in unpacked framing.
 * Source: https://capnproto.org/encoding.html (layout, pointers, "Serialization Over a Stream").
 */

/** A struct to write: `data` is a multiple of 8 bytes. */
export interface StructValue {
  data: Buffer;
  pointers: Value[];
}

/**
 * What a pointer can refer to: nothing, bytes (Data, or Text with its NUL), a struct, a list of equal structs, a
 * capability.
 */
export type Value = null | Buffer | StructValue | { list: StructValue[] } | { capability: number };

/** Text as bytes with the closing NUL. */
export const text = (value: string): Buffer => Buffer.from(`${value}\0`);

/** A struct with `words` data words, filled by `fill`, and its pointers. */
export function struct(words: number, fill: ((data: Buffer) => void) | undefined, ...pointers: Value[]): StructValue {
  const data = Buffer.alloc(words * 8);
  fill?.(data);
  return { data, pointers };
}

/** Kinds of a pointer, in its two lowest bits. */
const STRUCT = 0;
const LIST = 1;
const FAR = 2;
const OTHER = 3;
const BYTE_ELEMENTS = 2;
const POINTER_ELEMENTS = 6;
const COMPOSITE_ELEMENTS = 7;

/** Encodes one message of one segment, with its framing. */
export function encode(root: StructValue): Buffer {
  let buffer = Buffer.alloc(512);
  let used = 1; // word 0 is the root pointer

  function allocate(words: number): number {
    const at = used;
    used += words;
    if (used * 8 > buffer.length) buffer = Buffer.concat([buffer, Buffer.alloc(used * 8)]);
    return at;
  }
  function put(at: number, low: number, high: number): void {
    buffer.writeInt32LE(low | 0, at * 8);
    buffer.writeUInt32LE(high >>> 0, at * 8 + 4);
  }
  function body(at: number, value: StructValue): void {
    value.data.copy(buffer, at * 8);
    value.pointers.forEach((to, index) => {
      pointer(at + value.data.length / 8 + index, to);
    });
  }
  function pointer(at: number, value: Value): void {
    if (value === null) return;
    if (Buffer.isBuffer(value)) {
      const to = allocate(Math.ceil(value.length / 8));
      put(at, ((to - at - 1) << 2) | LIST, (value.length << 3) | BYTE_ELEMENTS);
      value.copy(buffer, to * 8);
    } else if ("capability" in value) {
      put(at, OTHER, value.capability);
    } else if ("list" in value) {
      const first = value.list[0];
      const dataWords = (first?.data.length ?? 0) / 8;
      const pointers = first?.pointers.length ?? 0;
      const words = value.list.length * (dataWords + pointers);
      const to = allocate(words + 1);
      put(at, ((to - at - 1) << 2) | LIST, (words << 3) | COMPOSITE_ELEMENTS);
      put(to, value.list.length << 2, dataWords | (pointers << 16));
      value.list.forEach((item, index) => {
        body(to + 1 + index * (dataWords + pointers), item);
      });
    } else {
      const dataWords = value.data.length / 8;
      if (dataWords + value.pointers.length === 0) {
        put(at, -4, 0); // an empty struct: offset -1
        return;
      }
      const to = allocate(dataWords + value.pointers.length);
      put(at, (to - at - 1) << 2, dataWords | (value.pointers.length << 16));
      body(to, value);
    }
  }

  pointer(0, root);
  const frame = Buffer.alloc(8);
  frame.writeUInt32LE(used, 4);
  return Buffer.concat([frame, buffer.subarray(0, used * 8)]);
}

/** A received struct. Fields beyond the sender's struct read as 0 or empty, as the encoding requires. */
export class StructReader {
  readonly #segments: Buffer[];
  readonly #segment: number;
  readonly #at: number;
  readonly #dataWords: number;
  readonly #pointers: number;

  constructor(segments: Buffer[], segment: number, at: number, dataWords: number, pointers: number) {
    this.#segments = segments;
    this.#segment = segment;
    this.#at = at;
    this.#dataWords = dataWords;
    this.#pointers = pointers;
  }

  #field(offset: number, size: number): Buffer {
    if (offset + size > this.#dataWords * 8) return Buffer.alloc(size);
    return words(this.#segments, this.#segment, this.#at, this.#dataWords).subarray(offset, offset + size);
  }
  /** The unsigned byte at `offset` (bytes). */
  u8(offset: number): number {
    return this.#field(offset, 1).readUInt8();
  }
  u16(offset: number): number {
    return this.#field(offset, 2).readUInt16LE();
  }
  u32(offset: number): number {
    return this.#field(offset, 4).readUInt32LE();
  }
  u64(offset: number): bigint {
    return this.#field(offset, 8).readBigUInt64LE();
  }
  #pointer(index: number): Received {
    if (index >= this.#pointers) return null;
    return follow(this.#segments, this.#segment, this.#at + this.#dataWords + index);
  }
  /** The struct at pointer `index`; empty for a null pointer. */
  struct(index: number): StructReader {
    const value = this.#pointer(index);
    return value instanceof StructReader ? value : new StructReader([Buffer.alloc(0)], 0, 0, 0, 0);
  }
  /** The bytes at pointer `index`; empty for a null pointer. */
  data(index: number): Buffer {
    const value = this.#pointer(index);
    return Buffer.isBuffer(value) ? value : Buffer.alloc(0);
  }
  text(index: number): string {
    return this.data(index).toString("utf8").replace(/\0$/, "");
  }
  /** The texts at pointer `index` (a list of Text). */
  texts(index: number): string[] {
    const value = this.#pointer(index);
    if (!Array.isArray(value)) return [];
    return value.filter((item) => Buffer.isBuffer(item)).map((item) => item.toString("utf8").replace(/\0$/, ""));
  }
}

type Received = null | Buffer | StructReader | Received[];

function words(segments: Buffer[], segment: number, at: number, count: number): Buffer {
  const buffer = segments[segment];
  if (!buffer || at < 0 || count < 0 || (at + count) * 8 > buffer.length)
    throw new Error("a Cap'n Proto pointer leads out of its message");
  return buffer.subarray(at * 8, (at + count) * 8);
}

function follow(segments: Buffer[], segment: number, at: number): Received {
  const word = words(segments, segment, at, 1);
  const low = word.readInt32LE(0);
  const high = word.readUInt32LE(4);
  if (low === 0 && high === 0) return null;
  const kind = low & 3;
  if (kind === OTHER) return null; // a capability: this server needs none
  if (kind !== FAR) return target(segments, segment, at + 1 + (low >> 2), kind, high);
  if ((low & 4) === 0) {
    const pad = words(segments, high, low >>> 3, 1);
    if ((pad.readInt32LE(0) & 3) === FAR) throw new Error("a Cap'n Proto far pointer leads to another far pointer");
    return follow(segments, high, low >>> 3);
  }
  const pad = words(segments, high, low >>> 3, 2);
  return target(segments, pad.readUInt32LE(4), pad.readUInt32LE(0) >>> 3, pad.readInt32LE(8) & 3, pad.readUInt32LE(12));
}

function target(segments: Buffer[], segment: number, at: number, kind: number, high: number): Received {
  if (kind === STRUCT) return new StructReader(segments, segment, at, high & 0xffff, high >>> 16);
  const elements = high & 7;
  const count = high >>> 3;
  if (elements === BYTE_ELEMENTS) return words(segments, segment, at, Math.ceil(count / 8)).subarray(0, count);
  if (elements === POINTER_ELEMENTS) {
    words(segments, segment, at, count);
    return Array.from({ length: count }, (_, index) => follow(segments, segment, at + index));
  }
  return null; // other kinds of lists are not needed
}

const MAX_SEGMENTS = 512;
const MAX_MESSAGE_BYTES = 4 << 20;

/** Assembles messages from the chunks of a stream. */
export class MessageReader {
  #pending: Buffer = Buffer.alloc(0);

  /** The root structs of the messages that `chunk` completes. @throws on invalid framing or an implausible size */
  *push(chunk: Buffer): Generator<StructReader> {
    this.#pending = Buffer.concat([this.#pending, chunk]);
    for (;;) {
      if (this.#pending.length < 8) return;
      const count = this.#pending.readUInt32LE(0) + 1;
      if (count > MAX_SEGMENTS) throw new Error(`a Cap'n Proto message of ${count} segments is refused`);
      const header = (4 + 4 * count + 7) & ~7;
      if (this.#pending.length < header) return;
      const sizes = Array.from({ length: count }, (_, index) => this.#pending.readUInt32LE(4 + 4 * index) * 8);
      const total = sizes.reduce((sum, size) => sum + size, header);
      if (total > MAX_MESSAGE_BYTES) throw new Error(`a Cap'n Proto message of ${total} bytes is refused`);
      if (this.#pending.length < total) return;
      let at = header;
      const segments = sizes.map((size) => {
        at += size;
        return this.#pending.subarray(at - size, at);
      });
      this.#pending = this.#pending.subarray(total);
      const root = follow(segments, 0, 0);
      if (!(root instanceof StructReader)) throw new Error("a Cap'n Proto message has no struct at its root");
      yield root;
    }
  }
}
