/** Vectors as bytes, and how near they are to each other. Pure. */

/** Little-endian float32, as on every machine the relay runs on. A copy: the bytes need not lie on a multiple of four. */
export function floatsOf(bytes: Uint8Array): Float32Array {
  const floats = new Float32Array(Math.floor(bytes.byteLength / 4));
  new Uint8Array(floats.buffer).set(bytes.subarray(0, floats.byteLength));
  return floats;
}

/** base64 of the little-endian float32 of a vector. */
export function base64Of(vector: Float32Array): string {
  return Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength).toString("base64");
}

/** The vector of a row. */
export function rowOf(vectors: Float32Array, dimensions: number, row: number): Float32Array {
  return vectors.subarray(row * dimensions, (row + 1) * dimensions);
}

/** Its length; 0 for one of zeros, NaN or Infinity for one that is none. */
export function lengthOf(vector: Float32Array): number {
  let sum = 0;
  for (const value of vector) sum += value * value;
  return Math.sqrt(sum);
}

/** The length of every row. */
export function lengthsOf(vectors: Float32Array, dimensions: number): Float64Array {
  return Float64Array.from({ length: vectors.length / dimensions }, (_, row) =>
    lengthOf(rowOf(vectors, dimensions, row)),
  );
}

/** A row that was found, with its cosine. */
export interface Near {
  readonly row: number;
  readonly score: number;
}

/** What is searched: vectors row after row, and the rows' lengths. */
export interface Searchable {
  readonly vectors: Float32Array;
  readonly dimensions: number;
  readonly lengths: Float64Array;
}

/** The `k` rows with the largest cosine to `query`, best first; of equal ones the earlier. Exact: every row is looked at. */
export function nearest({ vectors, dimensions, lengths }: Searchable, query: Float32Array, k: number): Near[] {
  const found: Near[] = [];
  const queryLength = lengthOf(query);
  let worst = Number.NEGATIVE_INFINITY;
  for (let row = 0; row < lengths.length; row++) {
    const product = dot(vectors, row * dimensions, query);
    const score = product / ((lengths[row] ?? 0) * queryLength || 1);
    if (found.length === k && score <= worst) continue;
    insert(found, { row, score }, k);
    if (found.length === k) worst = found[k - 1]!.score;
  }
  return found;
}

/** Keeps `found` in order, and no longer than `k`. */
export function insert<T extends { readonly score: number }>(found: T[], one: T, k: number): void {
  let [low, high] = [0, found.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (found[middle]!.score >= one.score) low = middle + 1;
    else high = middle;
  }
  found.splice(low, 0, one);
  if (found.length > k) found.pop();
}

// Four sums: each addition waits for the one before it, so that one sum alone would take four times as long.
function dot(all: Float32Array, from: number, query: Float32Array): number {
  const { length } = query;
  const whole = length - (length % 4);
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  let i = 0;
  for (; i < whole; i += 4) {
    a += all[from + i]! * query[i]!;
    b += all[from + i + 1]! * query[i + 1]!;
    c += all[from + i + 2]! * query[i + 2]!;
    d += all[from + i + 3]! * query[i + 3]!;
  }
  for (; i < length; i++) a += all[from + i]! * query[i]!;
  return a + b + c + d;
}
