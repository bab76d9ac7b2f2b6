/**
 * A set for objects that come and go with every request. It takes the place of `Set` for V8's sake: a Set leaves its table
 * behind each time it grows or is compacted, and each table refers to the next one. Once one of them is in the old
 * generation, all later ones are promoted with their entries and whatever these refer to, though all of it is garbage
 * (nepotism). Measured with 64 connections: 7 KB of
 * each request were promoted, which cost 14 % of the CPU time per request.
 */

/** Something that can be in one `IndexedSet`. */
export interface Indexed {
  /** Its index in the set, which maintains it; -1: it is in none. */
  index: number;
}

export class IndexedSet<T extends Indexed> {
  readonly #all: T[] = [];

  get size(): number {
    return this.#all.length;
  }

  /** No effect if it is in a set already. */
  add(item: T): void {
    if (item.index >= 0) return;
    item.index = this.#all.length;
    this.#all.push(item);
  }

  /** No effect if it is in no set. The last item takes its index. */
  delete(item: T): void {
    const { index } = item;
    if (index < 0) return;
    item.index = -1;
    const last = this.#all.pop()!;
    if (last === item) return;
    this.#all[index] = last;
    last.index = index;
  }

  /** A copy of the items, in no order: the set may change while it is read. */
  items(): T[] {
    return [...this.#all];
  }
}
