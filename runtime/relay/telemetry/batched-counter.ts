/** Counts kept as plain numbers, which prom-client's counter gets when it is asked: hashing labels costs more than counting. */
import { Counter, type CounterConfiguration } from "prom-client";

/** One combination of labels. */
export interface BatchedCount {
  n: number;
}

/** A counter whose cells are looked up once and then counted in directly. */
export class BatchedCounter<T extends string> {
  readonly #cells: { readonly labels: Partial<Record<T, string>>; readonly withLabels: BatchedCount }[] = [];

  constructor(configuration: CounterConfiguration<T>) {
    const cells = this.#cells;
    // It registers itself.
    new Counter<T>({
      ...configuration,
      collect() {
        for (const { labels, withLabels: cell } of cells) {
          if (cell.n > 0) this.inc(labels, cell.n);
          cell.n = 0;
        }
      },
    });
  }

  /** A cell for these labels (one that is left out is not written); ask once for each combination. */
  cell(labels: Partial<Record<T, string>>): BatchedCount {
    const cell = { n: 0 };
    this.#cells.push({ labels, withLabels: cell });
    return cell;
  }
}

/** What was made for a key, made when it is first asked for. */
export function memoize<V>(make: (...key: string[]) => V): (...key: string[]) => V {
  const all = new Map<string, V>();
  return (...key) => {
    const name = key.join("\n");
    let found = all.get(name);
    if (found === undefined) {
      found = make(...key);
      all.set(name, found);
    }
    return found;
  };
}
