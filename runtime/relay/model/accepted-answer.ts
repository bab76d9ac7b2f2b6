/** Passes on an answer of the fallback server unless it refuses: what the caller then gets is the reason it was asked for. */
import type { Sink } from "../http/answer-writer.ts";

export class AcceptedAnswer implements Sink {
  readonly #to: Sink;
  readonly #onAccepted: () => void;
  /** Status with which it refused; its answer goes nowhere. */
  refused: number | undefined;
  /** The answer is on its way to the caller. */
  begun = false;

  /** @param onAccepted called before the head of an answer that is passed on */
  constructor(to: Sink, onAccepted: () => void) {
    this.#to = to;
    this.#onAccepted = onAccepted;
  }

  head(status: number, headers: Parameters<Sink["head"]>[1]): void {
    if (status >= 400) {
      this.refused = status;
      return;
    }
    this.begun = true;
    this.#onAccepted();
    this.#to.head(status, headers);
  }

  write(chunk: Buffer): boolean {
    return this.refused !== undefined || this.#to.write(chunk);
  }

  end(): void {
    if (this.refused === undefined) this.#to.end();
  }

  onceDrained(go: () => void): void {
    this.#to.onceDrained(go);
  }
}
