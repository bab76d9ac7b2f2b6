/** Vectors as bytes, and their cosine. Pure. */

/** Little-endian float32, as on every supported machine. A copy, since the bytes need not be aligned. */
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

/** Its length; 0 for a zero vector, NaN or Infinity if a number is not finite. */
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

/** A row and its cosine. */
export interface Near {
  readonly row: number;
  readonly score: number;
}

const AT_ONCE = 4;

/** The rows to search: vectors row after row, and their lengths. */
export interface Searchable {
  readonly vectors: Float32Array;
  readonly dimensions: number;
  readonly lengths: Float64Array;
}

/** The `k` rows with the largest cosine to `query`, best first, the earlier of equal ones. Exact: compares every row. */
export function nearest({ vectors, dimensions, lengths }: Searchable, query: Float32Array, k: number): Near[] {
  const found: Near[] = [];
  const wide = Float64Array.from(query); // converted once, not per row
  const queryLength = lengthOf(query);
  const products = new Float64Array(AT_ONCE);
  let worst = Number.NEGATIVE_INFINITY;
  for (let from = 0; from < lengths.length; from += AT_ONCE) {
    const rows = Math.min(AT_ONCE, lengths.length - from);
    if (rows === AT_ONCE) dotFour(vectors, dimensions, from, wide, products);
    else for (let i = 0; i < rows; i++) products[i] = dot(rowOf(vectors, dimensions, from + i), wide);
    for (let i = 0; i < rows; i++) {
      const row = from + i;
      const score = products[i]! / ((lengths[row] ?? 0) * queryLength || 1);
      if (score <= worst) continue;
      insert(found, { row, score }, k);
      if (found.length === k) worst = found[k - 1]!.score;
    }
  }
  return found;
}

/** Inserts into `found` in order, keeping at most `k`. */
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

// Four rows at once take half the time: additions to one sum depend on each other, and each number of the query is read once
// for all four.
function dotFour(all: Float32Array, dimensions: number, row: number, query: Float64Array, into: Float64Array): void {
  const one = rowOf(all, dimensions, row);
  const two = rowOf(all, dimensions, row + 1);
  const three = rowOf(all, dimensions, row + 2);
  const four = rowOf(all, dimensions, row + 3);
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  for (let i = 0; i < query.length; i++) {
    const x = query[i]!;
    a += one[i]! * x;
    b += two[i]! * x;
    c += three[i]! * x;
    d += four[i]! * x;
  }
  into[0] = a;
  into[1] = b;
  into[2] = c;
  into[3] = d;
}

function dot(row: Float32Array, query: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < query.length; i++) sum += row[i]! * query[i]!;
  return sum;
}
