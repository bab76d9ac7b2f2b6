/** Passes an answer on, and reads along what it used and when it came. */
import type { Dialect } from "../dialects/dialect.ts";
import type { Sink } from "../http/answer-writer.ts";
import { Meter } from "../usage/usage.ts";

export class MeteredSink implements Sink {
  readonly meter: Meter;
  readonly #to: Sink;
  #lastAt = 0;
  /** Of the answer; undefined before its head has come. */
  status: number | undefined;
  /** When the first byte of its body came, by the clock of `performance`. */
  firstAt: number | undefined;

  constructor(to: Sink, { usage }: Pick<Dialect, "usage">) {
    this.#to = to;
    this.meter = new Meter(usage);
  }

  /** From the first byte of the body to the last, in ms; undefined unless it came in several parts. */
  get streamedMs(): number | undefined {
    return this.firstAt === undefined || this.meter.events < 2 ? undefined : this.#lastAt - this.firstAt;
  }

  head(status: number, headers: Parameters<Sink["head"]>[1]): void {
    this.status = status;
    this.meter.begin(String(headers["content-type"] ?? ""));
    this.#to.head(status, headers);
  }

  write(chunk: Buffer): boolean {
    this.#lastAt = performance.now();
    this.firstAt ??= this.#lastAt;
    this.meter.feed(chunk);
    return this.#to.write(chunk);
  }

  end(): void {
    this.#to.end();
  }

  onceDrained(go: () => void): void {
    this.#to.onceDrained(go);
  }
}
