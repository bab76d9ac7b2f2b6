/**
 * Validates that bytes are one JSON text in UTF-8 and finds members of the outermost object, without building values: memory
 * stays constant, and the work can be split into slices. Accepts exactly what `JSON.parse` accepts, up to a depth. Existing
 * streaming tokenizers build each token as a string, do not report byte offsets of values, and take about ten times as long.
 * Source: https://www.rfc-editor.org/rfc/rfc8259
 */
import { isUtf8 } from "node:buffer";
import {
  type FaultKind,
  foldKey,
  JsonFault,
  MAX_DEPTH,
  type Member,
  type Scan,
  type ScanOptions,
} from "./json-scan.ts";
import { nextTimeSlice, SLICE } from "./time-slices.ts";

/** Longest key that is compared, in bytes between its quotes: six bytes (`\u006b`) for each of 42 characters. */
const LONGEST_KEY = 252;

/** Most members that are reported. Only a request that repeats its keys endlessly has more. */
const MAX_MEMBERS = 100;

/** For each key length, whether a wanted key has it. Computed once per set. */
function lengthsOf(wanted: ReadonlySet<string>): Uint8Array {
  let lengths = knownLengths.get(wanted);
  if (lengths === undefined) {
    lengths = new Uint8Array(LONGEST_KEY + 1);
    for (const { length } of wanted) lengths[length] = 1;
    knownLengths.set(wanted, lengths);
  }
  return lengths;
}
const knownLengths = new WeakMap<ReadonlySet<string>, Uint8Array>();

const [TAB, LF, CR, SPACE, QUOTE, BACKSLASH, COMMA, COLON] = [9, 10, 13, 32, 34, 92, 44, 58] as const;
const [MINUS, PLUS, DOT, ZERO, NINE, UPPER_E, LOWER_E, LOWER_U] = [45, 43, 46, 48, 57, 69, 101, 117] as const;
const [BRACKET_OPEN, BRACKET_CLOSE, BRACE_OPEN, BRACE_CLOSE] = [91, 93, 123, 125] as const;

/** What is expected next; the last three are within a token, where a slice may end. */
const [VALUE, VALUE_OR_END, KEY_OR_END, KEY, AFTER_KEY, AFTER_VALUE, STRING, DIGITS, END] = [0, 1, 2, 3, 4, 5, 6, 7, 8];

const LITERALS: Readonly<Record<number, Buffer>> = {
  102: Buffer.from("false"),
  110: Buffer.from("null"),
  116: Buffer.from("true"),
};
/** Bytes that may follow a backslash, except `u`: " \ / b f n r t */
const ESCAPES = new Uint8Array(256);
for (const byte of Buffer.from('"\\/bfnrt')) ESCAPES[byte] = 1;
/** Bytes within a string that need handling: control characters, the quote, the backslash. */
const SPECIAL = new Uint8Array(256);
SPECIAL.fill(1, 0, 32);
SPECIAL[QUOTE] = 1;
SPECIAL[BACKSLASH] = 1;
const HEX = new Uint8Array(256);
for (const byte of Buffer.from("0123456789abcdefABCDEF")) HEX[byte] = 1;

/** Scans bytes slice by slice. Each byte is read a bounded number of times. */
export class JsonScanner {
  readonly #bytes: Uint8Array;
  readonly #wanted: ReadonlySet<string>;
  readonly #maxValues: number;
  readonly #members: Member[] = [];
  readonly #lengths: Uint8Array;
  /** The open containers: true for an object, false for an array. */
  readonly #open: boolean[] = [];
  #depth = 0;
  #at = 0;
  #checkedUtf8 = 0;
  #state: number = VALUE;
  #values = 0;
  #kind: Scan["kind"] = "other";
  #inside = 0;
  #close = 0;
  #count = 0;
  /** Whether the current string is a key; where it began, and whether it is plain ASCII. */
  #isKey = false;
  #stringStart = 0;
  #plain = true;
  /** Part of the current number: 0 integer digits, 1 fraction, 2 exponent. */
  #phase = 0;
  #member: { folded: string; key: string; keyStart: number } | undefined;
  /** The last comma of the outermost object, and the member that has just ended. */
  #comma = -1;
  #ended: { -readonly [K in keyof Member]: Member[K] } | undefined;
  #valueStart = 0;

  constructor(bytes: Uint8Array, { wanted, maxValues = Number.POSITIVE_INFINITY }: ScanOptions) {
    this.#bytes = bytes;
    this.#wanted = wanted;
    this.#lengths = lengthsOf(wanted);
    this.#maxValues = maxValues;
  }

  /** Bytes scanned so far. */
  get at(): number {
    return this.#at;
  }

