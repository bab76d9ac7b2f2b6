/**
 * Shares one capacity (bytes of memory, open requests, bytes of disk) among callers. Pure.
 *
 * The rule: half of the capacity is guaranteed, in equal parts, one for each configured caller. A caller can use more than
 * its part as long as the unused parts of all others stay free. So a caller within its part is never refused, whatever the
 * others do. A single busy caller gets at least half of the capacity, and all of it if it is the only one.
 */

/** Why an amount is refused: this caller uses too much, or all callers together do. */
export type Refusal = "own_share" | "all_used";

/** This fraction of a capacity is guaranteed; the rest is first come, first served. */
const GUARANTEED_FRACTION = 0.5;

/** The part that is guaranteed to each caller. @param callers their number */
export function guaranteedPart(capacity: number, callers: number): number {
  return (capacity * GUARANTEED_FRACTION) / Math.max(1, callers);
}

/** The most that one caller can use while the others use nothing. @param callers their number */
export function largestPart(capacity: number, callers: number): number {
  return capacity - guaranteedPart(capacity, callers) * (Math.max(1, callers) - 1);
}

/**
 * Decides whether `caller` can use `amount` more. This is the rule itself; `Shares` keeps running sums of it.
 * @param used what each caller uses now; callers that are no longer configured count with what they use
 * @param callers the configured callers
 * @returns the reason for a refusal; undefined if it can
 */
export function refusalOf(
  caller: string,
  amount: number,
  capacity: number,
  used: ReadonlyMap<string, number>,
  callers: readonly string[],
): Refusal | undefined {
  const part = guaranteedPart(capacity, callers.length);
  const wanted = (used.get(caller) ?? 0) + amount;
  const configured = new Set(callers);
  if (wanted <= part && configured.has(caller)) return undefined;
  let others = 0;
  for (const name of configured) if (name !== caller) others += Math.max(used.get(name) ?? 0, part);
  for (const [name, amountUsed] of used) if (name !== caller && !configured.has(name)) others += amountUsed;
  if (wanted + others <= capacity) return undefined;
  const unusedParts = (configured.size - (configured.has(caller) ? 1 : 0)) * part;
  return wanted + unusedParts > capacity ? "own_share" : "all_used";
}

/** The use of one capacity, in constant time per change. `refusalOf` has the rule. */
export class Shares {
  #capacity: number;
  #callers: readonly string[];
  readonly #used = new Map<string, number>();
  #total = 0;
  #part = 0;
  /** Sum over all callers of what they use, or their guaranteed part if that is more. */
  #claimed = 0;

  constructor(capacity: number, callers: readonly string[]) {
    this.#capacity = capacity;
    this.#callers = callers;
    this.update(capacity, callers);
  }

  get capacity(): number {
    return this.#capacity;
  }

  /** The most that one configured caller can use. */
  get limitPerCaller(): number {
    return largestPart(this.#capacity, this.#callers.length);
  }

  /** What all callers use together. */
  get total(): number {
    return this.#total;
  }

  usedBy(caller: string): number {
    return this.#used.get(caller) ?? 0;
  }

  /** Sets a new capacity and new callers. What is used stays used, even above a lower capacity. */
  update(capacity: number, callers: readonly string[]): void {
    this.#capacity = capacity;
    this.#callers = [...new Set(callers)];
    this.#part = guaranteedPart(capacity, this.#callers.length);
    this.#claimed = this.#callers.length * this.#part;
    for (const [name, used] of this.#used) this.#claimed += this.#claimOf(name, used) - this.#claimOf(name, 0);
  }

  /** Uses `amount` more. @returns the reason for a refusal; then nothing has changed */
  take(caller: string, amount: number): Refusal | undefined {
    const before = this.usedBy(caller);
    const grows = this.#claimOf(caller, before + amount) - this.#claimOf(caller, before);
    const withinPart = this.#isConfigured(caller) && before + amount <= this.#part;
    if (amount > 0 && !withinPart && this.#claimed + grows > this.#capacity) {
      return refusalOf(caller, amount, this.#capacity, this.#used, this.#callers) ?? "all_used";
    }
    this.#set(caller, before, before + amount);
    return undefined;
  }

  /** Frees `amount`. Never fails. */
  give(caller: string, amount: number): void {
    const before = this.usedBy(caller);
    this.#set(caller, before, Math.max(0, before - amount));
  }

  #isConfigured(caller: string): boolean {
    return this.#callers.includes(caller);
  }

  #claimOf(caller: string, used: number): number {
    return this.#isConfigured(caller) ? Math.max(used, this.#part) : used;
  }

  #set(caller: string, before: number, after: number): void {
    this.#claimed += this.#claimOf(caller, after) - this.#claimOf(caller, before);
    this.#total += after - before;
    if (after === 0) this.#used.delete(caller);
    else this.#used.set(caller, after);
  }
}
