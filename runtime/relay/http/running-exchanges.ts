/** The exchanges that run now. */
import { RelayError } from "../errors.ts";
import { type Indexed, IndexedSet } from "../indexed-set.ts";
import type { RelayResponse } from "./relay-response.ts";
import type { RequestRecord } from "./request-record.ts";

/** As much of an exchange as it takes to cut it. */
export interface RunningExchange extends Indexed {
  readonly res: RelayResponse;
  readonly record: RequestRecord;
}

export class RunningExchanges {
  readonly #all = new IndexedSet<RunningExchange>();
  #onIdle: (() => void) | undefined;
  #deferred: (() => void)[] = [];

  /** @returns the entry for `remove` */
  add(res: RelayResponse, record: RequestRecord): RunningExchange {
    const exchange: RunningExchange = { index: -1, res, record };
    this.#all.add(exchange);
    return exchange;
  }

  remove(exchange: RunningExchange): void {
    this.#all.delete(exchange);
    if (this.#all.size === 0) this.#onIdle?.();
  }

  /** Runs `work` after pending I/O has been handled: counting and logging must not delay the first bytes of others. */
  afterwards(work: () => void): void {
    if (this.#deferred.push(work) > 1) return;
    setImmediate(() => {
      const all = this.#deferred;
      this.#deferred = [];
      for (const one of all) one();
    });
  }

  /** Resolves when none runs any more, or after `ms`. @returns how many still run */
  async idle(ms: number): Promise<number> {
    if (this.#all.size > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms);
        this.#onIdle = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    return this.#all.size;
  }

  /** Cuts the connections of servers whose client id is not in `welcome`. @returns how many exchanges that were */
  cutCallers(welcome: ReadonlySet<string>): number {
    const unwelcome = this.#all
      .items()
      .filter(({ record: { clientId } }) => clientId !== undefined && !welcome.has(clientId));
    for (const exchange of unwelcome) {
      cut(exchange, new RelayError("caller_disabled", "This caller has been disabled."));
    }
    return unwelcome.length;
  }

  /** Cuts the connections of all that still run. */
  cut(): void {
    for (const exchange of this.#all.items())
      cut(exchange, new RelayError("shutting_down", "The relay has been stopped."));
  }
}

function cut({ record, res }: RunningExchange, error: RelayError): void {
  record.failed(error);
  res.destroy();
}
