/** What was acknowledged to the callers, and what must be found of it at the end. Pure. */

/** An acknowledged job. */
export interface AcknowledgedJob {
  readonly id: string;
  /** Stands in its answer, and in no other one. */
  readonly marker: string;
}

/** What a title may hold at the end: `null` stands for no document. */
type Content = string | null;

/** The titles of one company. A title whose state is in doubt is not used again. */
export class DocumentLedger {
  readonly #settled = new Map<string, Content>();
  readonly #doubts = new Map<string, Set<Content>>();

  /** What an answer said that is final. */
  acknowledged(title: string, content: Content): void {
    this.#settled.set(title, content);
  }

  /** No answer, or one that leaves open whether it happened. */
  inDoubt(title: string, content: Content): void {
    const doubts = this.#doubts.get(title) ?? new Set<Content>();
    doubts.add(content);
    this.#doubts.set(title, doubts);
  }

  isInDoubt(title: string): boolean {
    return this.#doubts.has(title);
  }

  current(title: string): Content | undefined {
    return this.#settled.get(title);
  }

  titles(): string[] {
    return [...new Set([...this.#settled.keys(), ...this.#doubts.keys()])];
  }

  /** @returns what is wrong about this content; undefined if it is one that may be there */
  problem(title: string, found: Content): string | undefined {
    const settled = this.#settled.get(title);
    if (settled === undefined || found === settled || this.#doubts.get(title)?.has(found) === true) return undefined;
    if (found === null) return `the acknowledged document ${title} is gone`;
    if (settled === null) return `the deleted document ${title} is back`;
    return `the document ${title} holds ${JSON.stringify(found)}, acknowledged was ${JSON.stringify(settled)}`;
  }
}

/** What clients saw: answers by kind of call, status and code. */
export class Seen {
  readonly counts: Record<string, number> = {};
  total = 0;

  note(status: number, code: string): void {
    const what = status === 0 ? "no answer" : `${status}${code === "" ? "" : ` ${code}`}`;
    this.counts[what] = (this.counts[what] ?? 0) + 1;
    this.total += 1;
  }
}