  /** Scans about `most` more bytes. @returns whether the end is reached @throws JsonFault */
  step(most: number): boolean {
    const until = Math.min(this.#bytes.length, this.#at + most);
    this.#checkUtf8(until);
    while (this.#at < until) this.#token(until);
    if (this.#at < this.#bytes.length) return false;
    if (this.#state === DIGITS) this.#endValue();
    if (this.#state !== END) throw this.#fault();
    return true;
  }

  get result(): Scan {
    return { kind: this.#kind, members: this.#members, inside: this.#inside, close: this.#close, count: this.#count };
  }

  #fault(kind: FaultKind = "not_json"): JsonFault {
    return new JsonFault(kind, this.#at);
  }

  /** Validates whole characters: one that crosses the end is left for the next slice. */
  #checkUtf8(until: number): void {
    if (until <= this.#checkedUtf8) return;
    let end = until;
    if (until < this.#bytes.length) {
      for (let back = 0; back < 3 && (this.#bytes[end]! & 0xc0) === 0x80; back += 1) end -= 1;
    }
    if (!isUtf8(this.#bytes.subarray(this.#checkedUtf8, end))) throw new JsonFault("not_utf8", this.#checkedUtf8);
    this.#checkedUtf8 = end;
  }

  #token(until: number): void {
    if (this.#state === STRING) this.#string(until);
    else if (this.#state === DIGITS) this.#digits(until);
    else {
      const byte = this.#bytes[this.#at]!;
      if (byte === SPACE || byte === LF || byte === CR || byte === TAB) this.#at += 1;
      else this.#mark(byte);
    }
  }

  #mark(byte: number): void {
    switch (this.#state) {
      case VALUE:
        this.#value(byte);
        break;
      case VALUE_OR_END:
        if (byte === BRACKET_CLOSE) this.#ascend();
        else this.#value(byte);
        break;
      case KEY_OR_END:
        if (byte === BRACE_CLOSE) this.#ascend();
        else this.#key(byte);
        break;
      case KEY:
        this.#key(byte);
        break;
      case AFTER_KEY:
        if (byte !== COLON) throw this.#fault();
        this.#at += 1;
        this.#state = VALUE;
        break;
      case AFTER_VALUE:
        this.#afterValue(byte);
        break;
      default:
        throw this.#fault();
    }
  }

  #key(byte: number): void {
    if (byte !== QUOTE) throw this.#fault();
    if (this.#depth === 1) this.#count += 1;
    this.#beginString(true);
  }

  #beginString(isKey: boolean): void {
    this.#isKey = isKey;
    this.#stringStart = this.#at;
    this.#plain = true;
    this.#at += 1;
    this.#state = STRING;
  }

  #value(byte: number): void {
    this.#values += 1;
    if (this.#values > this.#maxValues) throw this.#fault("too_many_values");
    if (this.#depth === 1) this.#valueStart = this.#at;
    if (byte === QUOTE) this.#beginString(false);
    else if (byte === BRACE_OPEN || byte === BRACKET_OPEN) this.#descend(byte === BRACE_OPEN);
    else if (byte === MINUS || isDigit(byte)) this.#beginNumber(byte);
    else this.#literal(byte);
  }

  #literal(byte: number): void {
    const literal = LITERALS[byte];
    if (literal === undefined) throw this.#fault();
    for (let i = 1; i < literal.length; i += 1) {
      if (this.#bytes[this.#at + i] !== literal[i]) throw this.#fault();
    }
    this.#at += literal.length;
    this.#endValue();
  }

  #descend(isObject: boolean): void {
    if (this.#depth === MAX_DEPTH) throw this.#fault("too_deep");
    this.#depth = this.#open.push(isObject);
    this.#at += 1;
    this.#state = isObject ? KEY_OR_END : VALUE_OR_END;
    if (this.#depth === 1) {
      this.#kind = isObject ? "object" : "array";
      this.#inside = this.#at;
    }
  }

  #ascend(): void {
    if (this.#depth === 1) this.#close = this.#at;
    this.#open.pop();
    this.#depth -= 1;
    this.#at += 1;
    this.#endValue();
  }

  #afterValue(byte: number): void {
    const isObject = this.#open[this.#depth - 1] === true;
    if (byte === COMMA) {
      if (this.#depth === 1) {
        if (this.#ended !== undefined) this.#ended.commaAfter = this.#at;
        this.#ended = undefined;
        this.#comma = this.#at;
      }
      this.#at += 1;
      this.#state = isObject ? KEY : VALUE;
    } else if (byte === (isObject ? BRACE_CLOSE : BRACKET_CLOSE)) this.#ascend();
    else throw this.#fault();
  }

  #endValue(): void {
    this.#state = this.#depth === 0 ? END : AFTER_VALUE;
    if (this.#depth !== 1 || this.#member === undefined) return;
    const { folded, key, keyStart } = this.#member;
    const [start, end] = [this.#valueStart, this.#at];
    this.#ended = { folded, key, keyStart, start, end, commaBefore: this.#comma, commaAfter: -1 };
    if (this.#members.push(this.#ended) > MAX_MEMBERS) throw this.#fault("repeated");
    this.#member = undefined;
  }

  #string(until: number): void {
    const bytes = this.#bytes;
    let at = this.#at;
    let seen = 0;
    while (at < until) {
      const byte = bytes[at]!;
      if (SPECIAL[byte] === 0) {
        seen |= byte;
        at += 1;
        continue;
      }
      if (byte === BACKSLASH) {
        const escaped = bytes[at + 1] ?? 0;
        const unicode = escaped === LOWER_U;
        const known = unicode
          ? HEX[bytes[at + 2]!]! & HEX[bytes[at + 3]!]! & HEX[bytes[at + 4]!]! & HEX[bytes[at + 5]!]!
          : ESCAPES[escaped]!;
        if (!known) {
          this.#at = at;
          throw this.#fault();
        }
        this.#plain = false;
        at += unicode ? 6 : 2;
        continue;
      }
      this.#at = at;
      if (byte !== QUOTE) throw this.#fault();
      if (seen > 127) this.#plain = false;
      this.#at = at + 1;
      this.#endString();
      return;
    }
    if (seen > 127) this.#plain = false;
    this.#at = at;
  }

  #endString(): void {
    if (!this.#isKey) {
      this.#endValue();
      return;
    }
    this.#state = AFTER_KEY;
    const length = this.#at - this.#stringStart - 2;
    if (this.#depth !== 1 || length > LONGEST_KEY || (this.#plain && this.#lengths[length] === 0)) return;
    const quoted = this.#bytes.subarray(this.#stringStart, this.#at);
    const text = Buffer.from(quoted.buffer, quoted.byteOffset, quoted.length);
    const key = this.#plain ? text.toString("latin1", 1, length + 1) : (JSON.parse(text.toString("utf8")) as string);
    const folded = foldKey(key);
    if (this.#wanted.has(folded)) this.#member = { folded, key, keyStart: this.#stringStart };
  }

  #beginNumber(first: number): void {
    let byte: number | undefined = first;
    if (byte === MINUS) {
      this.#at += 1;
      byte = this.#bytes[this.#at];
    }
    if (!isDigit(byte)) throw this.#fault();
    this.#at += 1;
    this.#phase = 0;
    this.#state = DIGITS;
    // No digit may follow a leading zero.
    if (byte === ZERO && isDigit(this.#bytes[this.#at])) throw this.#fault();
  }

  /** The rest of a number whose integer, fraction or exponent has its first digit. */
  #digits(until: number): void {
    const bytes = this.#bytes;
    while (this.#at < until && isDigit(bytes[this.#at])) this.#at += 1;
    if (this.#at >= until) return;
    const byte = bytes[this.#at];
    if (byte === DOT && this.#phase === 0) this.#phase = 1;
    else if ((byte === LOWER_E || byte === UPPER_E) && this.#phase < 2) {
      this.#phase = 2;
      const sign = bytes[this.#at + 1];
      if (sign === PLUS || sign === MINUS) this.#at += 1;
    } else {
      this.#endValue();
      return;
    }
    this.#at += 1;
    if (!isDigit(bytes[this.#at])) throw this.#fault();
    this.#at += 1;
  }
}

const isDigit = (byte: number | undefined): boolean => byte !== undefined && byte >= ZERO && byte <= NINE;

/** Longest body that is scanned in one go, in bytes. */
const AT_ONCE = 64 * 1024;
/** Some bytes take longer than others (millions of escaped keys): a slice also ends after this many ms. */
const SLICE_MS = 1;
const STEP = 16 * 1024;

/**
 * Scans bytes: short ones at once, long ones in slices between which other work runs.
 * @throws JsonFault, or rejects with it
 */
export function scanJson(bytes: Uint8Array, options: ScanOptions): Scan | Promise<Scan> {
  const scanner = new JsonScanner(bytes, options);
  if (bytes.length > AT_ONCE) return inSlices(scanner, options.signal);
  scanner.step(bytes.length);
  return scanner.result;
}

async function inSlices(scanner: JsonScanner, signal: AbortSignal | undefined): Promise<Scan> {
  for (;;) {
    await nextTimeSlice();
    signal?.throwIfAborted();
    const from = performance.now();
    for (let scanned = 0; scanned < SLICE && performance.now() - from < SLICE_MS; scanned += STEP) {
      if (scanner.step(STEP)) return scanner.result;
    }
  }
}
