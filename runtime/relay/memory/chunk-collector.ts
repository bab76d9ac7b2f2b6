/**
 * Gathers the pieces of a body. They are copied into blocks: a piece as it came costs some 200 bytes beside its own, so that
 * 60 MB in pieces of one byte would take gigabytes.
 */

const BLOCK_BYTES = 64 * 1024;

export class ChunkCollector {
  /** Bytes so far. */
  size = 0;
  readonly #declared: number | undefined;
  readonly #blocks: Buffer[] = [];
  /** The one piece that is everything, as it came. */
  #whole: Buffer | undefined;
  #last: Buffer | undefined;
  #free = 0;

  /** @param declared how many bytes will come, if that is known: then they are gathered in one piece from the start */
  constructor(declared?: number) {
    this.#declared = declared;
  }

  /** Bytes of memory this holds, and needs for `take`. */
  static bytesFor(size: number, declared: number | undefined): number {
    // Without a length, the blocks and the one piece that is made of them stand side by side for a moment.
    return declared ?? 2 * Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES;
  }

  push(piece: Buffer): void {
    const before = this.size;
    this.size += piece.length;
    if (before === 0 && piece.length === this.#declared) {
      this.#whole = piece;
      return;
    }
    for (let at = 0; at < piece.length; ) {
      if (this.#free === 0) {
        const bytes =
          before === 0 && this.#declared !== undefined && this.#last === undefined ? this.#declared : BLOCK_BYTES;
        this.#last = Buffer.allocUnsafeSlow(bytes);
        this.#blocks.push(this.#last);
        this.#free = bytes;
      }
      const room = this.#last!;
      const copied = piece.copy(room, room.length - this.#free, at, at + this.#free);
      this.#free -= copied;
      at += copied;
    }
  }

  /** All of it in one piece. Holds nothing after. */
  end(): Buffer {
    const whole = this.#whole ?? this.#joined();
    this.drop();
    return whole;
  }

  /** Lets go of what it has. */
  drop(): void {
    this.#blocks.length = 0;
    this.#whole = undefined;
    this.#last = undefined;
    this.#free = 0;
  }

  #joined(): Buffer {
    const [first] = this.#blocks;
    if (first === undefined) return Buffer.alloc(0);
    return this.#blocks.length === 1 ? first.subarray(0, this.size) : Buffer.concat(this.#blocks, this.size);
  }
}
