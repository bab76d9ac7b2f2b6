/**
 * What is there now, of things that come and go with every request. A Set leaves its table behind each time it grows or is
 * cleaned up, and the table knows the next one; once one of them is in V8's old generation, all that follow it get there,
 * with all that was in them (nepotism): a sixth of all garbage was promoted so, whatever the size of the young generation.
 */

/** Something that can be in one bag. */
export interface InBag {
  /** Where it is; kept by the bag. -1: in none. */
  place: number;
}

export class Bag<T extends InBag> {
  readonly #all: T[] = [];

  get size(): number {
    return this.#all.length;
  }

  add(thing: T): void {
    if (thing.place >= 0) return;
    thing.place = this.#all.length;
    this.#all.push(thing);
  }

  /** Nothing happens if it is not in. */
  delete(thing: T): void {
    const { place } = thing;
    if (place < 0) return;
    thing.place = -1;
    const last = this.#all.pop()!;
    if (last === thing) return;
    this.#all[place] = last;
    last.place = place;
  }

  /** All that are in now, in no order; things may come and go while they are looked at. */
  list(): T[] {
    return [...this.#all];
  }
}
