/**
 * Collects the chunks of a body. Chunks are copied into blocks: a chunk has about 200 bytes of overhead, so 60 MB in chunks
 * of one byte would take gigabytes.
 */

const BLOCK_BYTES = 64 * 1024;

export class ChunkCollector {
  /** Bytes received. */
  size = 0;
  readonly #declared: number | undefined;
  readonly #blocks: Buffer[] = [];
  /** A chunk that is the whole body; it is not copied. */
  #whole: Buffer | undefined;
  #last: Buffer | undefined;
  #free = 0;

  /** @param declared the body's length, if it is known: then one buffer of that size is used */
  constructor(declared?: number) {
    this.#declared = declared;
  }

  /** Memory that the collector holds, including what `end` needs. */
  static bytesFor(size: number, declared: number | undefined): number {
    // Without a length, the blocks and the buffer they are joined into exist side by side for a moment.
    return declared ?? 2 * Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES;
  }

  push(chunk: Buffer): void {
    if (this.size === 0 && chunk.length === this.#declared) {
      this.size = chunk.length;
      this.#whole = chunk;
      return;
    }
    for (let at = 0; at < chunk.length; ) {
      if (this.#free === 0) this.#addBlock();
      const block = this.#last!;
      const copied = chunk.copy(block, block.length - this.#free, at, at + this.#free);
      this.#free -= copied;
      at += copied;
    }
    this.size += chunk.length;
  }

  /** The whole body in one buffer. The collector is empty afterwards. */
  end(): Buffer {
    const whole = this.#whole ?? this.#joined();
    this.drop();
    return whole;
  }

  /** Frees the memory. */
  drop(): void {
    this.#blocks.length = 0;
    this.#whole = undefined;
    this.#last = undefined;
    this.#free = 0;
  }

  #addBlock(): void {
    const isFirst = this.#blocks.length === 0 && this.size === 0;
    const bytes = isFirst ? (this.#declared ?? BLOCK_BYTES) : BLOCK_BYTES;
    this.#last = Buffer.allocUnsafeSlow(bytes);
    this.#blocks.push(this.#last);
    this.#free = bytes;
  }

  #joined(): Buffer {
    const [first] = this.#blocks;
    if (first === undefined) return Buffer.alloc(0);
    return this.#blocks.length === 1 ? first.subarray(0, this.size) : Buffer.concat(this.#blocks, this.size);
  }
}
