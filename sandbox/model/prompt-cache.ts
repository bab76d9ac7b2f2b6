/** Which prompts the emulated server still holds: those of its slots, and with a pool many older ones (llama-server's `--cache-ram`). */

/** Prompts that a pool holds. */
const POOL = 256;

/** Remembers prompts, least recently used ones go first. */
export class PromptCache {
  readonly #size: number;
  #prompts: string[] = [];

  constructor(slots: number, hasPool: boolean) {
    this.#size = hasPool ? POOL : slots;
  }

  /** @returns how many characters of the prompt's beginning are held; from now on all of it is */
  reuse(prompt: string): number {
    const shared = this.#prompts.map((held) => sharedLength(held, prompt));
    const longest = Math.max(0, ...shared);
    // A slot continues what it shares most with; otherwise the oldest one is given up.
    if (longest >= prompt.length / 2) this.#prompts.splice(shared.indexOf(longest), 1);
    this.#prompts.push(prompt);
    if (this.#prompts.length > this.#size) this.#prompts.shift();
    return longest;
  }
}

function sharedLength(a: string, b: string): number {
  let length = 0;
  while (length < a.length && length < b.length && a[length] === b[length]) length += 1;
  return length;
}
